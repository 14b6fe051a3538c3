"""Figures of the book: one style, the plots that several chapters share, and the tables that benchmarks left.

Chapter: ``book/background/rise.ipynb``.
"""
