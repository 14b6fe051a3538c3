"""A model behind HTTP: what a request may hold, the service that answers it, and a load of requests to measure it with.

Chapter: ``book/practice/train_save_serve.ipynb``.
"""
