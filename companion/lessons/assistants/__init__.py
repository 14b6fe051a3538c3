"""The checked equations and exercises of ``book/algorithms/assistants.ipynb``."""
