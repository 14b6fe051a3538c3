"""Equations of ``book/concepts/optimization.ipynb``, by its parts."""

from companion.lessons.optimization.equations import likelihood, optimizers

EQUATIONS = (*likelihood.EQUATIONS, *optimizers.EQUATIONS)
