"""What training costs: the rule of thumb, the sum over the layers, and what torch counted."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion.models.gpt import GPT, GPTConfig
from companion.training.flops import (
    best_split,
    doubling_time,
    forward_flops,
    measured_flops,
    parameters_in_products,
    training_flops,
)

positive = st.floats(min_value=1.0, max_value=1e20)


def small_gpt(tied: bool = True) -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(vocab_size=23, context_length=12, n_layers=3, n_heads=2, d_model=8, tied=tied))


@given(positive, positive)
def test_twice_the_text_or_twice_the_model_costs_twice(parameters, tokens):
    once = training_flops(parameters, tokens)
    assert training_flops(2 * parameters, tokens) == pytest.approx(2 * once)
    assert training_flops(parameters, 2 * tokens) == pytest.approx(2 * once)


def test_gpt3_costs_what_its_paper_states_within_one_percent():
    assert training_flops(174.6e9, 300e9) == pytest.approx(3.14e23, rel=0.01)


@pytest.mark.parametrize("numbers", [(-1.0, 1.0), (1.0, -1.0)])
def test_a_negative_number_is_refused(numbers):
    with pytest.raises(ValueError, match="at least 0; got"):
        training_flops(*numbers)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("length", [1, 5, 12])
def test_the_sum_over_the_layers_is_what_torch_multiplies(length, tied):
    model = small_gpt(tied)
    measured = measured_flops(model, torch.randint(23, (2, length + 1)))
    predicted = forward_flops(parameters_in_products(model), 3, length, 8)
    assert measured.tokens == 2 * length
    assert measured.forward / measured.tokens == pytest.approx(predicted)
    assert measured.per_token == pytest.approx(3 * predicted)


def test_the_backward_pass_costs_twice_the_forward_pass():
    measured = measured_flops(small_gpt(), torch.randint(23, (2, 6)))
    assert measured.backward == 2 * measured.forward


def test_counting_leaves_the_weights_and_no_gradient():
    model = small_gpt()
    before = [parameter.clone() for parameter in model.parameters()]
    measured_flops(model, torch.randint(23, (2, 6)))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


@given(positive, st.floats(min_value=0.1, max_value=1e3))
def test_the_best_split_spends_the_whole_budget(flops, ratio):
    parameters, tokens = best_split(flops, ratio)
    assert training_flops(parameters, tokens) == pytest.approx(flops)
    assert tokens / parameters == pytest.approx(ratio)


def test_gophers_budget_is_best_spent_on_chinchilla():
    parameters, tokens = best_split(5.76e23)
    assert parameters == pytest.approx(70e9, rel=0.05)
    assert tokens == pytest.approx(1.4e12, rel=0.05)


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0; got 0"):
        best_split(0.0)


@given(st.floats(min_value=0.1, max_value=10), st.lists(st.integers(0, 60), min_size=2, max_size=9, unique=True))
def test_the_doubling_time_of_an_exponential_is_found(period, months):
    when = [month / 12 for month in months]
    amounts = [3.0 * 2 ** (t / period) for t in when]
    assert doubling_time(when, amounts) == pytest.approx(period, rel=1e-6)


@pytest.mark.parametrize(("when", "amounts"), [([1.0], [1.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, 0.0])])
def test_a_line_through_too_little_is_refused(when, amounts):
    with pytest.raises(ValueError, match="two different dates or more"):
        doubling_time(when, amounts)


def test_halving_is_a_negative_doubling():
    assert math.isclose(doubling_time([0.0, 1.0], [2.0, 1.0]), -1.0)
