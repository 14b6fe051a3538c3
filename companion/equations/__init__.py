"""Checked equations: every numbered equation of the book, computed three ways that must agree.

``equation("eq-attention-softmax").check()`` draws random inputs and computes the formula as it is written on the page,
as ``companion`` computes it, and as PyTorch does. Each chapter has a module here, by its name, that holds
``EQUATIONS = (Equation(...), ...)``; the modules are found, not listed. Index of all symbols: book/appendix/notation.
Chapter: ``book/background/rise.ipynb``.
"""

import difflib
import pkgutil
from functools import cache
from importlib import import_module

from companion.equations.checking import Checked, Equation, Symbol

__all__ = ["Checked", "Equation", "Symbol", "equation", "labels"]


@cache
def _all() -> dict[str, Equation]:
    found: dict[str, Equation] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for one in getattr(import_module(module.name), "EQUATIONS", ()):
            if one.label in found:
                raise ValueError(f"two equations are labelled {one.label!r}; the second is in {module.name}")
            found[one.label] = one
    return found


def labels() -> list[str]:
    """Return the labels of all checked equations, chapter by chapter."""
    return list(_all())


def equation(label: str) -> Equation:
    """Return the equation of this label, for example ``eq-attention-softmax``.

    Raises:
        ValueError: when there is none, with the labels that are spelt nearly so.
    """
    if label in _all():
        return _all()[label]
    near = difflib.get_close_matches(label, _all(), n=5, cutoff=0.4) or labels()[:5]
    raise ValueError(f"there is no equation {label!r}; did you mean {', '.join(near)}? `labels()` lists all")
