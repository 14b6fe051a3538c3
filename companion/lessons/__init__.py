"""Checks of the book: for each chapter the equations that it numbers and the exercises that it sets.

``equation("eq-attention-softmax").check()`` draws random inputs and computes the formula as it is written on the page,
by the line of ``companion`` that has it, where there is one, and by PyTorch; ``exercise("causal-mask").check(mine)``
runs an attempt beside the reference. Each chapter has a folder here, by its name, with ``equations.py``
(``EQUATIONS``) and ``exercises.py`` (``EXERCISES``). Index of all symbols: book/appendix/notation.
Chapter: ``book/background/rise.ipynb``.
"""

import difflib
from collections.abc import Iterator
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
    "foundations",
    "language_model",
    "tokenization",
    "attention",
    "transformer",
    "optimization",
    "storyworld",
    "transfer",
    "limits",
    "bert",
    "bert_family",
    "gpt",
    "xlnet",
    "t5",
    "denoising",
    "retrieval",
    "modern_decoder",
    "decoders_2026",
    "encoders",
    "scaling",
    "in_context_learning",
    "finetuning",
    "assistants",
    "distillation",
    "inference",
    "attention_math",
    "positions_norms_activations",
    "losses",
    "distillation_losses",
    "metrics",
    "optimizers",
    "huggingface",
    "train_save_serve",
    "interpretability",
    "applications",
    "scaling_out",
)


def _equations() -> Iterator[Equation]:
    """All checked equations; the catalogue of a chapter is imported when it is reached."""
    for chapter in CHAPTERS:
        yield from import_module(f"{__name__}.{chapter}.equations").EQUATIONS


def _exercises() -> Iterator[Exercise]:
    """All exercises; the catalogue of a chapter is imported when it is reached."""
    for chapter in CHAPTERS:
        yield from import_module(f"{__name__}.{chapter}.exercises").EXERCISES


def labels() -> list[str]:
    """Labels of all checked equations, in the order of the chapters.

    >>> labels()[:2]
    ['eq-rise-flops', 'eq-rise-forward']
    """
    return [one.label for one in _equations()]


def equation(label: str) -> Equation:
    """Checked equation of this label.

    >>> equation("eq-attention-softmax").check()
    eq-attention-softmax: by hand, companion and PyTorch agree on 5 random inputs; largest difference ...

    Args:
        label: label of the equation in its notebook.

    Raises:
        ValueError: when there is none, with the labels that are spelt nearly so.
    """
    for one in _equations():
        if one.label == label:
            return one
    near = difflib.get_close_matches(label, labels(), n=5, cutoff=0.4) or labels()[:5]
    raise ValueError(f"there is no equation {label!r}; did you mean {', '.join(near)}? `labels()` lists all")


def names() -> list[str]:
    """Names of all exercises, in the order of the chapters.

    >>> names()[:2]
    ['training-flops', 'attention-fraction']
    """
    return [one.name for one in _exercises()]


def exercise(name: str) -> Exercise:
    """Exercise of this name.

    >>> import torch
    >>> exercise("causal-mask").check(lambda n: torch.ones(n, n, dtype=torch.bool).triu())
    ✗ Yours lets a position see what comes after it. Rows are queries, columns are keys.

    Args:
        name: name by which a chapter asks for it.

    Raises:
        ValueError: when there is none of that name.
    """
    for one in _exercises():
        if one.name == name:
            return one
    raise ValueError(f"there is no exercise {name!r}; choose from {', '.join(names())}")
