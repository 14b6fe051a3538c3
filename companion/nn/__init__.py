"""The layers that models are built from: attention, masks, positions, norms, feed-forward networks, caches.

A layer knows no model, no data and no training. Chapters: ``book/concepts/attention.ipynb``,
``book/concepts/transformer.ipynb``.
"""
