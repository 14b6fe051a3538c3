"""The tiny autograd finds the values and the gradients that PyTorch finds, on graphs drawn at random."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.nn.autograd import Value

NUMBERS = st.floats(-2, 2)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "mul", "sub", "neg", "exp", "log", "tanh", "relu"]), st.integers(0), st.integers(0)
    ),
    min_size=1,
    max_size=8,
)


def grown(leaves: list, steps: list[tuple[str, int, int]]):
    """The last number of a graph that uses Python's operators and the methods that a Value and a tensor both have."""
    numbers = list(leaves)
    for name, i, j in steps:
        a, b = numbers[i % len(numbers)], numbers[j % len(numbers)]
        result = {
            "add": lambda a=a, b=b: a + b,
            "mul": lambda a=a, b=b: a * b,
            "sub": lambda a=a, b=b: a - b,
            "neg": lambda a=a: -a,
            "exp": lambda a=a: a.tanh().exp(),  # of what stays small
            "log": lambda a=a: (a * a + 1.0).log(),  # of what stays positive
            "tanh": lambda a=a: a.tanh(),
            "relu": lambda a=a: a.relu(),
        }[name]()
        numbers.append(result.tanh() if name == "mul" else result)
    return numbers[-1]


@settings(deadline=None)
@given(leaves=st.lists(NUMBERS, min_size=1, max_size=4), steps=STEPS)
def test_values_and_gradients_are_those_of_pytorch(leaves: list[float], steps: list[tuple[str, int, int]]):
    ours = [Value(x) for x in leaves]
    theirs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in leaves]
    top, expected = grown(ours, steps), grown(theirs, steps)
    top.backward()
    gradients = torch.autograd.grad(expected, theirs, allow_unused=True)
    assert top.data == pytest.approx(expected.item(), rel=1e-12, abs=1e-12)
    for one, other in zip(ours, gradients, strict=True):
        assert one.grad == pytest.approx(0.0 if other is None else other.item(), rel=1e-12, abs=1e-12)


def test_a_number_that_is_used_twice_gets_the_sum_of_both_gradients():
    x = Value(3.0)
    (x * x + x).backward()
    assert x.grad == 7.0


def test_gradients_of_two_results_add_up():
    x = Value(2.0)
    (x * 3).backward()
    (x * 4).backward()
    assert x.grad == 7.0


def test_a_number_beside_the_result_gets_no_gradient():
    x, beside = Value(1.0), Value(2.0)
    _ = x * beside
    (x + 1).backward()
    assert beside.grad == 0.0


def test_a_chain_of_ten_thousand_steps_is_no_recursion():
    x = top = Value(0.0)
    for _ in range(10_000):
        top = top + 1
    top.backward()
    assert (top.data, x.grad) == (10_000, 1.0)


def test_numbers_may_stand_on_either_side():
    x = Value(2.0)
    assert ((3 * x).data, (3 + x).data, (x - 3).data) == (6.0, 5.0, -1.0)


def test_the_slope_at_a_corner_of_relu_is_zero():
    x = Value(0.0)
    x.relu().backward()
    assert x.grad == 0.0


def test_the_logarithm_of_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="math domain|positive"):
        Value(-1.0).log()
    assert Value(math.e).log().data == pytest.approx(1.0)
