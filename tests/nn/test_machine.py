"""The precision is chosen by what was measured, once."""

import pytest
import torch

from companion.nn import machine
from companion.nn.machine import GAIN, env, fastest_precision, matrix_rates


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"float32": 1.0, "bfloat16": GAIN + 0.1}, "bfloat16"),
        ({"float32": 1.0, "bfloat16": GAIN}, "float32"),
        ({"float32": 1.0, "bfloat16": 0.1}, "float32"),
        ({"float32": 1.0}, "float32"),
    ],
)
def test_what_was_measured_decides(monkeypatch, rates, expected):
    monkeypatch.setattr(machine, "matrix_rates", lambda kind: rates)
    assert fastest_precision(torch.device("cuda")) == expected
    assert fastest_precision(torch.device("cpu")) == "float32"  # the same weights on every machine


def test_it_is_measured_once(monkeypatch):
    first = matrix_rates("cpu")
    monkeypatch.setattr(machine, "_shortest", lambda matrix: pytest.fail("measured again"))
    assert matrix_rates("cpu") is first
    assert all(rate > 0 for rate in first.values())


def test_a_precision_that_a_device_lacks_is_left_out(monkeypatch):
    def lacking(matrix):
        if matrix.dtype == torch.bfloat16:
            raise RuntimeError("not implemented for BFloat16")
        return 1.0

    monkeypatch.setattr(machine, "_shortest", lacking)
    assert set(matrix_rates.__wrapped__("cpu")) == {"float32"}


def test_the_environment_says_what_a_run_depends_on():
    assert {"python", "torch", "threads", "cpu", "device", "float32_gflops", "precision"} <= env().keys()


@pytest.mark.parametrize("seconds", [(1.0, 2.0), (2.0, 1.0)])
def test_the_faster_way_to_attend_is_the_one_that_was_measured(monkeypatch, seconds):
    fused, plain = seconds
    taken = {machine._fused: fused, machine._plain: plain}
    monkeypatch.setattr(machine, "_shortest_step", lambda step, x: taken[step])
    assert machine.fused_attention_is_fast.__wrapped__("cpu", torch.bfloat16) == (fused < plain)


def test_both_ways_to_attend_are_measured():
    assert machine.fused_attention_is_fast("cpu", torch.bfloat16) in (True, False)
