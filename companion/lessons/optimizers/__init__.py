"""The checked equations and exercises of ``book/formulas/optimizers.ipynb``."""
