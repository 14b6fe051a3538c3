"""The checked equations and exercises of ``book/formulas/attention_math.ipynb``."""
