"""The checked equations and exercises of ``book/concepts/transfer.ipynb``."""
