"""The checked equations and exercises of ``book/concepts/storyworld.ipynb``."""
