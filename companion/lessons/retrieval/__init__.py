"""The checked equations and exercises of ``book/algorithms/retrieval.ipynb``."""
