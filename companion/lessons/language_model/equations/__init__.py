"""Equations of ``book/concepts/language_model.ipynb``, by its parts."""

from companion.lessons.language_model.equations import counts, networks

EQUATIONS = (*counts.EQUATIONS, *networks.EQUATIONS)
