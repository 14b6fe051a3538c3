"""The checked equations and exercises of ``book/concepts/language_model.ipynb``."""
