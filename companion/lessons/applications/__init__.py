"""The checked equations, exercises and experiments of ``book/practice/applications.ipynb``."""
