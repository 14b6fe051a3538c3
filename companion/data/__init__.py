"""Corpora that need no download. Chapter: ``book/concepts/storyworld.ipynb``."""
