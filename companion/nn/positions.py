"""Positional encodings, sinusoidal and rotary (RoPE), and the positions of padded tokens.

Chapters: ``book/concepts/storyworld.ipynb``, "A better start"; ``book/algorithms/modern_decoder.ipynb``. Sources:
Vaswani et al. 2017, section 3.5; Su et al. 2021, "RoFormer", section 3; Peng et al. 2023, "YaRN", section 3.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from companion.nn.field_types import check_field_types


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
            scaled, as in Llama 3.1 (the "NTK-by-parts" of Peng et al. 2023, section 3.2); all are when not given
            (position interpolation).
        low: wavelengths above ``original_length / low`` are scaled in full.
        high: wavelengths below ``original_length / high`` are kept; those between the two are scaled in part.

    Example:
        >>> RopeScaling(factor=4).slowed(torch.tensor([1.0, 0.1]), base=100).tolist()  # as far as 4 times the context
        [0.25, 0.02500000037252903]
    """

    factor: float
    original_length: int | None = None
    low: float = 1.0
    high: float = 4.0

    def __post_init__(self) -> None:
        """Raise ValueError on a factor below 1, a length below 1, or limits that are not 0 < low < high."""
        check_field_types(self)
        if not self.factor >= 1:
            raise ValueError(f"factor must be at least 1; got {self.factor}")
        if self.original_length is not None and self.original_length < 1:
            raise ValueError(f"original_length must be at least 1, or None; got {self.original_length}")
        if not 0 < self.low < self.high:
            raise ValueError(f"low and high must be 0 < low < high; got {self.low} and {self.high}")

    @property
    def amplitude(self) -> float:
        """Multiplier of the cosines and sines, and so of the rotated queries and of the rotated keys."""
        return 1.0

    def slowed(self, frequencies: Tensor, base: float) -> Tensor:
        """Return the scaled frequencies (pairs,), in radians per position; ``base`` is theirs."""
        kept = self._kept(frequencies, base)
        return (1 - kept) * (frequencies / self.factor) + kept * frequencies

    def _kept(self, frequencies: Tensor, base: float) -> Tensor:
        """Weight of each frequency as it was trained, 0 to 1."""
        if self.original_length is None:
            return torch.zeros_like(frequencies)
        turns = self.original_length * frequencies / (2 * math.pi)  # within the original context
        return ((turns - self.low) / (self.high - self.low)).clamp(0, 1)


@dataclass(frozen=True)
class YarnScaling(RopeScaling):
    """YaRN: the frequencies slowed by parts, and the scores multiplied, as the released models have it.

    Beside :class:`RopeScaling`, whose ramp is linear in the number of turns (Peng et al. 2023, section 3.2), the
    released code's is linear in the index of the pair. The multiplier sharpens attention over the longer text: the
    scores of rotated dimensions are multiplied by ``1 / t = amplitude^2`` (section 3.4).

    Attributes:
        original_length: context length of the training.
        low: turns within the original context below which a frequency is scaled in full (``beta_slow``).
        high: turns above which it is kept (``beta_fast``).
        attention_factor: multiplier of the cosines and sines; ``0.1 ln(factor) + 1`` when not given.
        truncate: whether the ramp begins and ends at whole pairs.

    Example:
        >>> yarn = YarnScaling(factor=16, original_length=4096)
        >>> round(yarn.amplitude, 3)
        1.277
        >>> (rotary_frequencies(128) / rotary_frequencies(128, scaling=yarn))[[0, 32, 63]].round().tolist()
        [1.0, 2.0, 16.0]
    """

    high: float = 32.0
    attention_factor: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError as :class:`RopeScaling`, without a length, or on an attention factor of 0 or less."""
        super().__post_init__()
        if self.original_length is None:
            raise ValueError("original_length, the context length of the training, must be given; got None")
        if self.attention_factor is not None and not self.attention_factor > 0:
            raise ValueError(f"attention_factor must be above 0, or None; got {self.attention_factor}")

    @property
    def amplitude(self) -> float:
        """Multiplier of the cosines and sines, ``sqrt(1 / t)`` in the paper."""
        return yarn_amplitude(self.factor) if self.attention_factor is None else self.attention_factor

    def _kept(self, frequencies: Tensor, base: float) -> Tensor:
        """Weight of each frequency as it was trained, 1 up to the first pair of the ramp and 0 from its last on."""
        assert self.original_length is not None
        turns_at_0 = self.original_length / (2 * math.pi)  # pair i turns turns_at_0 base^(-i / pairs) times
        pairs = len(frequencies)
        first, last = (pairs * math.log(turns_at_0 / turns) / math.log(base) for turns in (self.high, self.low))
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, 2 * pairs - 1)
        index = torch.arange(pairs, dtype=frequencies.dtype, device=frequencies.device)
        return 1 - ((index - first) / (last - first or 0.001)).clamp(0, 1)


def yarn_amplitude(factor: float, mscale: float = 1.0) -> float:
    """Return YaRN's multiplier of rotated queries and keys, ``0.1 mscale ln(factor) + 1`` (Peng et al. 2023).

    Args:
        factor: number by which the context was extended, at least 1.
        mscale: weight of the logarithm, 1 in the paper.

    Example:
        >>> yarn_amplitude(1.0), round(yarn_amplitude(32.0), 3)
        (1.0, 1.347)
    """
    return 0.1 * mscale * math.log(factor) + 1.0


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
    return frequencies if scaling is None else scaling.slowed(frequencies, base)


def rotary(positions: Tensor, frequencies: Tensor, amplitude: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of each position's rotation angles, both (batch, 1, length, d_head / 2).

    Args:
        positions: (batch, length).
        frequencies: (d_head / 2,); see :func:`rotary_frequencies`.
        amplitude: multiplier of both, 1 but in YaRN; see :attr:`YarnScaling.amplitude`.

    Example:
        >>> cos, sin = rotary(torch.tensor([[0, 1, 2]]), rotary_frequencies(4))
        >>> cos.shape, sin[0, 0, 0].tolist()
        (torch.Size([1, 1, 3, 2]), [0.0, 0.0])
    """
    angles = positions[:, None, :, None].float() * frequencies
    return angles.cos() * amplitude, angles.sin() * amplitude


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each pair of dimensions of queries or keys by the angle of their position.

    Of the first ``d_rotary = 2 * pairs`` dimensions, i and i + d_rotary / 2 are a pair (a, b), and become
    ``(a cos - b sin, b cos + a sin)``; those after them stay as they are (partial rotary). The score between a query
    at position m and a key at position n then depends on m - n alone (Su et al. 2021, eq. 16).

    Args:
        x: (batch, heads, length, d_head), queries or keys.
        rotation: cosines and sines, (batch, 1, length, pairs) each; see :func:`rotary`.

    Returns:
        (batch, heads, length, d_head), each vector of the same norm as before where the amplitude is 1.

    Example:
        >>> x = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2)
        >>> rotate(x, rotary(torch.tensor([[1]]), torch.tensor([torch.pi / 2]))).round().flatten().tolist()
        [-4.0, 3.0]
    """
    cos, sin = (part.to(x.dtype) for part in rotation)
    pairs = cos.size(-1)
    a, b, still = x.split([pairs, pairs, x.size(-1) - 2 * pairs], dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin, still], dim=-1)
