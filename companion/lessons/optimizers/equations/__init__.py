"""Equations of ``book/formulas/optimizers.ipynb``, by its parts."""

from companion.lessons.optimizers.equations import adapters, steps

EQUATIONS = (*steps.EQUATIONS, *adapters.EQUATIONS)
