"""Equations of ``book/concepts/foundations.ipynb``, by its parts."""

from companion.lessons.foundations.equations import learning, network

EQUATIONS = (*network.EQUATIONS, *learning.EQUATIONS)
