"""The checked equations and exercises of ``book/algorithms/in_context_learning.ipynb``."""
