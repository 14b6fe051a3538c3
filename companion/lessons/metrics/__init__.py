"""The checked equations and exercises of ``book/formulas/metrics.ipynb``."""
