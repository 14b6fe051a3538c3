"""Two processes train the model that one trains, data-parallel and fully sharded, and a failure is an error."""

import sys
from typing import Any

import pytest

from companion.lessons.scaling_out import experiments as e


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    model = e.new_model()
    return e.summary(model, e.trained(model))


@pytest.fixture(scope="module")
def together() -> dict[str, Any]:
    return e.torchrun(2)


@pytest.mark.slow
@pytest.mark.parametrize("way", e.WAYS)
def test_two_processes_have_the_losses_and_the_weights_of_one(
    way: str, alone: dict[str, Any], together: dict[str, Any]
):
    found = together[way]
    assert found["loss"] == pytest.approx(alone["loss"], abs=1e-5)
    assert found["gradient norm"] == pytest.approx(alone["gradient norm"], abs=1e-4)
    assert found["squares"] == pytest.approx(alone["squares"], rel=1e-6)


@pytest.mark.slow
def test_only_sharded_weights_are_divided_between_the_processes(alone: dict[str, Any], together: dict[str, Any]):
    assert together["data-parallel"]["elements"] == alone["elements"]
    assert together["fully sharded"]["elements"] == pytest.approx(alone["elements"] / 2, rel=0.01)


def test_accumulated_parts_have_the_losses_of_the_whole_batch(alone: dict[str, Any]):
    model = e.new_model()
    assert e.trained(model, accumulated=4).loss == pytest.approx(alone["loss"], abs=1e-5)


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="data-parallel, fully sharded; got 'faster'"):
        e.wrapped(e.new_model(), "faster")


def test_a_run_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "false")  # a program that only fails
    with pytest.raises(RuntimeError, match="torchrun ended with 1"):
        e.torchrun(1)
