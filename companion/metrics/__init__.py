"""Metrics: of language models, classifiers, entity taggers, attention heads and generated texts, and intervals of runs.

Chapter: ``book/formulas/metrics.ipynb``.
"""
