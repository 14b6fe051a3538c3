"""The checked equations and exercises of ``book/algorithms/finetuning.ipynb``."""
