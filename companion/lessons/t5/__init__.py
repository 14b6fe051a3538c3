"""The checked equations and exercises of ``book/algorithms/t5.ipynb``."""
