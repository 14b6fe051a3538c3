"""The checked equations and exercises of ``book/concepts/transformer.ipynb``."""
