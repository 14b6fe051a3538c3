"""Equations and exercises of ``book/practice/interpretability.ipynb``, and what its experiments need."""
