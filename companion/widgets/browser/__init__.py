"""What a page without a kernel needs: a host for the front end, and the model itself in a worker.

Chapter: ``book/concepts/attention.ipynb``.
"""
