"""The checked equations and exercises of ``book/algorithms/scaling.ipynb``."""
