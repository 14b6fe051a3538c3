"""The checked equations and exercises of ``book/concepts/attention.ipynb``."""
