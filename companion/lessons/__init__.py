"""What checks the book: for each chapter the equations that it numbers and the exercises that it sets.

``equation("eq-attention-softmax").check()`` draws random inputs and computes the formula as it is written on the page,
as ``companion`` computes it, and as PyTorch does; ``exercise("causal-mask").check(mine)`` runs an attempt beside the
reference. Each chapter has a folder here, by its name, with ``equations.py`` (``EQUATIONS``) and ``exercises.py``
(``EXERCISES``). Index of all symbols: book/appendix/notation. Chapter: ``book/background/rise.ipynb``.
"""

import difflib
from functools import cache
from importlib import import_module

from companion.lessons.equation_check import Checked, Equation, Symbol
from companion.lessons.exercise_check import Exercise, Feedback, Mistake

__all__ = [
    "CHAPTERS",
    "Checked",
    "Equation",
    "Exercise",
    "Feedback",
    "Mistake",
    "Symbol",
    "equation",
    "exercise",
    "labels",
    "names",
]

CHAPTERS = (  # in the order of the contents
    "rise",
    "limits",
    "language_model",
    "storyworld",
    "optimization",
    "tokenization",
    "attention",
    "transformer",
    "transfer",
    "bert",
    "bert_family",
    "gpt",
    "xlnet",
    "t5",
    "denoising",
    "modern_decoder",
    "finetuning",
    "distillation",
    "attention_math",
    "positions_norms_activations",
    "losses",
    "distillation_losses",
    "metrics",
    "optimizers",
)


@cache
def _equations() -> dict[str, Equation]:
    found: dict[str, Equation] = {}
    for chapter in CHAPTERS:
        for one in import_module(f"{__name__}.{chapter}.equations").EQUATIONS:
            if one.label in found:
                raise ValueError(f"two equations are labelled {one.label!r}; the second is in {chapter}")
            found[one.label] = one
    return found


@cache
def _exercises() -> dict[str, Exercise]:
    found: dict[str, Exercise] = {}
    for chapter in CHAPTERS:
        for one in import_module(f"{__name__}.{chapter}.exercises").EXERCISES:
            if one.name in found:
                raise ValueError(f"two exercises are named {one.name!r}; the second is in {chapter}")
            found[one.name] = one
    return found


def labels() -> list[str]:
    """Labels of all checked equations, in the order of the chapters."""
    return list(_equations())


def equation(label: str) -> Equation:
    """The checked equation of this label, for example ``eq-attention-softmax``.

    Raises:
        ValueError: when there is none, with the labels that are spelt nearly so.
    """
    if label in _equations():
        return _equations()[label]
    near = difflib.get_close_matches(label, _equations(), n=5, cutoff=0.4) or labels()[:5]
    raise ValueError(f"there is no equation {label!r}; did you mean {', '.join(near)}? `labels()` lists all")


def names() -> list[str]:
    """Names of all exercises, in the order of the chapters."""
    return list(_exercises())


def exercise(name: str) -> Exercise:
    """The exercise of this name, for example ``causal-mask``.

    Raises:
        ValueError: when there is none of that name.
    """
    if name not in _exercises():
        raise ValueError(f"there is no exercise {name!r}; choose from {', '.join(_exercises())}")
    return _exercises()[name]
