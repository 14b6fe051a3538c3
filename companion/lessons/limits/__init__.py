"""The checked equations and exercises of ``book/background/limits.ipynb``."""
