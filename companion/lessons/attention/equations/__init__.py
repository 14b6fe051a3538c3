"""Equations of ``book/concepts/attention.ipynb``, by its parts."""

from companion.lessons.attention.equations import heads, weights

EQUATIONS = (*weights.EQUATIONS, *heads.EQUATIONS)
