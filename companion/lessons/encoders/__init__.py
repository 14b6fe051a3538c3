"""The checked equations and exercises of ``book/algorithms/encoders.ipynb``."""
