"""Live views with whatever ``AutoTokenizer`` loads: the text is shown as the model reads it, and nothing else is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig
from companion.nn.capture import capture
from companion.widgets import AttentionView

SENTENCES = ["Tom is in the garden .", "Anna gives the ball to Tom .", "Where is the ball ? It is in the park ."]
TEXT, OTHER = "Tom is in the park .", "Anna"
SPECIAL = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
LONGEST = 24


def word_piece() -> Tokenizer:
    """As a BERT's: lower case, words in pieces, a token before and one behind."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=list(SPECIAL.values()), show_progress=False)
    made.train_from_iterator(SENTENCES, trainer)
    ends = [(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ends)
    return made


def byte_level() -> Tokenizer:
    """As a GPT-2's: bytes, with the space before a word."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(SENTENCES, trainer)
    return made


def unigram() -> Tokenizer:
    """As a T5's: pieces with a mark for the space, an end behind."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["[PAD]", "</s>", "[UNK]"], unk_token="[UNK]", show_progress=False
    )
    made.train_from_iterator(SENTENCES, trainer)
    made.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    return made


def words() -> Tokenizer:
    """Whole words."""
    known = [*SPECIAL.values(), "Tom", "is", "in", "the", "park", ".", "Anna"]
    vocabulary = {token: number for number, token in enumerate(known)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def padding_to_a_length(made: Tokenizer) -> Tokenizer:
    made.enable_padding(length=20, pad_id=made.token_to_id("[PAD]"), pad_token="[PAD]")
    return made


def cutting(made: Tokenizer) -> Tokenizer:
    made.enable_truncation(max_length=3)
    return made


def with_a_token_more(made: Tokenizer) -> Tokenizer:
    made.add_special_tokens([AddedToken("the park", normalized=False)])
    return made


KINDS: dict[str, tuple[Callable[[], Tokenizer], dict]] = {
    "WordPiece": (word_piece, SPECIAL),
    "WordPiece that pads to a length": (lambda: padding_to_a_length(word_piece()), SPECIAL),
    "WordPiece that pads on the left": (word_piece, SPECIAL | {"padding_side": "left"}),
    "WordPiece that cuts": (lambda: cutting(word_piece()), SPECIAL),
    "WordPiece with a shorter longest text": (word_piece, SPECIAL | {"model_max_length": 12}),
    "bytes": (byte_level, {"eos_token": "<|endoftext|>"}),
    "bytes, padding being the end": (byte_level, {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}),
    "bytes with a template of a chat": (byte_level, {"chat_template": "{% for m in messages %}{{ m }}{% endfor %}"}),
    "unigram": (unigram, {"eos_token": "</s>", "unk_token": "[UNK]", "pad_token": "[PAD]"}),
    "words": (words, SPECIAL),
    "words and one of two words": (lambda: with_a_token_more(words()), SPECIAL),
    "words, cleaned when they are decoded": (words, SPECIAL | {"clean_up_tokenization_spaces": True}),
}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> PreTrainedTokenizerBase:
    """One as it comes from a folder."""
    make, said = KINDS[request.param]
    PreTrainedTokenizerFast(tokenizer_object=make(), **said).save_pretrained(tmp_path)
    return AutoTokenizer.from_pretrained(tmp_path)


def read_by(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids as ``transformers`` gives them, of a text that is neither padded nor cut."""
    return tokenizer(text, padding=False, truncation=False)["input_ids"]


def shown(view: AttentionView) -> np.ndarray:
    return np.frombuffer(view.attention, np.float16).reshape(view.shape)


@pytest.mark.parametrize("family", ["GPT", "BERT"])
def test_a_model_of_this_package_shows_the_text_it_reads(tokenizer, family):
    torch.manual_seed(0)
    if family == "GPT":
        model = GPT(GPTConfig(len(tokenizer), LONGEST, n_layers=2, n_heads=2, d_model=8)).eval()
    else:
        model = Bert(BertConfig(len(tokenizer), LONGEST, n_layers=2, n_heads=2, d_model=8)).eval()
    view = AttentionView.live(model, tokenizer, TEXT)
    for text in (TEXT, OTHER, TEXT):
        view.text = text
        ids = read_by(tokenizer, text)
        assert not view.error
        assert len(view.tokens) == len(ids)
        assert "[PAD]" not in view.tokens
        with torch.no_grad(), capture(model) as record:
            model(torch.tensor([ids]))
        np.testing.assert_allclose(shown(view), torch.cat(record.attention).numpy(), atol=1e-3)


def test_a_model_of_transformers_shows_the_text_it_reads(tokenizer):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=LONGEST, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    view = AttentionView.live(model, tokenizer, TEXT)
    ids = read_by(tokenizer, TEXT)
    assert not view.error
    assert len(view.tokens) == len(ids)
    assert "[PAD]" not in view.tokens
    model.set_attn_implementation("eager")
    with torch.no_grad():
        found = model(torch.tensor([ids]), output_attentions=True).attentions
    np.testing.assert_allclose(shown(view), torch.cat(found).numpy(), atol=1e-3)


def test_a_vocabulary_larger_than_the_models_is_told_and_the_next_text_answered(tokenizer):
    torch.manual_seed(0)
    smallest = max(read_by(tokenizer, OTHER)) + 1
    model = GPT(GPTConfig(smallest, LONGEST, n_layers=1, n_heads=2, d_model=8)).eval()
    view = AttentionView.live(model, tokenizer, OTHER)
    before = view.tokens
    if max(read_by(tokenizer, TEXT)) >= smallest:
        view.text = TEXT
        assert f"{smallest}" in view.error or f"{smallest - 1}" in view.error
        assert view.tokens == before
        view.text = OTHER
    assert not view.error
