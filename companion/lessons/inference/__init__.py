"""The checked equations and exercises of ``book/algorithms/inference.ipynb``."""
