"""The checked equations and exercises of ``book/algorithms/bert_family.ipynb``."""
