"""The checked equations and exercises of ``book/concepts/optimization.ipynb``."""
