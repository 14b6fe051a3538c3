"""Random inputs for the checks: numbers, tensors and small models, all float64 and all from one generator.

Chapter: ``book/background/rise.ipynb``.
"""

from itertools import pairwise
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def normal(generator: Generator, *shape: int) -> Tensor:
    """Draw standard normal numbers of this shape."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def between(generator: Generator, low: float, high: float) -> float:
    """Draw one number, any in this range as likely as any other."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def whole(generator: Generator, low: int, high: int) -> int:
    """Draw one whole number, ``low`` to ``high``, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def tokens(generator: Generator, vocab_size: int, *shape: int) -> Tensor:
    """Draw token numbers, 0 to ``vocab_size`` - 1, of this shape."""
    return torch.randint(vocab_size, shape, generator=generator)


def shares(generator: Generator, *shape: int) -> Tensor:
    """Draw positive numbers whose last axis sums to 1."""
    sizes = normal(generator, *shape).exp()
    return sizes / sizes.sum(-1, keepdim=True)


def word(generator: Generator, letters: str, length: int) -> str:
    """Draw a word of these letters."""
    return "".join(letters[i] for i in tokens(generator, len(letters), length).tolist())


def pieces(words: list[str]) -> list[str]:
    """List every substring of the words, each once, the short ones first."""
    places = ((word, i, j) for word in words for i in range(len(word)) for j in range(i + 1, len(word) + 1))
    return sorted({word[i:j] for word, i, j in places}, key=lambda piece: (len(piece), piece))


def cuts(n: int, breaks: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the parts, as (start, end), that n places have when they are cut at ``breaks``."""
    return list(pairwise((0, *breaks, n)))


def randomised(module: Module, generator: Generator, size: float = 0.5) -> Module:
    """Give a module float64 weights, all of them drawn, so that no bias is 0 and no scale 1; dropout is off."""
    module = module.double().eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter.copy_(size * normal(generator, *parameter.shape))
    return module
