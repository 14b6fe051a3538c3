"""Equations of ``book/algorithms/modern_decoder.ipynb``, by its parts."""

from companion.lessons.modern_decoder.equations import blocks, sharing

EQUATIONS = (*blocks.EQUATIONS, *sharing.EQUATIONS)
