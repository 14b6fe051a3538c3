"""Scaling law: its form, its compute-optimal split, and the fit that finds it again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.training.flops import training_flops
from companion.training.scaling import (
    CHINCHILLA,
    REFITTED_CHINCHILLA,
    ScalingLaw,
    fit_scaling_law,
    lifetime_flops,
)

SIZES = [(n, d) for n in (2e3, 7e3, 3e4) for d in (1e4, 1e5, 1e6, 1e7)]
LAW = ScalingLaw(0.6, size_scale=40.0, size_exponent=0.6, data_scale=90.0, data_exponent=0.4)

published = pytest.mark.parametrize("law", [CHINCHILLA, REFITTED_CHINCHILLA, LAW], ids=["printed", "refitted", "other"])


def losses(law: ScalingLaw) -> list[float]:
    return [law.loss(n, d) for n, d in SIZES]


@published
@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 2.0])
def test_no_other_split_of_the_budget_has_a_lower_loss(law, factor):
    n, d = law.optimum(1e20)
    assert training_flops(n, d) == pytest.approx(1e20)
    assert law.loss(factor * n, d / factor) > law.loss(n, d)


@given(st.floats(1e3, 1e12), st.floats(1e4, 1e13))
def test_after_the_tokens_for_a_loss_the_model_has_that_loss(parameters, tokens):
    reached = LAW.loss(parameters, tokens)
    assert LAW.loss(parameters, LAW.tokens_for(reached, parameters)) == pytest.approx(reached)


def test_a_model_too_small_for_a_loss_never_has_it():
    assert LAW.tokens_for(LAW.loss(1e9, 1e12), parameters=1e3) == math.inf


@pytest.mark.parametrize("exponents", [(0.2, 0.9), (0.6, 0.4), (1.5, 0.3)])
def test_the_fit_finds_the_law_that_made_the_losses(exponents):
    law = ScalingLaw(0.6, 40.0, exponents[0], 90.0, exponents[1])
    found = fit_scaling_law(*zip(*SIZES, strict=True), losses(law))
    assert found.irreducible == pytest.approx(0.6, rel=1e-3)
    assert (found.size_exponent, found.data_exponent) == pytest.approx(exponents, rel=1e-3)
    assert (found.size_scale, found.data_scale) == pytest.approx((40.0, 90.0), rel=0.02)


def test_a_known_irreducible_loss_is_kept():
    found = fit_scaling_law(*zip(*SIZES, strict=True), losses(LAW), irreducible=0.5)
    assert found.irreducible == 0.5
    assert found.size_exponent != pytest.approx(LAW.size_exponent, rel=1e-3)


def test_the_order_of_the_runs_does_not_change_the_fit():
    n, d = zip(*SIZES, strict=True)
    one, other = fit_scaling_law(n, d, losses(LAW)), fit_scaling_law(n[::-1], d[::-1], losses(LAW)[::-1])
    assert one.irreducible == pytest.approx(other.irreducible)


def test_runs_that_get_worse_with_size_have_no_such_law():
    with pytest.raises(ValueError, match="no law of this form"):
        fit_scaling_law(*zip(*SIZES, strict=True), [1 + n / 1e5 for n, _ in SIZES])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (([1e3] * 4, [1e4] * 4, [2.0] * 4), "at least 5 runs are needed.*got 4, 4 and 4"),
        (([1e3] * 5, [1e4] * 6, [2.0] * 5), "got 5, 6 and 5"),
        (([1e3] * 5, [1e4] * 5, [2.0] * 4 + [-1.0]), "above 0; got -1.0"),
        (([1e3] * 5, [1e4] * 5, [2.0] * 4 + [math.nan]), "finite"),
    ],
)
def test_runs_that_cannot_be_fitted_are_refused(columns, said):
    with pytest.raises(ValueError, match=said):
        fit_scaling_law(*columns)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ScalingLaw(1.0, -1.0, 0.5, 1.0, 0.5),
        lambda: LAW.loss(0, 1e4),
        lambda: LAW.optimum(0),
        lambda: LAW.tokens_for(2.0, parameters=0),
        lambda: lifetime_flops(1.0, 1.0, -1.0),
    ],
)
def test_a_size_that_is_not_above_zero_is_refused(call):
    with pytest.raises(ValueError, match="must be"):
        call()


def test_serving_costs_a_third_of_what_training_on_the_same_token_does():
    assert lifetime_flops(5.0, 0.0, 3.0) == training_flops(5.0, 3.0) / 3
