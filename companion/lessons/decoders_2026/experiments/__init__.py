"""What the chapter shows beside its concepts: ten released decoders, and small ones that are trained with their parts.

Chapter: ``book/algorithms/decoders_2026.ipynb``.
"""

from companion.lessons.decoders_2026.experiments.released import DECODERS, OpenDecoder
from companion.lessons.decoders_2026.experiments.trained import CHANGES, train, width

__all__ = ["CHANGES", "DECODERS", "OpenDecoder", "train", "width"]
