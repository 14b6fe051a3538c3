"""What the built page runs without a kernel: the exported model and the scripts that ask it.

Chapter: ``book/concepts/attention.ipynb``.
"""
