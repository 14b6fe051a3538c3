"""Exercises that answer back: ``exercise("causal-mask").check(mine)``.

An attempt is run beside the reference on small cases. It passes when all results agree; when they agree with a typical
mistake instead, the answer is the hint that names that mistake. Chapter: ``book/background/rise.ipynb``.
"""

from companion.exercises import (
    attention,
    attention_math,
    bert,
    bert_family,
    denoising,
    distillation,
    distillation_layers,
    distillation_losses,
    finetuning,
    finetuning_layers,
    gpt,
    language_model,
    limits,
    losses,
    metrics,
    modern_decoder,
    optimization,
    optimizers,
    positions_norms_activations,
    rise,
    storyworld,
    t5,
    tokenization,
    transfer,
    transformer,
    xlnet,
)
from companion.exercises.checking import Exercise, Feedback, Mistake

__all__ = ["Exercise", "Feedback", "Mistake", "exercise", "names"]

_CHAPTERS = (
    rise,
    limits,
    language_model,
    storyworld,
    optimization,
    tokenization,
    attention,
    transformer,
    bert,
    bert_family,
    gpt,
    xlnet,
    t5,
    denoising,
    modern_decoder,
    finetuning,
    finetuning_layers,
    transfer,
    distillation,
    distillation_layers,
    attention_math,
    positions_norms_activations,
    losses,
    distillation_losses,
    metrics,
    optimizers,
)
_ALL: dict[str, Exercise] = {e.name: e for chapter in _CHAPTERS for e in chapter.EXERCISES}


def names() -> list[str]:
    """Return the names of all exercises, in the order of the chapters."""
    return list(_ALL)


def exercise(name: str) -> Exercise:
    """Return an exercise by its name.

    Raises:
        ValueError: when there is none of that name.
    """
    if name not in _ALL:
        raise ValueError(f"there is no exercise {name!r}; choose from {', '.join(_ALL)}")
    return _ALL[name]
