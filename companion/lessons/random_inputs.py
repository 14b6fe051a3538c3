"""Random inputs: numbers, tensors and small models for equations (float64, one generator), and cases for exercises.

Chapter: ``book/background/rise.ipynb``.
"""

from itertools import pairwise
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def normal(generator: Generator, *shape: int) -> Tensor:
    """Standard normal numbers of this shape, in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def between(generator: Generator, low: float, high: float) -> float:
    """Number from the uniform distribution between ``low`` and ``high``."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def whole(generator: Generator, low: int, high: int) -> int:
    """Whole number from the uniform distribution over ``low`` to ``high``, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def tokens(generator: Generator, vocab_size: int, *shape: int) -> Tensor:
    """Token ids of this shape, uniform over 0 to ``vocab_size`` - 1."""
    return torch.randint(vocab_size, shape, generator=generator)


def distribution(generator: Generator, *shape: int) -> Tensor:
    """Probability distributions along the last axis, every probability above 0, in float64."""
    sizes = normal(generator, *shape).exp()
    return sizes / sizes.sum(-1, keepdim=True)


def word(generator: Generator, letters: str, length: int) -> str:
    """Word of ``length`` letters, each uniform over ``letters``."""
    return "".join(letters[i] for i in tokens(generator, len(letters), length).tolist())


def pieces(words: list[str]) -> list[str]:
    """Every substring of the words, each once, the short ones first."""
    spans = ((word, i, j) for word in words for i in range(len(word)) for j in range(i + 1, len(word) + 1))
    return sorted({word[i:j] for word, i, j in spans}, key=lambda piece: (len(piece), piece))


def cuts(n: int, breaks: tuple[int, ...]) -> list[tuple[int, int]]:
    """Segments (start, end) of n positions that are cut at ``breaks``."""
    return list(pairwise((0, *breaks, n)))


def randomised(module: Module, generator: Generator, size: float = 0.5) -> Module:
    """The module with random float64 weights, so that no bias is 0 and no scale 1; evaluation mode, no gradients.

    Args:
        module: changed in place.
        generator: source of the weights.
        size: standard deviation of the weights.
    """
    module = module.double().eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.copy_(size * normal(generator, *parameter.shape))
    return module


def seeded(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers of this shape in float32, the same each time: a case of an exercise."""
    return torch.randn(shape, generator=Generator().manual_seed(seed))


def seeded_tensors(*shapes: tuple[int, ...], seed: int = 0) -> tuple[Tensor, ...]:
    """Standard normal tensors of these shapes in float32, all different, the same each time."""
    generator = Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)
