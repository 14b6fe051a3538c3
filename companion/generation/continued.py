"""A model that continues texts which may take tokens back: its cache keeps what the next text begins with.

Chapter: ``book/algorithms/inference.ipynb``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from companion.data.batch import upcast
from companion.generation.decoding import Decoder, check_logits
from companion.generation.sampling import Sampling, probabilities_by
from companion.nn.watching import is_watched


class Continued:
    """Logits of what follows a text, and each of some proposed tokens after it, by one run of a decoder-only model.

    Example:
        >>> from companion.models.gpt import GPT, GPTConfig
        >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8)).eval()
        >>> reader = Continued(model)
        >>> reader.logits([3, 1], proposed=[4, 1]).shape  # after 3 1, after 3 1 4, after 3 1 4 1
        torch.Size([3, 9])
        >>> _ = reader.logits([3, 1, 5])  # 4 and 1 were rejected; only 5 is new
        >>> reader.runs, reader.positions
        (2, 5)

    Attributes:
        runs: number of forward passes so far.
        positions: number of positions computed so far.
    """

    def __init__(self, model: Decoder, how: Sampling = Sampling(), device: torch.device | str = "cpu") -> None:
        """Start with an empty cache.

        Args:
            model: decoder-only, in evaluation mode.
            how: temperature, top-k, top-p and min-p of :meth:`probabilities`.
            device: of the model.
        """
        self.model, self.how, self.device = model, how, device
        self.runs = self.positions = 0
        self._cache, self._read = model.new_cache(), list[int]()
        self._weights = _state(model)

    @torch.no_grad()
    def logits(self, text: Sequence[int], proposed: Sequence[int] = ()) -> Tensor:
        """Logits (1 + proposed, vocab) of the next token after the text, and after each proposed token.

        Raises:
            ValueError: on an empty text, or one that does not fit into the context.
            FloatingPointError: when the logits are not finite.
        """
        whole = [*text, *proposed]
        if not text:
            raise ValueError("a text must have at least one token; got none")
        weights = _state(self.model)
        if weights is None or weights != self._weights:  # what was kept may be of another model by now
            self._read = []
        kept = min(_agreeing(self._read, whole), len(text) - 1)  # the last token of the text is always run
        for layer in self._cache:
            layer.truncate(kept)
        self._read, self._weights = whole[:kept], weights  # all that is sure if the run fails
        logits = self.model(torch.tensor([whole[kept:]], device=self.device), attention_mask=None, cache=self._cache)[0]
        self._read = whole
        self.runs, self.positions = self.runs + 1, self.positions + len(whole) - kept
        check_logits(logits)
        return upcast(logits[-1 - len(proposed) :])

    def probabilities(self, text: Sequence[int], proposed: Sequence[int] = ()) -> Tensor:
        """Probabilities (1 + proposed, vocab) that these tokens are drawn with; see :meth:`logits`."""
        return probabilities_by(self.logits(text, proposed), self.how)

    def next(self, text: Sequence[int]) -> Tensor:
        """Probabilities (vocab,) of the next token, as a draft proposes by them."""
        return self.probabilities(text)[0]


def _state(model: Decoder) -> list[tuple[int, int]] | None:
    """What changes when the weights do; None while something looks into the model or replaces a part."""
    if not isinstance(model, nn.Module):
        return []
    if is_watched(model):
        return None
    return [(p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters()]


def _agreeing(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of tokens at their beginning that two texts have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
