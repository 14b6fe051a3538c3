"""How an equation is checked: three computations of it on random numbers, and the largest difference between them.

Chapter: ``book/background/rise.ipynb``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import Any

import torch as pytorch
from torch import Generator, Tensor

TOLERANCE = 1e-10
FORMS = ("hand", "ours", "torch")


@dataclass(frozen=True)
class Symbol:
    """A symbol of an equation.

    Attributes:
        tex: how it is written, without dollars: ``W_1``, ``h^{\\ell}_t``.
        meaning: a few plain words; ``$…$`` inside is set as mathematics.
        shape: in TeX, ``n \\times d``; ``""`` for one number, and for what has none; words go in ``\\text{…}``.
    """

    tex: str
    meaning: str
    shape: str = ""


@dataclass(frozen=True)
class Checked:
    """What a check found; true when the three computations agree."""

    label: str
    difference: float
    inputs: int
    library: str = "PyTorch"

    @property
    def agrees(self) -> bool:
        """Whether the largest difference is at most 1e-10."""
        return self.difference <= TOLERANCE

    def __bool__(self) -> bool:
        """Return whether the three computations agree."""
        return self.agrees

    def __repr__(self) -> str:
        """Return the result as a sentence."""
        verdict = "agree" if self.agrees else "DISAGREE"
        return (
            f"{self.label}: by hand, companion and {self.library} {verdict} on {self.inputs} random inputs; "
            f"largest difference {self.difference:.1e}"
        )

    def _repr_html_(self) -> str:
        mark = "✓" if self.agrees else "✗"
        return f"<p>{mark} {escape(repr(self))}</p>"


@dataclass(frozen=True)
class Equation:
    """A numbered equation of the book in three executable forms.

    Each form takes what ``draw`` returns as keyword arguments, and returns a number, a tensor, or a tuple of them. No
    form calls another.

    Attributes:
        label: the equation's label in its notebook.
        symbols: every symbol of the equation, in the order in which it meets the eye.
        draw: the inputs by name, random: float64 tensors, numbers, or modules in float64.
        hand: the formula as it is written, term by term, with loops, sums and plain arithmetic. It runs no layer and
            nothing of torch.nn.functional: what a model computes beforehand is drawn.
        ours: the line of ``companion`` that the chapter shows.
        torch: PyTorch's own function; where it has none, another library's or another derivation.
        library: whose function that is.
    """

    label: str
    symbols: tuple[Symbol, ...]
    draw: Callable[[Generator], Mapping[str, Any]]
    hand: Callable[..., Any]
    ours: Callable[..., Any]
    torch: Callable[..., Any]
    library: str = "PyTorch"

    def check(self, n: int = 5, seed: int = 0) -> Checked:
        """Compute the three forms on ``n`` random inputs and return the largest difference between any two.

        New tensors are float64 meanwhile, and the random numbers of the caller stay as they were.

        Raises:
            ValueError: when ``n`` is below 1, or two forms return different shapes.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, and is {n}")
        before = pytorch.get_default_dtype()
        largest = 0.0
        with pytorch.random.fork_rng(devices=[]):
            try:
                pytorch.set_default_dtype(pytorch.float64)
                pytorch.manual_seed(seed)
                generator = Generator().manual_seed(seed)
                for _ in range(n):
                    largest = max(largest, self._difference(self.draw(generator)))
            finally:
                pytorch.set_default_dtype(before)
        return Checked(self.label, largest, n, self.library)

    def _difference(self, inputs: Mapping[str, Any]) -> float:
        results = {form: _numbers(getattr(self, form)(**inputs)) for form in FORMS}
        largest = 0.0
        for (name, one), (other_name, other) in combinations(results.items(), 2):
            shapes, other_shapes = ([tuple(number.shape) for number in side] for side in (one, other))
            if shapes != other_shapes:
                raise ValueError(f"{self.label}: {name} returns {shapes}, {other_name} returns {other_shapes}")
            largest = max([largest, *(_gap(a, b) for a, b in zip(one, other, strict=True))])
        return largest

    def _repr_html_(self) -> str:
        """Return the check and the table of symbols, for a notebook."""
        rows = "".join(
            f"<tr><td>${escape(symbol.tex)}$</td><td>{escape(symbol.meaning)}</td><td>{shape}</td></tr>"
            for symbol in self.symbols
            for shape in [f"${escape(symbol.shape)}$" if symbol.shape else ""]
        )
        head = "<tr><th>Symbol</th><th>Meaning</th><th>Shape</th></tr>"
        return f"{self.check()._repr_html_()}<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _numbers(result: Any) -> list[Tensor]:
    """Return the result as a list of tensors in float64, which no gradient follows."""
    parts = result if isinstance(result, tuple | list) else (result,)
    return [pytorch.as_tensor(part).detach().to(pytorch.float64) for part in parts]


def _gap(one: Tensor, other: Tensor) -> float:
    """Return the largest difference; equal infinities differ by nothing, and what is not a number by infinity."""
    gap = pytorch.where(one == other, 0.0, (one - other).abs())
    largest = gap.max().item() if gap.numel() else 0.0
    return math.inf if math.isnan(largest) else largest
