"""Costs of generation: bytes of a KV cache, operations and bytes of a step, and its shortest time on a machine.

Chapter: ``book/algorithms/inference.ipynb``. Sources: Williams et al. 2009, "Roofline"; Pope et al. 2022, section 2;
Shazeer 2019 (multi-query), Ainslie et al. 2023 (grouped-query), DeepSeek-AI 2024, "DeepSeek-V2", section 2.1 (latent).
"""

import math
from dataclasses import dataclass

from companion.nn.checks import check_integer
from companion.nn.field_types import check_field_types


def kv_bytes(n_layers: int, n_kv_heads: int, d_head: int, size: int = 2) -> int:
    """Bytes of keys and values per token of a text: ``2 n_layers n_kv_heads d_head size``.

    As many key/value heads as query heads is multi-head attention, fewer is grouped-query, one is multi-query.

    Args:
        n_layers: number of blocks.
        n_kv_heads: key/value heads per block.
        d_head: width of a head.
        size: bytes of a number.

    >>> kv_bytes(n_layers=32, n_kv_heads=8, d_head=128)
    131072
    """
    return 2 * n_layers * n_kv_heads * d_head * size


def latent_bytes(n_layers: int, d_latent: int, d_rotary: int, size: int = 2) -> int:
    """Bytes of multi-head latent attention's cache per token: ``n_layers (d_latent + d_rotary) size``.

    One latent vector, from which the keys and values of all heads are computed, and one rotary key for all heads.

    >>> latent_bytes(n_layers=61, d_latent=512, d_rotary=64)
    70272
    """
    return n_layers * (d_latent + d_rotary) * size


@dataclass(frozen=True)
class Machine:
    """A machine by the two numbers of its roofline.

    Attributes:
        flops: operations per second at its best.
        bandwidth: bytes per second between memory and processor at its best.

    >>> Machine(flops=100.0, bandwidth=10.0).seconds(operations=50, n_bytes=20)
    2.0
    """

    flops: float
    bandwidth: float

    def __post_init__(self) -> None:
        """Raise ValueError when one of them is not above 0."""
        check_field_types(self)
        if not (0 < self.flops < math.inf and 0 < self.bandwidth < math.inf):
            raise ValueError(f"flops and bandwidth must be finite and above 0; got {self.flops} and {self.bandwidth}")

    @property
    def balance(self) -> float:
        """Operations per byte above which computing takes longer than moving."""
        return self.flops / self.bandwidth

    def seconds(self, operations: float, n_bytes: float) -> float:
        """Shortest time of so many operations on so many bytes: the longer of computing them and moving them."""
        return max(operations / self.flops, n_bytes / self.bandwidth)

    def attainable(self, intensity: float) -> float:
        """Operations per second at so many operations per byte."""
        return min(self.flops, intensity * self.bandwidth)


@dataclass(frozen=True)
class Load:
    """Operations and bytes of one run of a model.

    Attributes:
        operations: multiplications and additions.
        n_bytes: bytes moved from memory.
    """

    operations: float
    n_bytes: float

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.operations / self.n_bytes


@dataclass(frozen=True)
class ServedModel:
    """The sizes of a decoder that decide what a run of it costs.

    Attributes:
        parameters: number of weights in matrix products.
        n_layers: number of blocks.
        d_attention: width of all query heads together.
        cache_bytes: of keys and values per token; see :func:`kv_bytes`.
        weight_bytes: bytes of a weight.
    """

    parameters: int
    n_layers: int
    d_attention: int
    cache_bytes: int
    weight_bytes: float = 2.0

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1."""
        check_field_types(self)
        for name in ("parameters", "n_layers", "d_attention", "cache_bytes"):
            check_integer(name, getattr(self, name))
        if not 0 < self.weight_bytes < math.inf:
            raise ValueError(f"weight_bytes must be finite and above 0; got {self.weight_bytes}")

    def run(self, batch: int, past: float, new: int = 1) -> Load:
        """Load of a run over ``new`` tokens of each of ``batch`` texts, each after ``past`` tokens.

        The weights are moved once, the cache of each text once; each token meets each weight in two operations, and in
        each layer every position up to its own in four per number of a query.

        Args:
            batch: number of texts.
            past: tokens whose keys and values are in the cache.
            new: tokens of each text that are run; 1 is a decode step.

        >>> model = ServedModel(parameters=1000, n_layers=2, d_attention=10, cache_bytes=80)
        >>> model.run(batch=1, past=9).intensity < model.run(batch=1, past=0, new=10).intensity
        True
        """
        positions = new * past + new * (new + 1) / 2  # that the new tokens of one text attend to, themselves included
        operations = batch * (2 * self.parameters * new + 4 * self.n_layers * self.d_attention * positions)
        moved = self.weight_bytes * self.parameters + batch * self.cache_bytes * (past + new)
        return Load(operations, moved)
