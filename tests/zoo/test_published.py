"""The published models say what ``transformers`` says of the same files.

`make test` puts them into the cache (tools/published.py). What is not there is left out, with the reason, and the rest
of the suite stands without it.
"""

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, BertModel, logging
from transformers.models.bert.tokenization_bert import BertTokenizer

from companion import zoo
from companion.data.fetched import NotFetchedError
from companion.data.reviews import movie_reviews, opinions, split
from companion.generation import GREEDY, generate
from companion.generation.sampling import left_padded
from companion.metrics.raters import one_rater
from companion.models.sentence_encoder import SentenceEncoder
from companion.nn.capture import capture
from companion.widgets import AttentionView

pytestmark = pytest.mark.slow

TEXTS = ["Paris is the capital of France.", "A café 语言 of 1,234 words", "No."]
PROMPTS = [
    "When Mary and John went to the store, John gave a drink to",
    "Water boils at",
    "The capital of France is",
    "Once upon a time, there was a small fox who",
    "def is_prime(n):\n    ",
    "Ingredients: two eggs, 200 g of flour,",
    "Dear Sir or Madam,\n\n",
    "1, 2, 3, 4,",
    "The quick brown fox",
    "Three reasons to read a book are",
]
NEW_TOKENS = 50
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " 2 + 2?\n"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "And 3 + 3?"},
]


def had(name, get):
    try:
        return get(name)
    except NotFetchedError as error:
        return pytest.skip(f"left out, because it cannot be had: {error}")


@pytest.fixture(scope="module")
def minilm():
    return had("minilm-l6", zoo.load)


@pytest.fixture(scope="module")
def smollm():
    return had("smollm2-135m", zoo.load)


@pytest.fixture(scope="module")
def their_smollm(smollm):
    logging.disable_progress_bar()
    place = {"pretrained_model_name_or_path": zoo.folder("smollm2-135m"), "gguf_file": zoo.GGUF_NAME}
    model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32, attn_implementation="eager")
    return model.eval(), AutoTokenizer.from_pretrained(**place)


def padded(tokenizer, texts):
    encoded = [tokenizer.encode(text).ids for text in texts]
    width = max(map(len, encoded))
    ids = torch.tensor([own + [0] * (width - len(own)) for own in encoded])
    return ids, torch.tensor([[True] * len(own) + [False] * (width - len(own)) for own in encoded])


@torch.no_grad()
def test_minilm_has_transformers_hidden_states_attention_and_embeddings(minilm):
    model, tokenizer = minilm
    theirs = BertModel.from_pretrained(zoo.folder("minilm-l6"), attn_implementation="eager").eval()
    ids, mask = padded(tokenizer, TEXTS)
    with capture(model) as record:
        model(ids, attention_mask=mask)
    expected = theirs(ids, attention_mask=mask.long(), output_hidden_states=True, output_attentions=True)
    real = mask[:, None, :, None]
    maps = [((a - b) * real).abs().max() for a, b in zip(record.attention, expected.attentions, strict=True)]
    assert len(maps) * record.attention[0].size(1) == 72
    assert max(maps) <= 1e-5
    states = zip(record.hidden, expected.hidden_states, strict=True)
    assert max(((a - b) * mask[..., None]).abs().max() for a, b in states) <= 1e-5
    mean = (expected.last_hidden_state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    assert (SentenceEncoder(model)(ids, mask) - F.normalize(mean, dim=1)).abs().max() <= 1e-6


def test_minilm_s_tokenizer_is_bert_s(minilm):
    _, tokenizer = minilm
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    theirs = BertTokenizer(vocab={token: number for number, token in enumerate(vocabulary)})
    for text in TEXTS:
        assert tokenizer.encode(text).ids == theirs(text)["input_ids"]


@pytest.mark.parametrize("name", ["minilm", "smollm"])
def test_a_live_view_shows_the_text_and_no_padding(name, request):
    model, tokenizer = request.getfixturevalue(name)
    view = AttentionView.live(model, tokenizer, TEXTS[0])
    words = ["paris", "is", "the", "capital", "of", "france", "."]
    shown = [token.replace("␣", "").lower() for token in view.tokens if token not in ("[CLS]", "[SEP]")]
    assert shown == words
    assert view.shape == [model.config.n_layers, model.config.n_heads, len(view.tokens), len(view.tokens)]


def test_a_page_may_answer_a_live_view_of_minilm(minilm):
    view = AttentionView.live(*minilm, TEXTS[0])
    assert 'data-model="minilm-l6"' in view._repr_mimebundle_()[0]["text/html"]


@torch.no_grad()
def test_smollm_has_transformers_weights_logits_and_next_tokens(smollm, their_smollm):
    (model, tokenizer), (theirs, their_tokenizer) = smollm, their_smollm
    prompts = [tokenizer.encode(prompt).ids for prompt in PROMPTS]
    assert prompts == their_tokenizer(PROMPTS)["input_ids"]
    ids, mask = left_padded(prompts)
    together = generate(model, ids, NEW_TOKENS, attention_mask=mask, decoding=GREEDY)
    for prompt, row in zip(prompts, together, strict=True):
        written = row[ids.size(1) - len(prompt) :].tolist()
        expected = theirs(torch.tensor([written])).logits[0]
        # so greedy decoding writes the same
        assert expected.argmax(1)[len(prompt) - 1 : -1].tolist() == written[len(prompt) :]
        assert (model(torch.tensor([written]))[0] - expected).abs().max() <= 1e-4
    alone = generate(model, torch.tensor([prompts[0]]), NEW_TOKENS, decoding=GREEDY)
    assert torch.equal(alone[0, -NEW_TOKENS:], together[0, -NEW_TOKENS:])


def test_smollm_s_chat_template_writes_what_transformers_writes(smollm, their_smollm):
    for messages in (CHAT, CHAT[1:2]):
        for answer in (True, False):
            expected = their_smollm[1].apply_chat_template(messages, tokenize=False, add_generation_prompt=answer)
            assert zoo.chat_text("smollm2-135m", messages, answer=answer) == expected


def test_smollm_gives_the_drink_to_mary(smollm):
    view = AttentionView.live(*smollm, PROMPTS[0])
    assert view.next_tokens[0]["token"] == "␣Mary"
    assert view.next_tokens[0]["probability"] > 0.9


def test_the_reviews_are_all_there_and_people_agree_on_most_of_them():
    reviews = had("movie-reviews", lambda _: movie_reviews())
    assert len(reviews) == 10_605
    assert {len(review.ratings) for review in reviews} == set(range(15, 30))
    parts = split(opinions(reviews))
    assert [len(part) for part in parts] == [7017, 1026, 2029]
    assert 0.92 < one_rater([review.ratings for review in parts.test]).accuracy < 0.97
