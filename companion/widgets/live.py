"""What a live :class:`companion.widgets.AttentionView` asks of its model.

Chapter: ``book/concepts/attention.ipynb``.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers.decoders import ByteLevel
from torch import Tensor

from companion.data.tokenization import token_labels
from companion.models.bert import segments_of
from companion.nn.capture import capture
from companion.widgets.encoding import as_array

CANDIDATES = 5
MASK = "[MASK]"


@dataclass(frozen=True)
class Answer:
    """One run of the model over one text of n tokens.

    Attributes:
        tokens: n labels.
        attention: (layers, heads, n, n).
        next_tokens: the likeliest continuations of a causal model, or the likeliest words behind the last ``[MASK]``
            of one that reads both ways, each with token, probability and text.
        mask: what in the text a choice of these takes the place of; "" = it is appended.
        device: where it ran.
        latency_ms: from text to answer.
    """

    tokens: list[str]
    attention: np.ndarray
    next_tokens: list[dict[str, Any]]
    mask: str
    device: str
    latency_ms: float


class Asker:
    """Run a model over a text, on the model's own device, and keep what a picture needs."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Keep the two; the model must be one that :func:`companion.nn.capture.capture` can look into."""
        self.model = model
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> Answer:
        """Answer for ``text``.

        Raises:
            ValueError: when it has no token, or more than the model's context holds.
        """
        start = time.perf_counter()
        numbers = self.tokenizer.encode(text).ids
        limit = getattr(self.model.config, "context_length", None)  # XLNet and T5 have none
        if not numbers:
            raise ValueError("the text is empty: the model needs at least one token")
        if limit is not None and len(numbers) > limit:
            raise ValueError(f"the text has {len(numbers)} tokens; the model reads at most {limit}")
        device = next(self.model.parameters()).device
        output, attention = self._run(torch.tensor([numbers], device=device))
        fills_in = isinstance(output, tuple)  # a BERT: scores of the words, and of the pair of sentences
        return Answer(
            tokens=token_labels(self.tokenizer, numbers),
            attention=attention,
            next_tokens=self._behind_mask(output[0], numbers) if fills_in else self._next(output, attention, numbers),
            mask=MASK if fills_in else "",
            device=f"kernel · {_name(device)}",
            latency_ms=(time.perf_counter() - start) * 1000,
        )

    def _run(self, ids: Tensor) -> tuple[Tensor, np.ndarray]:
        training = self.model.training
        self.model.eval()  # dropout would show another picture on each run
        try:
            with torch.no_grad(), capture(self.model) as record:
                output = self.model(ids, *self._segments(ids))
        finally:
            self.model.train(training)
        return output, as_array(record.attention)

    def _segments(self, ids: Tensor) -> tuple[Tensor, ...]:
        """The second argument of a model that knows segments."""
        sep_id = self.tokenizer.token_to_id("[SEP]")
        knows = sep_id is not None and getattr(self.model.config, "n_segments", 0) > 1
        return (segments_of(ids, sep_id),) if knows else ()

    def _next(self, output: Any, attention: np.ndarray, numbers: list[int]) -> list[dict[str, Any]]:
        """Return the likeliest next tokens, or none where a token sees what follows it."""
        scores_vocabulary = isinstance(output, Tensor) and output.size(-1) == self.model.config.vocab_size
        if not scores_vocabulary or np.triu(attention, 1).any():
            return []
        return [self._candidate(numbers[-1], number, p) for number, p in _likeliest(output[0, -1])]

    def _behind_mask(self, logits: Tensor, numbers: list[int]) -> list[dict[str, Any]]:
        """Return the likeliest tokens at the last mask of the text, or none where it has none."""
        mask_id = self.tokenizer.token_to_id(MASK)
        if mask_id not in numbers:
            return []
        place = len(numbers) - 1 - numbers[::-1].index(mask_id)
        likeliest = _likeliest(logits[0, place])
        labels = token_labels(self.tokenizer, [number for number, _ in likeliest])
        return [
            {"token": label, "probability": p, "text": label} for label, (_, p) in zip(labels, likeliest, strict=True)
        ]

    def _candidate(self, last: int, number: int, probability: float) -> dict[str, Any]:
        text = self.tokenizer.decode([number])
        if not isinstance(self.tokenizer.decoder, ByteLevel):  # a word carries no space: what does it add to the last?
            text = self.tokenizer.decode([last, number]).removeprefix(self.tokenizer.decode([last]))
        whole = "\ufffd" not in text  # part of a character cannot be typed
        return {
            "token": token_labels(self.tokenizer, [number])[0],
            "probability": probability,
            "text": text if whole else "",
        }


def _likeliest(logits: Tensor) -> list[tuple[int, float]]:
    probabilities = logits.float().softmax(dim=-1)
    top = probabilities.topk(min(CANDIDATES, probabilities.numel()))
    return list(zip(top.indices.tolist(), top.values.tolist(), strict=True))


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
