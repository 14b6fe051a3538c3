"""Whatever can look into a run of a model, or replace a part of it, is seen before a part is left out."""

import pytest
from small_models import tiny_gpt
from torch import nn
from torch.nn.modules import module as of_all_modules

from companion.nn.attention import MultiHeadAttention
from companion.nn.capture import ablate, capture
from companion.nn.watching import is_watched


def look(*_):
    """A hook that only looks."""


HOOKS = {
    "forward": lambda part: part.register_forward_hook(look),
    "forward, before": lambda part: part.register_forward_pre_hook(look),
    "backward": lambda part: part.register_full_backward_hook(look),
    "backward, before": lambda part: part.register_full_backward_pre_hook(look),
    "forward, of all modules": lambda _: of_all_modules.register_module_forward_hook(look),
    "forward, before, of all modules": lambda _: of_all_modules.register_module_forward_pre_hook(look),
    "backward, of all modules": lambda _: of_all_modules.register_module_full_backward_hook(look),
}


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_a_hook_watches_until_it_is_removed(hook):
    model = tiny_gpt()
    handle = hook(model.blocks[0].attention.output)
    try:
        assert is_watched(model)
    finally:
        handle.remove()
    assert not is_watched(model)


@pytest.mark.parametrize("look_into", [capture, lambda model: ablate(model, [(0, 0)])], ids=["capture", "ablate"])
def test_what_records_or_ablates_watches(look_into):
    model = tiny_gpt()
    with look_into(model):
        assert is_watched(model)
    assert not is_watched(model)


@pytest.mark.parametrize("method", ["forward", "attend"])
def test_a_method_that_someone_replaced_in_a_layer_watches(method):
    layer = MultiHeadAttention(d_model=12, n_heads=3)
    setattr(layer, method, getattr(layer, method))
    assert is_watched(nn.Sequential(layer))
