"""Settings of a run are refused outside their range as soon as they are made, and cannot be changed afterwards."""

import math
from dataclasses import FrozenInstanceError

import pytest

from companion.training import Checkpoint, Evaluation, Optimization, Runtime


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of sgd, momentum, adam, adamw, muon; got 'lion'"),
        ({"weight_decay": -0.1}, "weight_decay must be finite and at least 0; got -0.1"),
        ({"weight_decay": math.nan}, "weight_decay must be finite and at least 0; got nan"),
        (
            {"schedule": "step"},
            "schedule must be one of cosine, linear, constant, inverse_sqrt, warmup_stable_decay; got 'step'",
        ),
        ({"warmup": -1}, "warmup must be at least 0; got -1"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be above 0, math.inf for no clipping; got 0.0"),
        ({"max_grad_norm": -1.0}, "max_grad_norm must be above 0, math.inf for no clipping; got -1.0"),
        ({"max_grad_norm": math.nan}, "max_grad_norm must be above 0, math.inf for no clipping; got nan"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps must be at least 1; got 0"),
    ],
    ids=str,
)
def test_an_optimization_outside_its_range_is_refused(setting, words):
    with pytest.raises(ValueError, match=words):
        Optimization(**setting)


@pytest.mark.parametrize("setting", [{"every": 0}, {"every": -5}, {"patience": 0}, {"patience": -1}], ids=str)
def test_an_evaluation_counts_from_one(setting):
    (name, count), *_ = setting.items()
    with pytest.raises(ValueError, match=f"{name} must be at least 1; got {count}"):
        Evaluation(lambda model: 0.0, **setting)


@pytest.mark.parametrize("every", [0, -5])
def test_a_checkpoint_counts_from_one(every):
    with pytest.raises(ValueError, match=f"every must be at least 1; got {every}"):
        Checkpoint("run", every)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of auto, float32, bfloat16; got 'int8'"):
        Runtime(precision="int8")


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Optimization().max_grad_norm = -1.0
