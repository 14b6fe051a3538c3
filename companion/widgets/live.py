"""What a live :class:`companion.widgets.AttentionView` asks of its model."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers.decoders import ByteLevel
from torch import Tensor

from companion.capture import capture
from companion.tokenization import token_labels
from companion.widgets.encoding import as_array

CANDIDATES = 5


@dataclass(frozen=True)
class Answer:
    """One run of the model over one text of n tokens.

    Attributes:
        tokens: n labels.
        attention: (layers, heads, n, n).
        next_tokens: the likeliest continuations of a causal model, each with token, probability and text.
        device: where it ran.
        latency_ms: from text to answer.
    """

    tokens: list[str]
    attention: np.ndarray
    next_tokens: list[dict[str, Any]]
    device: str
    latency_ms: float


class Asker:
    """Run a model over a text, on the model's own device, and keep what a picture needs."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Keep the two; the model must be one that :func:`companion.capture.capture` can look into."""
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
        return Answer(
            tokens=token_labels(self.tokenizer, numbers),
            attention=attention,
            next_tokens=self._candidates(output, attention, numbers[-1]),
            device=f"kernel · {_name(device)}",
            latency_ms=(time.perf_counter() - start) * 1000,
        )

    def _run(self, ids: Tensor) -> tuple[Tensor, np.ndarray]:
        training = self.model.training
        self.model.eval()  # dropout would show another picture on each run
        try:
            with torch.no_grad(), capture(self.model) as record:
                output = self.model(ids)
        finally:
            self.model.train(training)
        return output, as_array(record.attention)

    def _candidates(self, output: Any, attention: np.ndarray, last: int) -> list[dict[str, Any]]:
        """Return the likeliest next tokens after ``last``, or none where a token sees what follows it."""
        scores_vocabulary = isinstance(output, Tensor) and output.size(-1) == self.model.config.vocab_size
        if not scores_vocabulary or np.triu(attention, 1).any():
            return []
        probabilities = output[0, -1].float().softmax(dim=-1)
        top = probabilities.topk(min(CANDIDATES, probabilities.numel()))
        return [
            self._candidate(last, int(i), float(p)) for p, i in zip(top.values.cpu(), top.indices.cpu(), strict=True)
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


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
