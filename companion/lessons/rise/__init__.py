"""The checked equations and exercises of ``book/background/rise.ipynb``."""
