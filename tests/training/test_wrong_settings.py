"""What is no setting of a run is refused by name before the first step, whatever its type."""

import math

import pytest
import torch
from small_models import random_ids, tiny_gpt

from companion.training import Checkpoint, Evaluation, Optimization, Runtime, fit


def run(**options):
    model = tiny_gpt()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    quiet = {"steps": 2, "runtime": Runtime(device="cpu"), "progress": False}
    try:
        return fit(model, [random_ids(model, 2, 6)], **quiet | options)
    except (TypeError, ValueError):
        assert all(map(torch.equal, before, model.parameters()))
        raise


@pytest.mark.parametrize("rate", ["3e-4", None, True, [1e-3], {"lr": 1e-3}, 1j], ids=str)
def test_a_learning_rate_that_is_no_number_is_refused(rate):
    with pytest.raises(ValueError, match="learning_rate must be a number; got"):
        run(learning_rate=rate)


@pytest.mark.parametrize("steps", [2.0, True, "2", None, math.nan, -1])
def test_a_number_of_steps_that_is_none_is_refused(steps):
    with pytest.raises(ValueError, match="steps must be (an integer|at least 1); got"):
        run(steps=steps)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("optimization", "adamw", "Optimization"),
        ("optimization", {"max_grad_norm": 1.0}, "Optimization"),
        ("optimization", None, "Optimization"),
        ("evaluation", len, "Evaluation"),
        ("evaluation", 100, "Evaluation"),
        ("checkpoint", "run.safetensors", "Checkpoint"),
        ("checkpoint", True, "Checkpoint"),
        ("runtime", "cpu", "Runtime"),
        ("runtime", torch.device("cpu"), "Runtime"),
    ],
    ids=str,
)
def test_settings_of_another_kind_are_refused(name, value, wanted):
    with pytest.raises(TypeError, match=f"{name} must be a companion.training.{wanted}; got"):
        run(**{name: value})


@pytest.mark.parametrize("factor", [None, "x", "1", [1.0], -0.5, math.nan, math.inf], ids=str)
def test_a_factor_of_the_rate_that_is_none_is_refused_with_its_parameter(factor):
    with pytest.raises(ValueError, match="lr_multiplier must be finite and at least 0; got .* for token_embedding"):
        run(optimization=Optimization(lr_multiplier=lambda name, step: factor))


@pytest.mark.parametrize("found", [None, "x", [1.0], torch.ones(2), {"loss": 1.0}, ()], ids=str)
def test_an_evaluation_that_returns_no_number_is_refused(found):
    with pytest.raises(ValueError, match="an evaluation must return one number; got"):
        run(evaluation=Evaluation(lambda model: found))


@pytest.mark.parametrize("found", [1, 1.5, True, torch.tensor(2.0), torch.tensor([2.0])], ids=str)
def test_an_evaluation_may_return_any_number(found):
    assert run(evaluation=Evaluation(lambda model: found)).evaluations == [(0, float(found)), (2, float(found))]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Optimization(max_grad_norm=True),
        lambda: Optimization(max_grad_norm="1"),
        lambda: Optimization(max_grad_norm=None),
        lambda: Optimization(max_grad_norm=-math.inf),
        lambda: Optimization(weight_decay=math.inf),
        lambda: Optimization(weight_decay=None),
        lambda: Optimization(warmup=0.1),
        lambda: Optimization(optimizer=torch.optim.SGD),
        lambda: Optimization(schedule=lambda step: 1.0),
        lambda: Optimization(gradient_accumulation_steps=2.0),
        lambda: Evaluation(3.0),
        lambda: Evaluation(len, every=math.nan),
        lambda: Evaluation(len, patience=math.inf),
        lambda: Checkpoint(None),
        lambda: Runtime(seed=1.5),
        lambda: Runtime(device="gpu"),
    ],
)
def test_a_setting_of_another_type_is_refused_as_it_is_made(make):
    with pytest.raises(ValueError, match=r"must be .*; got"):
        make()


def test_a_model_without_anything_to_train_is_refused():
    model = tiny_gpt().requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter of the GPT requires a gradient; there is nothing to train"):
        fit(model, [random_ids(model, 1, 4)], steps=1, runtime=Runtime(device="cpu"), progress=False)
