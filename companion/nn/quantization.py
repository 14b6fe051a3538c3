"""Quantization of weights: each block of a row is rounded to the nearest of a few evenly spaced numbers.

Chapter: ``book/algorithms/inference.ipynb``. Sources: Jacob et al. 2018 (scale and zero point); Dettmers et al. 2022,
"8-bit Optimizers via Block-wise Quantization" (blocks); the ggml project, whose Q8_0, Q4_0 and Q4_1 are such grids.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.nn.checks import check_integer
from companion.nn.field_types import check_field_types


@dataclass(frozen=True)
class Grid:
    """Evenly spaced numbers to which a block of weights is rounded.

    Attributes:
        bits: of a code, 2 to 8.
        block_size: number of weights that share a scale.
        offset: whether the grid of a block reaches from its smallest weight to its largest, ``scale code + offset``;
            without, it is symmetric about 0, from minus the largest magnitude to the largest.

    >>> Grid(bits=4, block_size=32, offset=True).bits_per_weight
    5.0
    """

    bits: int
    block_size: int = 32
    offset: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError on bits outside 2 to 8, or a block below 1."""
        check_field_types(self)
        check_integer("bits", self.bits, least=2, most=8)
        check_integer("block_size", self.block_size)

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight, those of the block's 16-bit scale and offset included."""
        return self.bits + 16 * (1 + self.offset) / self.block_size


@dataclass(frozen=True)
class Codes:
    """A matrix as codes, ``weight = scale code + offset``.

    Attributes:
        codes: integers (rows, blocks, block_size).
        scales: float16 (rows, blocks).
        offsets: float16 (rows, blocks); 0 on a symmetric grid.
        grid: what it was rounded to.
    """

    codes: Tensor
    scales: Tensor
    offsets: Tensor
    grid: Grid

    @property
    def n_bytes(self) -> int:
        """Number of bytes, codes packed."""
        return int(self.codes.numel() * self.grid.bits_per_weight / 8)

    def widened(self) -> Tensor:
        """The weights that the codes stand for, float32 (rows, columns)."""
        weights = self.codes.float() * self.scales.float()[..., None] + self.offsets.float()[..., None]
        return weights.flatten(1)


def quantize(weight: Tensor, grid: Grid) -> Codes:
    """Codes of a matrix, each weight rounded to the nearest number of its block's grid.

    Args:
        weight: (rows, columns); the columns are a multiple of ``grid.block_size``.
        grid: the numbers to choose from.

    Raises:
        ValueError: when the blocks do not fit, or the weight is no matrix.

    >>> quantize(torch.tensor([[-7.0, 0.4, 2.6, 7.0]]), Grid(bits=4, block_size=4)).codes
    tensor([[[-7,  0,  3,  7]]], dtype=torch.int16)
    """
    if weight.dim() != 2 or weight.size(1) % grid.block_size:
        raise ValueError(f"weight must be (rows, a multiple of {grid.block_size}); got shape {tuple(weight.shape)}")
    blocks = weight.detach().float().unflatten(1, (-1, grid.block_size))  # (rows, blocks, block_size)
    if grid.offset:
        low, high = blocks.amin(-1), blocks.amax(-1)
        scales, offsets, most = (high - low) / (2**grid.bits - 1), low, 2**grid.bits - 1
        least = 0
    else:
        most = 2 ** (grid.bits - 1) - 1
        scales, offsets, least = blocks.abs().amax(-1) / most, torch.zeros_like(blocks[..., 0]), -most
    scales, offsets = scales.half(), offsets.half()  # as they are stored, so that codes fit what is read back
    steps = scales.float().masked_fill(scales == 0, 1.0)  # a block of equal weights
    codes = ((blocks - offsets.float()[..., None]) / steps[..., None]).round().clamp(least, most)
    return Codes(codes.to(torch.int16), scales, offsets, grid)


@contextmanager
def rounded_weights(model: nn.Module, grid_of: Callable[[str], Grid | None]) -> Iterator[float]:
    """Let a model compute with rounded weights inside the block, and give it its own back at the end.

    Args:
        model: changed meanwhile.
        grid_of: name of a matrix -> the grid to which it is rounded, or None to leave it.

    Yields:
        bytes of all parameters if stored so; what is not rounded counts 2 bytes per number.

    >>> layer = nn.Linear(32, 2, bias=False)
    >>> with rounded_weights(layer, lambda name: Grid(bits=4)) as n_bytes:
    ...     n_bytes
    36.0
    """
    kept: dict[str, Tensor] = {}
    n_bytes = 0.0
    with torch.no_grad():
        try:
            for name, parameter in model.named_parameters():
                grid = grid_of(name) if parameter.dim() == 2 else None
                n_bytes += 2.0 * parameter.numel() if grid is None else parameter.numel() * grid.bits_per_weight / 8
                if grid is not None:
                    kept[name] = parameter.detach().clone()
                    parameter.copy_(quantize(parameter, grid).widened())
            yield n_bytes
        finally:
            parameters = dict(model.named_parameters())
            for name, values in kept.items():
                parameters[name].copy_(values)
