"""The checked equations, the exercises and the experiment of ``book/background/rise.ipynb``."""
