"""Text generation: sampling, beam search, and the decoding state that both go on from.

Chapter: ``book/algorithms/gpt.ipynb``, "Generate".
"""

from companion.generation.sampling import generate

__all__ = ["generate"]
