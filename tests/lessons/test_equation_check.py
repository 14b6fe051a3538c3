"""A check of an equation: which forms are compared, how a difference is measured, and what the result says."""

import dataclasses

import pytest
import torch

from companion.lessons import Checked, Equation, Symbol, equation


def constant(value: float):
    return lambda: torch.tensor([value])


def made(by_hand=0.0, ours: float | None = 0.0, library=0.0) -> Equation:
    return Equation(
        label="eq-test",
        symbols=(Symbol("x_{<t}", "what <b>came</b> before & after", r"n \times d"),),
        draw=lambda g: {},
        by_hand=constant(by_hand),
        companion=None if ours is None else constant(ours),
        library=constant(library),
    )


@pytest.mark.parametrize("values", [(1.0, 1.5, 1.0), (1.5, 1.0, 1.0), (1.0, 1.0, 1.5)])
def test_the_difference_is_the_largest_between_any_two(values: tuple[float, float, float]):
    checked = made(*values).check()
    assert checked.difference == 0.5
    assert not checked


def test_the_result_names_the_forms_that_were_compared():
    assert str(made().check()).startswith("eq-test: by hand, companion and PyTorch agree on 5 random inputs;")
    two = dataclasses.replace(made(ours=None), library_name="sacrebleu")
    assert str(two.check(n=1)).startswith("eq-test: by hand and sacrebleu agree on 1 random inputs;")
    assert str(made(ours=None, library=0.5).check()).startswith("eq-test: by hand and PyTorch DISAGREE")


def test_two_forms_are_compared_where_companion_has_none():
    assert made(ours=None).check().forms == ("by hand", "PyTorch")
    assert made(ours=None, library=0.5).check().difference == 0.5


def test_what_is_not_a_number_does_not_agree():
    assert not made(float("nan"), float("nan"), float("nan")).check()


def test_equal_infinities_agree():
    assert made(float("-inf"), float("-inf"), float("-inf")).check()


def test_another_shape_is_an_error_that_names_both():
    wrong = dataclasses.replace(made(), companion=lambda: torch.zeros(2))
    with pytest.raises(ValueError, match=r"eq-test: by hand returns \[\(1,\)\], companion returns \[\(2,\)\]"):
        wrong.check()


def test_a_check_needs_an_input():
    with pytest.raises(ValueError, match="n must be at least 1, and is 0"):
        made().check(n=0)


def test_a_check_leaves_the_random_numbers_and_the_default_number_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    equation("eq-gpt-forward").check()
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_default_dtype() == torch.float32


def test_the_same_seed_checks_the_same_inputs():
    assert equation("eq-gpt-forward").check(seed=5) == equation("eq-gpt-forward").check(seed=5)


def test_a_notebook_shows_the_check_and_the_symbols_escaped():
    html = made()._repr_html_()
    assert "✓" in html
    assert "x_{&lt;t}" in html
    assert "&lt;b&gt;came&lt;/b&gt; before &amp; after" in html
    assert "by hand, companion and PyTorch agree" in html
    assert "by hand and PyTorch agree" in made(ours=None)._repr_html_()
    assert "✗" in Checked("eq-test", 1.0, 5, ("by hand", "PyTorch"))._repr_html_()
