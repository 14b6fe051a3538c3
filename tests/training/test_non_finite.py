"""A run that meets a number that is not finite says at which step, and in which tensor."""

import pytest
import torch
from small_models import random_ids, tiny_gpt, tiny_t5

from companion.losses import causal_loss
from companion.training import Optimization, Runtime, fit
from companion.training.non_finite import gradient_origin, origin

NAMES = ["token_embedding.weight", "blocks.1.attention.query.weight", "blocks.0.feed_forward_norm.bias"]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", NAMES)
def test_a_weight_is_named(name, bad):
    model = tiny_gpt()
    with torch.no_grad():
        model.get_parameter(name).view(-1)[1] = bad
    with pytest.raises(FloatingPointError, match=f"at step 1; the weight {name} is not finite"):
        fit(model, [random_ids(model, 1, 6)], steps=2, runtime=Runtime(device="cpu"), progress=False)


@pytest.mark.parametrize("name", ["token_embedding", "blocks.0.attention", "blocks.1.feed_forward", "final_norm"])
def test_the_first_output_is_named(name):
    model = tiny_gpt()
    model.get_submodule(name).register_forward_hook(lambda _, __, output: output * torch.inf)
    assert origin(model, lambda: model(random_ids(model, 1, 6))) == f"the output of {name} is not finite"


def test_minus_infinity_is_a_mask_and_no_trouble():
    model = tiny_gpt()
    model.final_norm.register_forward_hook(lambda _, __, output: output.masked_fill(output < 0, -torch.inf))
    assert origin(model.final_norm, lambda: model(random_ids(model, 1, 6))).startswith("each weight and each output")


def test_looking_leaves_no_hook_behind():
    model = tiny_t5()
    ids = random_ids(model, 1, 6)
    origin(model, lambda: model(ids, ids))
    assert not any(module._forward_hooks for module in model.modules())


def test_weights_that_overflow_in_a_step_are_named_at_the_next():
    model = tiny_gpt()
    huge = Optimization("sgd", warmup=0, schedule="constant", weight_decay=0.0)
    with pytest.raises(FloatingPointError, match=r"the loss is nan at step 2; the (weight|output of) .* not finite"):
        fit(
            model,
            [random_ids(model, 2, 8)],
            steps=3,
            learning_rate=1e38,
            optimization=huge,
            runtime=Runtime(device="cpu"),
            progress=False,
        )


def test_the_gradient_that_is_not_finite_is_named():
    model = tiny_gpt()
    model.blocks[1].attention.key.weight.register_hook(lambda gradient: gradient * torch.nan)

    with pytest.raises(FloatingPointError, match="at step 1; the gradient of blocks.1.attention.key.weight is"):
        fit(model, [random_ids(model, 1, 6)], steps=2, runtime=Runtime(device="cpu"), progress=False)


def test_finite_gradients_whose_norm_is_not_are_said_to_be_so():
    model = tiny_gpt()
    causal_loss(model, random_ids(model, 1, 6)).backward()
    assert "their norm is too large" in gradient_origin(model)
