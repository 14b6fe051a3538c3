"""Equations of ``book/concepts/transformer.ipynb``, by its parts."""

from companion.lessons.transformer.equations import blocks, stacks

EQUATIONS = (*blocks.EQUATIONS, *stacks.EQUATIONS)
