"""Metrics: of language models, classifiers, entity taggers and written texts, and how far a mean of runs can be trusted.

Chapter: ``book/formulas/metrics.ipynb``.
"""
