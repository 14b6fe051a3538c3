"""The checked equations and exercises of ``book/formulas/positions_norms_activations.ipynb``."""
