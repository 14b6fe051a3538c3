"""The checked equations and exercises of ``book/concepts/limits.ipynb``."""
