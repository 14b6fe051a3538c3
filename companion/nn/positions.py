"""Positional encodings, sinusoidal and rotary (RoPE), and the positions of padded tokens.

Chapters: ``book/concepts/storyworld.ipynb``, "A better start"; ``book/algorithms/modern_decoder.ipynb``. Sources:
Vaswani et al. 2017, section 3.5; Su et al. 2021, "RoFormer", section 3.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def sinusoidal_positions(length: int, d_model: int, base: float = 10_000.0) -> Tensor:
    """Return the sinusoidal positional encoding: sines and cosines of each position, fast ones first.

    ``PE[p, 2i] = sin(p / base^(2i / d_model))`` and ``PE[p, 2i + 1] = cos(p / base^(2i / d_model))``. A shift by k
    positions rotates each pair by a fixed angle, whatever p is.

    Args:
        length: number of positions.
        d_model: size of each vector, even.
        base: number that sets the longest wavelength, about ``2 pi base`` positions.

    Returns:
        (length, d_model), values between -1 and 1.

    Raises:
        ValueError: when ``d_model`` is odd, or a size is below 1, or the base not above 1.

    Example:
        >>> sinusoidal_positions(2, 4, base=100).round(decimals=2)
        tensor([[0.0000, 1.0000, 0.0000, 1.0000],
                [0.8400, 0.5400, 0.1000, 1.0000]])
    """
    if length < 1 or d_model < 2 or d_model % 2:
        raise ValueError(f"length must be at least 1 and d_model even, at least 2; got {length} and {d_model}")
    if base <= 1:
        raise ValueError(f"base must be above 1; got {base}")
    position = torch.arange(length, dtype=torch.float64)[:, None]  # (length, 1)
    angle = position / base ** (torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (length, d_model / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(torch.get_default_dtype())


def real_positions(ids: Tensor, attention_mask: Tensor | None, past: int = 0) -> Tensor:
    """Return the position of each token among the real ones of its row, the same wherever the padding stands.

    Args:
        ids: (batch, length).
        attention_mask: boolean (batch, past + length), True = a real token; all are real when not given.
        past: number of earlier positions.

    Returns:
        (batch, length), or (1, length) without a mask; values at padding positions do not matter.

    Example:
        >>> real_positions(torch.tensor([[0, 7, 8]]), torch.tensor([[False, True, True]])).tolist()
        [[0, 0, 1]]
    """
    if attention_mask is None:
        return torch.arange(past, past + ids.size(1), device=ids.device)[None]
    return (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, past:]


@dataclass(frozen=True)
class RopeScaling:
    """Context extension of rotary positions: lower frequencies, so that longer texts have angles seen in training.

    Attributes:
        factor: number by which a frequency is divided.
        original_length: context length of the training. When given, only wavelengths that are long beside it are
            scaled, as in Llama 3.1; all are when not given (position interpolation).
        low: wavelengths above ``original_length / low`` are scaled in full.
        high: wavelengths below ``original_length / high`` are kept; those between the two are scaled in part.
    """

    factor: float
    original_length: int | None = None
    low: float = 1.0
    high: float = 4.0

    def __post_init__(self) -> None:
        """Raise ValueError on a factor below 1, a length below 1, or limits that are not 0 < low < high."""
        if not self.factor >= 1:
            raise ValueError(f"factor must be at least 1; got {self.factor}")
        if self.original_length is not None and self.original_length < 1:
            raise ValueError(f"original_length must be at least 1, or None; got {self.original_length}")
        if not 0 < self.low < self.high:
            raise ValueError(f"low and high must be 0 < low < high; got {self.low} and {self.high}")

    def slowed(self, frequencies: Tensor) -> Tensor:
        """Return the scaled frequencies (pairs,), in radians per position."""
        slow = frequencies / self.factor
        if self.original_length is None:
            return slow
        turns = self.original_length * frequencies / (2 * math.pi)  # within the original context
        kept = ((turns - self.low) / (self.high - self.low)).clamp(0, 1)
        return (1 - kept) * slow + kept * frequencies


def rotary_frequencies(
    d_head: int,
    base: float = 10_000.0,
    scaling: RopeScaling | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return the rotary frequencies, the angle by which each pair of dimensions rotates per position.

    ``theta_i = base^(-2i / d_head)`` (Su et al. 2021, section 3.2.2), in single precision, as the published models have
    it.

    Args:
        d_head: width of a head, even.
        base: number that sets the longest wavelength, about ``2 pi base`` positions.
        scaling: context extension of a model that was adapted to longer texts.
        device: device of the frequencies.

    Returns:
        (d_head / 2,), in radians, the fast pairs first.

    Raises:
        ValueError: when ``d_head`` is odd or below 2, or the base not above 1.

    Example:
        >>> rotary_frequencies(4, base=4.0).tolist()
        [1.0, 0.5]
    """
    if d_head < 2 or d_head % 2:
        raise ValueError(f"rotary positions turn pairs of dimensions: d_head must be even, at least 2; got {d_head}")
    if not base > 1:
        raise ValueError(f"base must be above 1; got {base}")
    frequencies = 1.0 / base ** (torch.arange(0, d_head, 2, dtype=torch.float32, device=device) / d_head)
    return frequencies if scaling is None else scaling.slowed(frequencies)


def rotary(positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of each position's rotation angles, both (batch, 1, length, d_head / 2).

    Args:
        positions: (batch, length).
        frequencies: (d_head / 2,); see :func:`rotary_frequencies`.

    Example:
        >>> cos, sin = rotary(torch.tensor([[0, 1, 2]]), rotary_frequencies(4))
        >>> cos.shape, sin[0, 0, 0].tolist()
        (torch.Size([1, 1, 3, 2]), [0.0, 0.0])
    """
    angles = positions[:, None, :, None].float() * frequencies
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each pair of dimensions of queries or keys by the angle of their position.

    Dimensions i and i + d_head / 2 are a pair (a, b), and become ``(a cos - b sin, b cos + a sin)``. The score between
    a query at position m and a key at position n then depends on m - n alone (Su et al. 2021, eq. 16).

    Args:
        x: (batch, heads, length, d_head), queries or keys.
        rotation: cosines and sines; see :func:`rotary`.

    Returns:
        (batch, heads, length, d_head), each vector of the same norm as before.

    Example:
        >>> x = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
        >>> rotate(x, rotary(torch.tensor([[1]]), torch.tensor([torch.pi / 2]))).round().flatten().tolist()
        [-4.0, 3.0]
    """
    cos, sin = (part.to(x.dtype) for part in rotation)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
