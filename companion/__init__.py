"""The companion package of the book *Large Language Models, Live*. First page: ``book/index.md``."""

__version__ = "0.1.0"
