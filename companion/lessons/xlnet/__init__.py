"""The checked equations and exercises of ``book/algorithms/xlnet.ipynb``."""
