"""Equations of ``book/formulas/positions_norms_activations.ipynb``, by its parts."""

from companion.lessons.positions_norms_activations.equations import layers, positions

EQUATIONS = (*positions.EQUATIONS, *layers.EQUATIONS)
