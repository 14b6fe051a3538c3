"""The logit lens ends where the model ends, and every lead is the sum of what the parts wrote."""

import pytest
import torch
from small_models import random_ids, stir, tiny_gpt

from companion.metrics.lens import logit_lens
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.capture import ablate, capture


def grouped() -> ModernDecoder:
    torch.manual_seed(0)
    sizes = {"n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 16, "d_ff": 24}
    model = ModernDecoder(ModernConfig(vocab_size=31, context_length=16, **sizes)).eval()
    stir(model)
    return model


def run(model, texts=1):
    with torch.no_grad(), capture(model) as record:
        logits = model(random_ids(model, texts, 6))
    return logits, record


@pytest.mark.parametrize("make", [tiny_gpt, grouped], ids=["GPT", "rotary and grouped"])
def test_the_last_level_says_what_the_model_says(make):
    model = make()
    logits, record = run(model)
    lens = logit_lens(model, record, k=3)
    probabilities, tokens = logits[0].softmax(-1).topk(3)
    assert torch.equal(lens.tokens[-1], tokens)
    torch.testing.assert_close(lens.probabilities[-1], probabilities)
    torch.testing.assert_close(lens.norms[1], record.hidden[1][0].norm(dim=-1))


@pytest.mark.parametrize("make", [tiny_gpt, grouped], ids=["GPT", "rotary and grouped"])
def test_a_lead_is_what_all_parts_wrote_up_to_a_constant_of_the_biases(make):
    model = make()
    lens = logit_lens(model, run(model)[1])
    whole = lens.embedding + lens.heads.sum((1, 2)) + lens.feed_forward.sum(1)
    torch.testing.assert_close(whole + lens.constant, lens.lead)
    if make is grouped:  # it has no biases, and its norm takes no mean off
        assert lens.constant.abs().max() < 1e-4


def test_no_part_writes_before_its_block():
    model = tiny_gpt()
    lens = logit_lens(model, run(model)[1])
    for level in range(lens.heads.size(0)):
        assert (lens.heads[level, level:] == 0).all()
        assert (lens.feed_forward[level, level:] == 0).all()
        assert level == 0 or (lens.heads[level, level - 1] != 0).any()


def test_a_head_that_is_silent_has_written_nothing():
    model = tiny_gpt()
    with ablate(model, [(0, 1)]):
        _, record = run(model)
    lens = logit_lens(model, record)
    assert lens.heads[-1, 0, 1].abs().max() == 0
    assert lens.heads[-1, 0, 0].abs().max() > 0


@pytest.mark.parametrize(("texts", "k"), [(2, 5), (1, 1)])
def test_several_texts_or_a_single_token_are_refused(texts, k):
    model = tiny_gpt()
    with pytest.raises(ValueError, match=f"with k >= 2; got {texts} texts and k={k}"):
        logit_lens(model, run(model, texts)[1], k)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_level_that_is_not_finite_says_no_token(bad):
    model = tiny_gpt()
    _, record = run(model)
    record.hidden[1] = record.hidden[1] * bad
    with pytest.raises(FloatingPointError, match="logits must be numbers; row 6 holds nan"):
        logit_lens(model, record)
