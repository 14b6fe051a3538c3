"""The checked equations and exercises of ``book/formulas/distillation_losses.ipynb``."""
