"""The checked equations and exercises of ``book/algorithms/gpt.ipynb``."""
