"""Random selection of tokens in each row of a batch, for masking, span corruption and denoising.

Chapter: ``book/algorithms/denoising.ipynb``.
"""

import torch
from torch import Tensor

from companion.nn.checks import check_mask


def real_tokens(ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Attention mask of texts (batch, length), checked; all True when none is given.

    Raises:
        ValueError: on another rank, an empty batch, a mask of another shape, or a row without a real token.
        TypeError: on ids that are not integers, or a mask that is not boolean.
    """
    if ids.dim() != 2 or ids.numel() == 0:
        raise ValueError(f"ids must be (batch, length), neither of them 0; got shape {tuple(ids.shape)}")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise TypeError(f"ids must be whole numbers; got {ids.dtype}")
    check_mask(attention_mask, *ids.shape)
    if attention_mask is None:
        return torch.ones_like(ids, dtype=torch.bool)
    if not bool(attention_mask.any(1).all()):
        row = int(attention_mask.any(1).logical_not().nonzero()[0])
        raise ValueError(f"each row must have a real token; row {row} has none")
    return attention_mask


def check_fraction(name: str, value: float) -> None:
    """Check a fraction of the tokens.

    Args:
        name: name of the argument, for the message.
        value: its value.

    Raises:
        ValueError: when it is not in (0, 1).
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} must be in (0, 1); got {value}")


def uniform(shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Uniform random numbers in [0, 1), drawn on the generator's device and moved to ``device``."""
    where = device if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=where).to(device)


def rounded(expected: Tensor, generator: torch.Generator | None) -> Tensor:
    """Stochastic rounding: each number down or up at random, so that its expectation is the number itself.

    Thus 15 % of 30 tokens are 4 tokens as often as 5, and short texts are not masked less than long ones.
    """
    return (expected + uniform(tuple(expected.shape), expected.device, generator)).floor().long()


def ranks(keys: Tensor) -> Tensor:
    """Rank of each number in its row (batch, n), 0 = the smallest."""
    return keys.argsort(dim=1).argsort(dim=1)


def pick(candidates: Tensor, wanted: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform sample without replacement of ``wanted`` (batch,) of each row's candidates (batch, length).

    Returns:
        boolean (batch, length), True = chosen.
    """
    keys = uniform(tuple(candidates.shape), candidates.device, generator).masked_fill(~candidates, 2.0)
    return candidates & (ranks(keys) < wanted[:, None])


def compact(values: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Kept values of each row, moved to its beginning in order, and padded.

    Args:
        values: (batch, length).
        keep: boolean (batch, length), True = kept.

    Returns:
        values (batch, longest), padded with 0, and a boolean mask of the same shape, True = a real value.
    """
    order = keep.logical_not().long().argsort(dim=1, stable=True)
    lengths = keep.sum(1)
    longest = int(lengths.max())
    real = torch.arange(longest, device=values.device) < lengths[:, None]  # (batch, longest)
    return values.gather(1, order)[:, :longest].masked_fill(~real, 0), real
