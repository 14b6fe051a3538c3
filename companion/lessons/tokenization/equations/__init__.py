"""Equations of ``book/concepts/tokenization.ipynb``, by its parts."""

from companion.lessons.tokenization.equations import merges, unigram

EQUATIONS = (*merges.EQUATIONS, *unigram.EQUATIONS)
