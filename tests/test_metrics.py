"""Cross-entropy scores each token of a text once; perplexity and bits follow from it."""

import math

import pytest
import torch
from models import random_ids, tiny_gpt

from companion.metrics import bits_per_character, cross_entropy, perplexity


def surprisals_by_hand(model, stream, window):
    """Each token's -log p, its window's earlier tokens given, one forward pass a token."""
    for position in range(1, len(stream)):
        start = (position - 1) // window * window
        logits = model(stream[None, start:position])[0, -1]
        yield -logits.log_softmax(-1)[stream[position]].item()


@pytest.mark.parametrize("tokens", [2, 9, 16, 17, 18, 33, 50])
def test_every_token_but_the_first_is_scored_once(tokens):
    model = tiny_gpt()
    stream = random_ids(model, 1, tokens)[0]
    expected = list(surprisals_by_hand(model, stream, model.config.context_length))
    assert len(expected) == tokens - 1
    assert cross_entropy(model, stream) == pytest.approx(sum(expected) / len(expected), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_the_batch_size_does_not_matter(batch_size):
    model = tiny_gpt()
    stream = random_ids(model, 1, 100)[0]
    assert cross_entropy(model, stream, batch_size) == pytest.approx(cross_entropy(model, stream), abs=1e-6)


def test_the_mode_of_the_model_is_left_alone():
    model = tiny_gpt().train()
    cross_entropy(model, random_ids(model, 1, 9)[0])
    assert model.training


@pytest.mark.parametrize("shape", [(0,), (1,), (1, 9)])
def test_a_stream_without_anything_to_predict_is_refused(shape):
    with pytest.raises(ValueError, match=r"stream must be \(tokens >= 2,\); got shape \("):
        cross_entropy(tiny_gpt(), torch.zeros(shape, dtype=torch.long))


def test_a_uniform_guess_among_n_has_perplexity_n():
    assert perplexity(math.log(50)) == pytest.approx(50)


def test_one_bit_a_token_over_half_as_many_tokens_as_characters_is_half_a_bit():
    assert bits_per_character(math.log(2), tokens=10, characters=20) == pytest.approx(0.5)


def test_a_text_without_characters_is_refused():
    with pytest.raises(ValueError, match="at least 1 character; got 0"):
        bits_per_character(1.0, tokens=0, characters=0)
