"""The checked equations and exercises of ``book/practice/huggingface.ipynb``."""
