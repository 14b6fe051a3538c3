"""What goes wrong is measured right: separation and secrets."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion.metrics.limits import auroc, exposure, next_token, secret_log_probs
from companion.models.gpt import GPT, GPTConfig

numbers = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(vocab_size=9, context_length=10, n_layers=2, n_heads=2, d_model=8)).eval()


def test_the_next_token_is_that_of_the_prompt_alone(model):
    prompts = [[1], [2, 3, 4], [5, 6]]
    together = next_token(model, prompts)
    alone = torch.stack([model(torch.tensor([prompt]))[0, -1].softmax(-1) for prompt in prompts])
    assert torch.allclose(together, alone, atol=1e-6)


def test_the_size_of_a_batch_changes_nothing(model):
    prompts = [[1], [2, 3, 4], [5, 6]]
    assert torch.allclose(next_token(model, prompts), next_token(model, prompts, batch_size=2), atol=1e-6)


def test_no_prompt_is_refused(model):
    with pytest.raises(ValueError, match="at least one row"):
        next_token(model, [])


@given(numbers, numbers)
def test_separation_counts_pairs(high, low):
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    assert auroc(torch.tensor(high), torch.tensor(low)) == pytest.approx(sum(pairs) / len(pairs))


@given(numbers, numbers)
def test_turned_round_it_is_what_is_left(high, low):
    first, second = torch.tensor(high), torch.tensor(low)
    assert auroc(first, second) + auroc(second, first) == pytest.approx(1)


def test_an_empty_side_is_refused():
    with pytest.raises(ValueError, match="got 0 and 1"):
        auroc(torch.zeros(0), torch.zeros(1))


def test_all_secrets_are_scored_as_one_by_one(model):
    found = secret_log_probs(model, [1, 2], [4, 6, 7], 3)
    for place, word in enumerate(itertools.product([4, 6, 7], repeat=3)):
        ids = torch.tensor([[1, 2, *word]])
        log_p = model(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[0, 1:, 0].sum()
        assert found[place].item() == pytest.approx(log_p.item(), abs=1e-4)


@pytest.mark.parametrize(("symbols", "length"), [([1], 0), ([], 2)])
def test_a_secret_of_nothing_is_refused(model, symbols, length):
    with pytest.raises(ValueError, match="at least 1 symbol"):
        secret_log_probs(model, [1], symbols, length)


@given(st.permutations(list(range(16))), st.integers(0, 15))
def test_exposure_is_all_bits_for_the_first_guess_and_none_for_the_last(order, secret):
    log_probs = torch.tensor(order, dtype=torch.float32)
    rank = 16 - order[secret]
    assert exposure(log_probs, secret) == pytest.approx(4 - math.log2(rank))


def test_a_model_that_knows_nothing_gives_away_less_than_two_bits_on_average():
    ranks = torch.arange(1, 10_001).log2()
    assert (math.log2(10_000) - ranks).mean().item() == pytest.approx(1 / math.log(2), abs=0.01)


def test_a_secret_that_is_no_candidate_is_refused():
    with pytest.raises(ValueError, match="secret must be 0 to 3; got 4"):
        exposure(torch.zeros(4), 4)


def test_scores_without_a_sign_do_not_wrap_around():
    low, high = torch.tensor([1], dtype=torch.uint8), torch.tensor([3], dtype=torch.uint8)
    assert (auroc(high, low), auroc(low, high)) == (1, 0)


def test_a_score_that_is_no_number_is_refused():
    numbers, nan = torch.tensor([2.0, 1.0]), torch.tensor([0.0, math.nan])
    for sides in ((numbers, nan), (nan, numbers)):
        with pytest.raises(FloatingPointError, match="must be numbers; row 1 holds nan"):
            auroc(*sides)
    with pytest.raises(FloatingPointError, match="log_probs must be numbers; row 1 holds nan"):
        exposure(nan, 0)
