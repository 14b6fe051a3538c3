"""The companion package of the book *Large Language Models, Live*."""

__version__ = "0.1.0"
