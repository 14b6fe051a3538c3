"""The checked equations and exercises of ``book/algorithms/denoising.ipynb``."""
