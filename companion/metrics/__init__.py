"""Metrics: of language models, classifiers, entity taggers and generated texts, and confidence intervals of runs.

Chapter: ``book/formulas/metrics.ipynb``.
"""
