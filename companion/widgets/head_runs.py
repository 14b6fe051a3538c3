"""Runs of a model with some heads ablated or patched, beside the run with all heads as they are.

Chapter: ``book/practice/interpretability.ipynb``. In the page, ``browser/comparison.js`` answers the same.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from companion.data.tokenization import token_labels
from companion.nn.capture import ablate, attention_layers, capture
from companion.nn.checks import check_numbers
from companion.nn.intervention import Edit, intervene
from companion.widgets.live import CANDIDATES, Tracer, mask_of

Head = tuple[int, int]


@dataclass(frozen=True)
class Chance:
    """A token at the place that is predicted.

    Attributes:
        token: its label.
        before: its probability with all heads.
        after: its probability with the heads as chosen.
    """

    token: str
    before: float
    after: float


@dataclass(frozen=True)
class Comparison:
    """What a choice of heads changes in the prediction of one text of n tokens.

    Attributes:
        tokens: n labels.
        mask: what a model that reads both ways fills in; "" for one that goes on.
        chances: the likeliest tokens before and after, at the next place or behind the last mask.
        losses: of each token but the first, in nats, before and after; none for a model that fills in.
        device: where it ran.
        latency_ms: from text to answer.
    """

    tokens: list[str]
    mask: str
    chances: list[Chance]
    losses: list[tuple[float, float]]
    device: str
    latency_ms: float


class HeadRuns:
    """Pairs of runs of a model over a text: with all heads, and with some of them ablated or patched."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        """Keep the two.

        Raises:
            ValueError: on another kind of tokenizer, or a model without a companion attention layer.
        """
        self._tracer = Tracer(model, tokenizer)
        self.model = model
        layers = attention_layers(model)
        self.shape = (len(layers), layers[0].n_heads)

    def __call__(
        self, text: str, off: Sequence[Head] = (), patched: Sequence[Head] = (), source: str = ""
    ) -> Comparison:
        """Comparison of the two runs.

        Args:
            text: that is predicted.
            off: heads (layer, head) that are ablated, by :func:`companion.nn.capture.ablate`.
            patched: heads whose output is that of the same head in ``source``.
            source: the second text, of as many tokens.

        Raises:
            ValueError: on no such layer or head, a text that is empty or too long, a second text of another length, a
                model that scores no tokens, or one that sees what it should predict and fills in nothing.
        """
        start = time.perf_counter()
        numbers = self._tracer.numbers(text)
        before, attention = self._tracer.run(numbers)
        fills_in = bool(self._tracer.mask)
        if before.size(-1) != self.model.config.vocab_size or (np.triu(attention, 1).any() and not fills_in):
            raise ValueError(f"a head lab needs a model that predicts tokens; got {type(self.model).__name__}")
        edits = self._edits(patched, source, len(numbers)) if patched else {}
        patching = intervene(self.model, heads=edits) if edits else nullcontext()
        with ablate(self.model, off), patching:
            after, _ = self._tracer.run(numbers)
        scores = before[0].float(), after[0].float()  # (n, vocab_size)
        place = predicted_place(self._tracer.tokenizer, numbers, fills_in)
        return Comparison(
            tokens=token_labels(self._tracer.tokenizer, numbers),
            mask=self._tracer.mask,
            chances=[] if place is None else chances(self._tracer.tokenizer, scores[0][place], scores[1][place]),
            losses=[] if fills_in else _losses(scores, numbers),
            device=self._tracer.device,
            latency_ms=(time.perf_counter() - start) * 1000,
        )

    def _edits(self, patched: Sequence[Head], source: str, length: int) -> dict[int, Edit]:
        """Edits that put the outputs of heads in ``source`` into a run, by layer."""
        numbers = self._tracer.numbers(source)
        if len(numbers) != length:
            raise ValueError(f"the second text has {len(numbers)} tokens and the first {length}; a patch needs as many")
        with capture(self.model) as record:
            self._tracer.run(numbers)
            given = list(record.heads)
        by_layer: dict[int, list[int]] = {}
        for layer, head in patched:
            by_layer.setdefault(layer, []).append(head)
        return {layer: _given(given[layer], heads) for layer, heads in by_layer.items()}


def predicted_place(tokenizer: Tokenizer, numbers: list[int], fills_in: bool) -> int | None:
    """Place whose scores say what is predicted: the last one or, of a model that fills in, its last mask if any."""
    if not fills_in:
        return len(numbers) - 1
    mask_id = tokenizer.token_to_id(mask_of(tokenizer))
    return len(numbers) - 1 - numbers[::-1].index(mask_id) if mask_id in numbers else None


def chances(tokenizer: Tokenizer, before: Tensor, after: Tensor) -> list[Chance]:
    """The likeliest tokens of either of two runs at one place, with their probabilities in both.

    Args:
        tokenizer: of the model.
        before: scores (vocab_size,) of the first run.
        after: of the second.

    Raises:
        FloatingPointError: when they are not numbers.
    """
    check_numbers("logits", torch.stack([before, after]))
    one, other = before.softmax(-1), after.softmax(-1)
    likeliest = {number for run in (one, other) for number in run.topk(min(CANDIDATES, len(run))).indices.tolist()}
    ids = sorted(sorted(likeliest), key=lambda number: -one[number].item())
    labels = token_labels(tokenizer, ids)
    return [Chance(label, one[i].item(), other[i].item()) for i, label in zip(ids, labels, strict=True)]


def _given(outputs: Tensor, heads: list[int]) -> Edit:
    """An edit that replaces the outputs of these heads, (1, heads, n, d_head), by ``outputs``."""
    chosen = torch.zeros(outputs.size(1), dtype=torch.bool, device=outputs.device)
    chosen[heads] = True
    return lambda own: torch.where(chosen[:, None, None], outputs, own)


def _losses(scores: tuple[Tensor, Tensor], numbers: list[int]) -> list[tuple[float, float]]:
    targets = torch.tensor(numbers[1:], dtype=torch.int64, device=scores[0].device)
    before, after = (F.cross_entropy(one[:-1], targets, reduction="none").tolist() for one in scores)
    return list(zip(before, after, strict=True))
