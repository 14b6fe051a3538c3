"""Equations of ``book/algorithms/inference.ipynb``, by its parts."""

from companion.lessons.inference.equations import costs, decoding

EQUATIONS = (*costs.EQUATIONS, *decoding.EQUATIONS)
