"""The checked equations and exercises of ``book/formulas/losses.ipynb``."""
