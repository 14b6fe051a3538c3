"""Beam search finds what exhaustive search finds where it can look everywhere, and what ``transformers`` finds."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT, gpt2, random_ids, stir, tiny_gpt, tiny_transformer

from companion.data.batch import padded
from companion.generation import GREEDY, BeamSearch, generate
from companion.generation.beam_search import beam_search, continuations
from companion.generation.decoding import DecodingState, EncoderDecoder, EncoderDecoderState
from companion.generation.sampling import left_padded
from companion.models.gpt import GPT
from companion.models.t5 import T5

VOCAB, NEW = 4, 4
FAMILIES = {"GPT": tiny_gpt, "Transformer": tiny_transformer}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return FAMILIES[request.param]()


def begin(model, ids, mask=None, use_cache=True):
    return (EncoderDecoderState if isinstance(model, EncoderDecoder) else DecodingState)(model, ids, mask, use_cache)


def finished_texts(stops):
    """Every text of at most NEW tokens that ends with one of ``stops`` or is as long as can be."""
    for length in range(1, NEW + 1):
        for text in itertools.product(range(VOCAB), repeat=length):
            if not stops & {*text[:-1]} and (text[-1] in stops or length == NEW):
                yield text


@torch.no_grad()
def log_probability(model, ids, text):
    """Of ``text`` after the one row ``ids``, token by token from whole runs."""
    if isinstance(model, EncoderDecoder):
        before = torch.tensor([[model.config.start_id]])
        logits = model(ids, torch.cat([before, torch.tensor([text[:-1]], dtype=torch.long)], dim=1))
    else:
        before = ids
        logits = model(torch.cat([ids, torch.tensor([text[:-1]], dtype=torch.long)], dim=1))
    log_probs = logits[0, before.size(1) - 1 :].log_softmax(-1)
    return log_probs[range(len(text)), list(text)].sum().item()


@pytest.mark.parametrize("stop", [None, 2, (2, 3)])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.5, -1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_beam_for_every_text_finds_the_best_of_all(family, penalty, stop):
    model = FAMILIES[family](vocab_size=VOCAB)
    ids = random_ids(model, 1, 3)
    stops = {None: set(), 2: {2}, (2, 3): {2, 3}}[stop]
    scores = {t: log_probability(model, ids, t) / len(t) ** penalty for t in finished_texts(stops)}
    best = max(scores, key=scores.get)
    found, score = beam_search(begin(model, ids), NEW, BeamSearch(VOCAB**NEW, penalty), stop)
    assert tuple(found[0, -len(best) :].tolist()) == best
    assert score.item() == pytest.approx(scores[best], abs=1e-5)


@settings(PATIENT, max_examples=10)
@given(seed=st.integers(0, 10_000), low=st.floats(-1, 3), more=st.floats(0, 2))
def test_the_best_text_under_a_larger_length_penalty_is_no_shorter(seed, low, more):
    model = tiny_gpt(seed, vocab_size=VOCAB)
    ids = random_ids(model, 1, 3, seed)
    lengths = [
        generate(model, ids, NEW, decoding=BeamSearch(VOCAB**NEW, length_penalty=p), stop=2).size(1)
        for p in (low, low + more)
    ]
    assert lengths[0] <= lengths[1]


# Parity


@pytest.fixture(scope="module", params=[2, 3, 5])
def both(request, tmp_path_factory):
    """A number of beams, GPT-2 in ``transformers`` and the same weights here."""
    theirs, folder = gpt2(seed=request.param), tmp_path_factory.mktemp("gpt2")
    theirs.save_pretrained(folder)
    return request.param, theirs, GPT.from_pretrained(folder)


@pytest.mark.parametrize("place", [None, 2, 5], ids=lambda place: f"stop {place}")
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_transformers_finds_the_same(both, penalty, place):
    beams, theirs, ours = both
    ids, real = left_padded([[5, 9, 2, 30], [7], [11, 8]])
    stop, fill = None, {}
    if place is not None:  # a token that the first text comes to
        stop = generate(ours, ids, 9, attention_mask=real, decoding=BeamSearch(beams))[0, 4 + place].item()
        fill = {"eos_token_id": stop, "pad_token_id": stop}
    how = {"num_beams": beams, "length_penalty": penalty, "do_sample": False, "early_stopping": "never"}
    expected = theirs.generate(ids, attention_mask=real.long(), max_new_tokens=9, **how, **fill)
    found = generate(ours, ids, 9, attention_mask=real, decoding=BeamSearch(beams, length_penalty=penalty), stop=stop)
    assert torch.equal(found, expected)
    if (beams, penalty, place) == (5, 0.0, 2):
        assert found.size(1) < 4 + 9  # some do stop early


@pytest.fixture(scope="module")
def both_t5(tmp_path_factory):
    from transformers import T5Config, T5ForConditionalGeneration  # slow to import, and most tests do without

    torch.manual_seed(0)
    sizes = {"vocab_size": 41, "d_model": 18, "d_kv": 6, "num_heads": 3, "num_layers": 2, "d_ff": 30}
    theirs = T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0, pad_token_id=0)).eval()
    stir(theirs)
    folder = tmp_path_factory.mktemp("t5")
    theirs.save_pretrained(folder)
    return theirs, T5.from_pretrained(folder)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("beams", [2, 4])
def test_transformers_finds_the_same_answer(both_t5, beams, penalty):
    theirs, ours = both_t5
    ids, real = padded([[5, 9, 2, 30], [7], [11, 8]])
    how = {"num_beams": beams, "length_penalty": penalty, "do_sample": False, "early_stopping": "never"}
    fill = {"eos_token_id": 7, "pad_token_id": 7}
    expected = theirs.generate(ids, attention_mask=real.long(), max_new_tokens=9, **how, **fill)
    found = generate(ours, ids, 9, attention_mask=real, decoding=BeamSearch(beams, length_penalty=penalty), stop=7)
    assert torch.equal(found, expected)


# The same however it is computed


@pytest.mark.parametrize("stop", [None, 4])
def test_one_beam_is_greedy(model, stop):
    ids = random_ids(model, 4, 5)
    found, _ = beam_search(begin(model, ids), 10, BeamSearch(1, length_penalty=0.0), stop)
    assert torch.equal(found, generate(model, ids, 10, decoding=GREEDY, stop=stop))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_the_cache_changes_nothing(model, penalty):
    ids = random_ids(model, 3, 4)
    search = BeamSearch(3, penalty)
    cached, score = beam_search(begin(model, ids), 10, search, stop=4)
    uncached, again = beam_search(begin(model, ids, use_cache=False), 10, search, stop=4)
    assert torch.equal(cached, uncached)
    torch.testing.assert_close(score, again)


def test_a_batch_gives_what_its_rows_give_alone(model):
    ids = random_ids(model, 4, 5)
    together = generate(model, ids, 10, decoding=BeamSearch(3), stop=4)
    for row, found in zip(ids, together, strict=True):
        alone = generate(model, row[None], 10, decoding=BeamSearch(3), stop=4)
        assert torch.equal(found[: alone.size(1)], alone[0])
        assert (found[alone.size(1) :] == 4).all()


def test_padded_prompts_give_what_they_give_alone(model):
    prompts = [[5, 9, 2, 3, 8], [7], [11, 8]]
    ids, real = left_padded(prompts)
    together = generate(model, ids, 8, attention_mask=real, decoding=BeamSearch(4))
    for prompt, found in zip(prompts, together, strict=True):
        assert torch.equal(found[-8:], generate(model, torch.tensor([prompt]), 8, decoding=BeamSearch(4))[0, -8:])


def test_the_score_is_the_log_probability_over_the_length_to_the_power(model):
    ids = random_ids(model, 1, 4)
    found, score = beam_search(begin(model, ids), 6, BeamSearch(3, length_penalty=0.7))
    text = tuple(found[0, -6:].tolist())
    assert score.item() == pytest.approx(log_probability(model, ids, text) / 6**0.7, abs=1e-5)


def test_what_follows_the_stop_is_the_stop(model):
    ids = random_ids(model, 6, 3)
    found = generate(model, ids, 12, decoding=BeamSearch(3, length_penalty=0.0), stop=4)
    begins = 1 if isinstance(model, EncoderDecoder) else 3
    for row in found[:, begins:].tolist():
        if 4 in row:
            assert set(row[row.index(4) :]) == {4}


def test_the_search_ends_when_nothing_can_win_any_more():
    model = tiny_gpt()
    with torch.no_grad():
        model.unembedding.weight.zero_()  # every token is as likely, so stopping at once is best
    runs = []
    handle = model.register_forward_hook(lambda *_: runs.append(1))
    found = generate(model, torch.tensor([[1, 2]]), 10, decoding=BeamSearch(31, length_penalty=0.0), stop=4)
    handle.remove()
    assert found.tolist() == [[1, 2, 4]]
    assert len(runs) == 1


def test_the_prompt_is_read_once_for_all_beams():
    model, shapes = tiny_gpt(), []
    handle = model.register_forward_pre_hook(lambda _, arguments: shapes.append(tuple(arguments[0].shape)))
    generate(model, random_ids(model, 2, 5), 3, decoding=BeamSearch(4))
    handle.remove()
    assert shapes == [(2, 5), (8, 1), (8, 1)]


def test_more_beams_than_tokens_are_no_trouble():
    model = tiny_gpt(vocab_size=2)
    found, score = beam_search(begin(model, torch.tensor([[0]])), 3, BeamSearch(50))
    assert found.shape == (1, 4)
    assert score.isfinite().all()


def test_continuations_are_the_best_of_all_beams_together():
    log_probs = torch.tensor([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05]]).log()
    total, parent, token = continuations(torch.tensor([[0.6, 0.4]]).log(), log_probs, 3)
    torch.testing.assert_close(total.exp(), torch.tensor([[0.36, 0.30, 0.24]]))
    assert parent.tolist() == [[1, 0, 0]]
    assert token.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("training", [False, True])
def test_dropout_is_off_and_the_mode_is_kept(training):
    model = tiny_transformer(dropout=0.5).train(training)
    ids = random_ids(model, 2, 4)
    found = generate(model, ids, 5, decoding=BeamSearch(2))
    assert model.training == training
    assert torch.equal(found, generate(model.eval(), ids, 5, decoding=BeamSearch(2)))


# What is refused


def test_a_beam_search_shows_no_token_before_its_end(model):
    with pytest.raises(ValueError, match="leave on_token out; got <built-in function print>"):
        generate(model, random_ids(model, 1, 3), 2, decoding=BeamSearch(2), on_token=print)


@pytest.mark.parametrize("penalty", [float("nan"), float("inf")])
def test_a_length_penalty_that_is_not_finite_is_refused(penalty):
    with pytest.raises(ValueError, match=f"length_penalty must be -20 to 20; got {penalty}"):
        BeamSearch(2, penalty)


@pytest.mark.parametrize("beams", [0, -1])
def test_fewer_than_one_beam_are_refused(beams):
    with pytest.raises(ValueError, match=f"beams must be at least 1; got {beams}"):
        BeamSearch(beams)


@pytest.mark.parametrize("beams", [2.5, "2", None, True, 10**12])
def test_a_number_of_beams_that_cannot_be_is_refused(beams):
    with pytest.raises(ValueError, match="beams must be"):
        BeamSearch(beams)


def test_a_result_longer_than_the_context_is_refused():
    model = tiny_gpt()
    with pytest.raises(ValueError, match="4 prompt tokens and 13 new ones are 17; the context holds 16"):
        generate(model, random_ids(model, 1, 4), 13, decoding=BeamSearch(2))
