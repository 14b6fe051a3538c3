"""The checked equations and exercises of ``book/algorithms/distillation.ipynb``."""
