"""How a model is told where each token stands, and in which order the positions are predicted.

Chapters: ``book/concepts/storyworld.ipynb``, "A better start"; ``book/algorithms/xlnet.ipynb``;
``book/algorithms/modern_decoder.ipynb``. Sources: Vaswani et al. 2017, section 3.5; Yang et al. 2019, section 2.3;
Su et al. 2021, section 3.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def sinusoidal_positions(length: int, d_model: int, base: float = 10_000.0) -> Tensor:
    """Return a vector of sines and cosines for each position, fast ones first.

    ``PE[p, 2i] = sin(p / base^(2i / d_model))`` and ``PE[p, 2i + 1] = cos(p / base^(2i / d_model))``. A shift by k
    positions turns each pair by a fixed angle, whatever p is.

    Args:
        length: positions.
        d_model: size of each vector, even.
        base: the slowest wave is about ``2 pi base`` positions long.

    Returns:
        (length, d_model), values between -1 and 1.

    Raises:
        ValueError: when ``d_model`` is odd, or a size is below 1, or the base not above 1.
    """
    if length < 1 or d_model < 2 or d_model % 2:
        raise ValueError(f"length must be at least 1 and d_model even, at least 2; got {length} and {d_model}")
    if base <= 1:
        raise ValueError(f"base must be above 1; got {base}")
    place = torch.arange(length, dtype=torch.float64)[:, None]  # (length, 1)
    angle = place / base ** (torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (length, d_model / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(torch.get_default_dtype())


def real_positions(ids: Tensor, attention_mask: Tensor | None, past: int = 0) -> Tensor:
    """Number the tokens of each row from 0, leaving padding out: the same numbers wherever the padding stands.

    Args:
        ids: (batch, length).
        attention_mask: boolean (batch, past + length), True = a real token; all are real when not given.
        past: tokens that went before.

    Returns:
        (batch, length), or (1, length) without a mask; what stands on padding is of no account.
    """
    if attention_mask is None:
        return torch.arange(past, past + ids.size(1), device=ids.device)[None]
    return (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, past:]


@dataclass(frozen=True)
class RopeScaling:
    """Slower turns, so that a longer text fits into the angles that a model was trained on.

    Attributes:
        factor: a wave becomes this many times as long.
        original_length: the context that the model was trained on. When given, only waves that are long beside it are
            stretched, as in Llama 3.1; all are when not given (position interpolation).
        low: waves longer than ``original_length / low`` are stretched in full.
        high: waves shorter than ``original_length / high`` are not; those between the two are in part.
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
        """Return the angles a position (pairs,) after stretching."""
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
    """Return the angle by which each pair of a head's dimensions turns from one position to the next.

    ``theta_i = base^(-2i / d_head)`` (Su et al. 2021, section 3.2.2), in single precision, as the published models have
    it.

    Args:
        d_head: width of a head, even.
        base: the slowest wave is about ``2 pi base`` positions long.
        scaling: of a model that was stretched to longer texts.
        device: where the angles are made.

    Returns:
        (d_head / 2,), in radians, the fast pairs first.

    Raises:
        ValueError: when ``d_head`` is odd or below 2, or the base not above 1.
    """
    if d_head < 2 or d_head % 2:
        raise ValueError(f"rotary positions turn pairs of dimensions: d_head must be even, at least 2; got {d_head}")
    if not base > 1:
        raise ValueError(f"base must be above 1; got {base}")
    frequencies = 1.0 / base ** (torch.arange(0, d_head, 2, dtype=torch.float32, device=device) / d_head)
    return frequencies if scaling is None else scaling.slowed(frequencies)


def rotary(positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of each position's angles, both (batch, 1, length, d_head / 2).

    Args:
        positions: (batch, length).
        frequencies: (d_head / 2,); see :func:`rotary_frequencies`.
    """
    angles = positions[:, None, :, None].float() * frequencies
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of a query's or key's dimensions by its position's angle.

    Dimension i and dimension i + d_head / 2 are a pair (a, b), and become ``(a cos - b sin, b cos + a sin)``. A score
    between a query turned by m and a key turned by n depends on m - n alone (Su et al. 2021, eq. 16).

    Args:
        x: (batch, heads, length, d_head).
        rotation: see :func:`rotary`.

    Returns:
        (batch, heads, length, d_head), each vector as long as before.
    """
    cos, sin = (part.to(x.dtype) for part in rotation)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
