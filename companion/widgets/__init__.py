"""Widgets: one front end each, alive in a notebook, in the built book, and in a page of its own.

Chapter: ``book/concepts/attention.ipynb``.
"""

from companion.widgets.attention_view import AttentionView, Example

__all__ = ["AttentionView", "Example"]
