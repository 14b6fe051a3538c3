"""Equations of ``book/formulas/metrics.ipynb``, by its parts."""

from companion.lessons.metrics.equations import labels, texts

EQUATIONS = (*labels.EQUATIONS, *texts.EQUATIONS)
