"""The checked equations and exercises of ``book/concepts/foundations.ipynb``."""
