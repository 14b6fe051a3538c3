"""Runs of two models over one text: what both attend to, and what both predict.

Chapter: ``book/algorithms/distillation.ipynb``. In the page, ``browser/comparison.js`` answers the same.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from companion.data.tokenization import token_labels
from companion.widgets.head_runs import Chance, chances, predicted_place
from companion.widgets.live import Tracer


@dataclass(frozen=True)
class TwoTraces:
    """One run of each of two models over one text of n tokens.

    Attributes:
        tokens: n labels.
        attention: of each, (layers, heads, n, n).
        mask: what both fill in; "" for models that go on, and for two that do not predict the same.
        chances: the likeliest tokens of either at the place that both predict, before = of the first; or none.
        divergence: KL(first || second) of the two distributions there, in bits; None where there are none.
        device: where the first ran, and the second where it is another.
        latency_ms: from text to answer.
    """

    tokens: list[str]
    attention: tuple[np.ndarray, np.ndarray]
    mask: str
    chances: list[Chance]
    divergence: float | None
    device: str
    latency_ms: float


class TwoRuns:
    """Runs of two models that read the same tokens."""

    def __init__(self, first: tuple[Any, Tokenizer], second: tuple[Any, Tokenizer]) -> None:
        """Keep both models with their tokenizers.

        Raises:
            ValueError: on another kind of tokenizer, or vocabularies that differ.
        """
        self._tracers = Tracer(*first), Tracer(*second)
        vocabularies = [tracer.tokenizer.get_vocab() for tracer in self._tracers]
        if vocabularies[0] != vocabularies[1]:
            ours, theirs = vocabularies
            token = min(ours.items() ^ theirs.items(), key=lambda pair: (pair[1], pair[0]))[0]
            raise ValueError(
                f"both models must read the same tokens; of {len(ours)} and {len(theirs)} tokens, {token!r} has the id "
                f"{ours.get(token)} for the first and {theirs.get(token)} for the second"
            )

    def __call__(self, text: str) -> TwoTraces:
        """Traces of both models on ``text``.

        Raises:
            ValueError: when it has no token, more than the context of either holds, or other tokens for the second.
        """
        start = time.perf_counter()
        one, other = self._tracers
        numbers, theirs = one.numbers(text), other.numbers(text)
        if numbers != theirs:
            raise ValueError(
                f"both models must read the same tokens; the text has {len(numbers)} for the first and {len(theirs)} "
                f"for the second, other ones from place {_first_difference(numbers, theirs)}"
            )
        runs = [tracer.run(numbers) for tracer in self._tracers]
        mask, scores = self._predicted(runs, numbers)
        return TwoTraces(
            tokens=token_labels(one.tokenizer, numbers),
            attention=(runs[0][1], runs[1][1]),
            mask=mask,
            chances=chances(one.tokenizer, *scores) if scores else [],
            divergence=_divergence(*scores) if scores else None,
            device=" and ".join(dict.fromkeys(tracer.device for tracer in self._tracers)),
            latency_ms=(time.perf_counter() - start) * 1000,
        )

    def _predicted(
        self, runs: list[tuple[Tensor, np.ndarray]], numbers: list[int]
    ) -> tuple[str, tuple[Tensor, Tensor] | None]:
        """What both fill in, and the scores (vocab_size,) of both at the place that both predict, if there is one."""
        fills_in = {bool(tracer.mask) for tracer in self._tracers}
        if len(fills_in) > 1 or not all(
            output.size(-1) == tracer.model.config.vocab_size
            and (fills_in == {True} or not np.triu(attention, 1).any())
            for tracer, (output, attention) in zip(self._tracers, runs, strict=True)
        ):
            return "", None
        place = predicted_place(self._tracers[0].tokenizer, numbers, fills_in == {True})
        scores = [output[0, place].double().cpu() for output, _ in runs] if place is not None else []
        alike = len(scores) == 2 and scores[0].shape == scores[1].shape  # one may have rows that stand for no token
        return self._tracers[0].mask if fills_in == {True} else "", (scores[0], scores[1]) if alike else None


def _first_difference(one: list[int], other: list[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _divergence(first: Tensor, second: Tensor) -> float:
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    nats: float = F.kl_div(log_q, log_p, reduction="sum", log_target=True).item()
    return nats / math.log(2)
