"""The checked equations and exercises of ``book/concepts/tokenization.ipynb``."""
