"""Figures of the book: one style, the plots that several chapters share, and the tables of the benchmarks.

Chapter: ``book/background/rise.ipynb``.
"""
