"""The checked equations and exercises of ``book/algorithms/decoders_2026.ipynb``."""
