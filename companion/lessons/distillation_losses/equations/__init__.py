"""Equations of ``book/formulas/distillation_losses.ipynb``, by its parts."""

from companion.lessons.distillation_losses.equations import probabilities, vectors

EQUATIONS = (*probabilities.EQUATIONS, *vectors.EQUATIONS)
