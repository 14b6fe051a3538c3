"""The checked equations, exercises and experiments of ``book/practice/scaling_out.ipynb``."""
