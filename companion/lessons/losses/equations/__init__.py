"""Equations of ``book/formulas/losses.ipynb``, by its parts."""

from companion.lessons.losses.equations import cross_entropy, texts

EQUATIONS = (*cross_entropy.EQUATIONS, *texts.EQUATIONS)
