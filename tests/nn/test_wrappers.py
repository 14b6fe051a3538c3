"""Names and parameters of a model are the same with and without the wrappers that torch puts around it."""

import pytest
import torch
from small_models import tiny_gpt
from torch import nn

from companion.nn.wrappers import plain_name, unwrapped


def compiled(model):
    return torch.compile(model, backend="eager")


def with_a_compiled_block(model):
    model.blocks[0] = compiled(model.blocks[0])
    return model


WRAPS = {
    "none": lambda model: model,
    "compiled": compiled,
    "parallel": nn.DataParallel,
    "compiled, parallel": lambda model: nn.DataParallel(compiled(model)),
    "parallel, compiled": lambda model: compiled(nn.DataParallel(model)),
    "a block compiled": with_a_compiled_block,
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_a_wrapped_model_has_the_names_of_a_plain_one(wrap):
    wanted = [name for name, _ in tiny_gpt().named_parameters()]
    assert [plain_name(name) for name, _ in unwrapped(wrap(tiny_gpt())).named_parameters()] == wanted


def test_a_module_of_one_s_own_that_is_called_module_is_no_wrapper():
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 2)
            self.weight = nn.Parameter(torch.ones(1))

    holder = Holder()
    assert unwrapped(holder) is holder
