"""Text generation: sampling, beam search, and the decoding state that both continue from.

Chapter: ``book/algorithms/gpt.ipynb``, "Generate".
"""

from companion.generation.beam_search import BeamSearch
from companion.generation.sampling import GREEDY, Sampling, generate

__all__ = ["GREEDY", "BeamSearch", "Sampling", "generate"]
