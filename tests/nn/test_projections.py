"""Projections of one input as one product: the same numbers, and each by itself wherever something looks at it."""

import pytest
import torch
from torch import nn

from companion.nn.projections import projected

HALF = {"device_type": "cpu", "dtype": torch.bfloat16}


def layers(count: int = 3, bias: bool = True, width: int = 6) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(4, width, bias=bias) for _ in range(count)]


def inputs() -> torch.Tensor:
    return torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()


def shared(parts: list[torch.Tensor]) -> bool:
    """Whether the parts lie side by side in one product."""
    return all(part._base is parts[0]._base and part._base is not None for part in parts)


@pytest.mark.parametrize("bias", [True, False])
def test_in_half_precision_values_and_gradients_are_those_of_each_layer(bias):
    ours, x = layers(bias=bias), inputs()
    with torch.autocast(**HALF):
        parts = projected(x, ours)
        alone = [layer(x) for layer in ours]
    assert shared(parts)
    for part, one in zip(parts, alone, strict=True):
        assert part.dtype == torch.bfloat16
        torch.testing.assert_close(part, one, rtol=0, atol=2**-7)
    found, wanted = (
        torch.autograd.grad(sum((part.float() ** 2).sum() for part in some), [x, *nn.ModuleList(ours).parameters()])
        for some in (parts, alone)
    )
    for gradient, one in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, one, rtol=0.05, atol=0.05)


def test_in_single_precision_and_without_gradients_each_layer_is_asked():
    ours, x = layers(), inputs()
    assert not shared(projected(x, ours))
    with torch.no_grad(), torch.autocast(**HALF):
        assert not shared(projected(x, ours))
    for part, layer in zip(projected(x, ours), ours, strict=True):
        assert torch.equal(part, layer(x))


def hooked(ours):
    ours[1].register_forward_hook(lambda module, args, output: output * 0)


def replaced(ours):
    ours[1].forward = lambda x: torch.zeros(*x.shape[:-1], 6)


def another_kind(ours):
    ours[1] = nn.Sequential(nn.Linear(4, 6), nn.Hardtanh(0, 0.0001))


def of_another_width(ours):
    ours[1] = nn.Linear(4, 3)


def without_a_bias(ours):
    ours[1] = nn.Linear(4, 6, bias=False)


@pytest.mark.parametrize("change", [hooked, replaced, another_kind, of_another_width, without_a_bias])
def test_a_layer_that_is_watched_or_of_another_kind_computes_its_own(change):
    ours, x = layers(), inputs()
    change(ours)
    with torch.autocast(**HALF):
        parts = projected(x, ours)
        torch.testing.assert_close(parts[1], ours[1](x))
    assert not shared(parts)
