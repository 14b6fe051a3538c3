"""The checked equations and exercises of ``book/algorithms/modern_decoder.ipynb``."""
