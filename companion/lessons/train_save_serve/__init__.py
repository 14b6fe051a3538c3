"""The checked equations and exercises of ``book/practice/train_save_serve.ipynb``."""
