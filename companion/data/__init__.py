"""Text as data: batches, tokenizers, labels, data sets, and corpora that need no download.

Chapter: ``book/concepts/storyworld.ipynb``.
"""
