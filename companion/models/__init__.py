"""The model families, one module each, exact enough to load a published checkpoint and compute the same numbers.

Chapters: ``book/concepts/transformer.ipynb``, ``book/algorithms/gpt.ipynb``.
"""
