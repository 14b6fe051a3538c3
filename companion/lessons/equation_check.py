"""Check of an equation: independent computations of it on random inputs, and the largest difference between them.

Chapter: ``book/background/rise.ipynb``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import Any

import torch
from torch import Generator, Tensor

TOLERANCE = 1e-10
BY_HAND = "by hand"
COMPANION = "companion"


@dataclass(frozen=True)
class Symbol:
    """A symbol of an equation.

    Attributes:
        tex: its source, without dollars: ``W_1``, ``h^{\\ell}_t``.
        meaning: a few plain words, the field's first; ``$…$`` inside is set as mathematics.
        shape: in TeX, ``n \\times d``; ``""`` for one number, and for what has none; words go in ``\\text{…}``.
    """

    tex: str
    meaning: str
    shape: str = ""


@dataclass(frozen=True)
class Checked:
    """Result of a check; true when all forms agree.

    Attributes:
        label: label of the equation.
        difference: largest difference between any two forms.
        inputs: number of random inputs.
        forms: names of the forms that were compared.
    """

    label: str
    difference: float
    inputs: int
    forms: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the largest difference is at most 1e-10."""
        return self.difference <= TOLERANCE

    def __bool__(self) -> bool:
        """Return whether all forms agree."""
        return self.agrees

    def __repr__(self) -> str:
        """Return the result as a sentence that names the forms."""
        verdict = "agree" if self.agrees else "DISAGREE"
        compared = f"{', '.join(self.forms[:-1])} and {self.forms[-1]}"
        return (
            f"{self.label}: {compared} {verdict} on {self.inputs} random inputs; "
            f"largest difference {self.difference:.1e}"
        )

    def _repr_html_(self) -> str:
        mark = "✓" if self.agrees else "✗"
        return f"<p>{mark} {escape(repr(self))}</p>"


@dataclass(frozen=True, kw_only=True)
class Equation:
    """A numbered equation of the book in two or three executable forms.

    Each form takes what ``draw`` returns as keyword arguments, and returns a number, a tensor, or a tuple of them. No
    form calls another.

    >>> from companion.lessons import equation
    >>> equation("eq-gpt-temperature").check()
    eq-gpt-temperature: by hand, companion and PyTorch agree on 5 random inputs; largest difference ...
    >>> equation("eq-transformer-norm").check(n=3)
    eq-transformer-norm: by hand and PyTorch agree on 3 random inputs; largest difference ...

    Attributes:
        label: label of the equation in its notebook.
        symbols: every symbol of the equation, in the order in which it meets the eye.
        draw: function from a random generator to the inputs by name: float64 tensors, numbers, or modules in float64.
        by_hand: formula as it is written, term by term, with loops, sums and plain arithmetic. It runs no layer and
            nothing of torch.nn.functional: what a model computes beforehand is drawn.
        companion: line of ``companion`` that computes the formula; None where the package has none.
        library: PyTorch's own function; where it has none, another library's or another derivation.
        library_name: name of that library or derivation.
    """

    label: str
    symbols: tuple[Symbol, ...]
    draw: Callable[[Generator], Mapping[str, Any]]
    by_hand: Callable[..., Any]
    companion: Callable[..., Any] | None = None
    library: Callable[..., Any]
    library_name: str = "PyTorch"

    @property
    def forms(self) -> dict[str, Callable[..., Any]]:
        """The forms that are compared, by name: by hand, companion where it has one, the library."""
        ours = {} if self.companion is None else {COMPANION: self.companion}
        return {BY_HAND: self.by_hand, **ours, self.library_name: self.library}

    def check(self, n: int = 5, seed: int = 0) -> Checked:
        """Largest difference between any two forms on ``n`` random inputs.

        New tensors are float64 meanwhile, and the random numbers of the caller stay as they were.

        Args:
            n: number of random inputs, at least 1.
            seed: seed of the generator that draws them.

        Raises:
            ValueError: when ``n`` is below 1, or two forms return different shapes.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, and is {n}")
        before = torch.get_default_dtype()
        largest = 0.0
        with torch.random.fork_rng(devices=[]):
            try:
                torch.set_default_dtype(torch.float64)
                torch.manual_seed(seed)
                generator = Generator().manual_seed(seed)
                for _ in range(n):
                    largest = max(largest, self._difference(self.draw(generator)))
            finally:
                torch.set_default_dtype(before)
        return Checked(self.label, largest, n, tuple(self.forms))

    def _difference(self, inputs: Mapping[str, Any]) -> float:
        results = {name: _numbers(form(**inputs)) for name, form in self.forms.items()}
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
    """Result as a list of float64 tensors without gradients."""
    parts = result if isinstance(result, tuple | list) else (result,)
    return [torch.as_tensor(part).detach().to(torch.float64) for part in parts]


def _gap(one: Tensor, other: Tensor) -> float:
    """Largest absolute difference; 0 between equal infinities, infinite where a number is NaN."""
    gap = torch.where(one == other, 0.0, (one - other).abs())
    largest = gap.max().item() if gap.numel() else 0.0
    return math.inf if math.isnan(largest) else largest
