"""Recipes of the models that ship: how each is trained anew, by ``python -m companion.zoo train``.

Chapters: ``book/algorithms/gpt.ipynb``, ``book/concepts/storyworld.ipynb``.
"""
