"""Beam search: extend several texts at once, and return the one with the highest score as a whole.

Chapter: ``book/algorithms/gpt.ipynb``, "Beam search". Sources: Lowerre 1976; for neural networks Sutskever et al. 2014,
section 3.2. The score is that of ``transformers``, and so is what counts as finished.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from companion.generation.decoding import DecodingState, Stop, stop_tokens
from companion.nn.checks import check_integer
from companion.nn.field_types import check_field_types

MOST_BEAMS = 10_000  # per row; each is a text of its own in the batch


@dataclass(frozen=True)
class BeamSearch:
    """Decoding by beam search, for a probable text instead of a drawn one.

    Attributes:
        beams: number of unfinished texts kept per row, 1 to ``MOST_BEAMS``; 1 with a length penalty of 0 is greedy
            decoding.
        length_penalty: exponent of the length in the score, -20 to 20: 0 compares the probabilities of whole texts, 1
            the means of their tokens; more favours long texts.

    >>> BeamSearch(beams=4).length_penalty
    1.0
    """

    beams: int
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError on a number outside its range."""
        check_field_types(self)
        check_integer("beams", self.beams, most=MOST_BEAMS)
        if not -20 <= self.length_penalty <= 20:  # NaN too; far beyond, a length has a power that no float holds
            raise ValueError(f"length_penalty must be -20 to 20; got {self.length_penalty}")


@torch.no_grad()
def beam_search(
    texts: DecodingState, max_new_tokens: int, search: BeamSearch, stop: Stop = None
) -> tuple[Tensor, Tensor]:
    """Best continuation of each row that is found while the likeliest unfinished ones, the beams, are extended.

    A continuation ``y`` of n tokens has the score ``log p(y | prompt) / n^length_penalty``. It is finished with a
    token of ``stop``, which counts, or after ``max_new_tokens``. The search ends when nothing unfinished can still win.

    Args:
        texts: state to start from; it is used up.
        max_new_tokens: largest number of tokens to add.
        search: number of beams, and length penalty.
        stop: token id, or several, at which a text ends; the row is filled up with the first of them.

    Returns:
        ids (rows, length + new), new <= max_new_tokens, and their scores (rows,).
    """
    beams, length_penalty = search.beams, search.length_penalty
    logits = texts.logits()
    stops = stop_tokens(stop, logits.size(-1), texts.ids.device)
    log_probs = logits.log_softmax(-1).repeat_interleave(beams, 0)  # (rows * beams, vocab)
    first = torch.arange(0, len(log_probs), beams, device=log_probs.device)[:, None]  # number of each row's first beam
    texts.reorder((first // beams).expand(-1, beams).flatten())
    live = log_probs.new_full((len(first), beams), -torch.inf)  # log-probability of each unfinished text
    live[:, 0] = 0.0  # at first the other beams are copies of it
    best = Finished(texts.ids[first[:, 0]], max_new_tokens, int(stops[0]) if len(stops) else 0)
    for new in range(1, max_new_tokens + 1):
        total, parent, token = continuations(live, log_probs, 2 * beams)  # half of them may stop
        ends = torch.isin(token, stops) | (new == max_new_tokens)
        reached = total.masked_fill(~ends, -torch.inf)[:, :beams] / new**length_penalty
        score, candidate = reached.max(-1, keepdim=True)  # (rows, 1)
        written = texts.ids[(first + parent.gather(1, candidate))[:, 0]]
        best.update(torch.cat([written, token.gather(1, candidate)], dim=1), score[:, 0])
        live, kept = total.masked_fill(ends, -torch.inf).topk(beams)
        longest = max_new_tokens if length_penalty > 0 else new  # where a sum of logarithms scores best
        if bool((live[:, 0] / longest**length_penalty <= best.score).all()):
            break
        texts.reorder((first + parent.gather(1, kept)).flatten())
        texts.append(token.gather(1, kept).flatten())
        log_probs = texts.logits().log_softmax(-1)
    return best.ids[:, : best.length], best.score


def continuations(live: Tensor, log_probs: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Likeliest continuations of a row's beams by one token, the best first.

    Args:
        live: (rows, beams), log-probability of each text so far.
        log_probs: (rows * beams, vocab), log-probability of each next token.
        count: largest number of continuations per row.

    Returns:
        log-probabilities of the longer texts, the beams that they come from and the added tokens, each (rows, count).

    >>> log_probs = torch.tensor([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05]]).log()
    >>> total, parent, token = continuations(torch.tensor([[0.6, 0.4]]).log(), log_probs, 2)
    >>> parent.tolist(), token.tolist()
    ([[1, 0]], [[0, 0]])
    """
    total = (live.flatten()[:, None] + log_probs).view(len(live), -1)  # (rows, beams * vocab)
    best = total.topk(min(count, total.size(1)))
    vocab = log_probs.size(-1)
    return best.values, best.indices // vocab, best.indices % vocab


class Finished:
    """Best finished text of each row so far.

    Attributes:
        ids: (rows, longest possible), filled up after each text's end.
        score: (rows,), minus infinity where no text is finished.
        length: number of tokens of the longest text.
    """

    def __init__(self, prompts: Tensor, max_new_tokens: int, fill: int) -> None:
        """Start with no finished text for the ``prompts`` (rows, length); ``fill`` is the id after a text's end."""
        self.ids = torch.nn.functional.pad(prompts, (0, max_new_tokens), value=fill)
        self.score = torch.full((len(prompts),), -torch.inf, device=prompts.device)
        self.length = prompts.size(1)

    def update(self, ids: Tensor, score: Tensor) -> None:
        """Keep those of the texts ``ids`` (rows, length), longer than all before, whose ``score`` (rows,) is higher."""
        better = score > self.score
        if bool(better.any()):  # a text that is replaced was shorter, so what was behind it stays right
            self.length = ids.size(1)
            self.ids[better, : self.length] = ids[better]
            self.score = torch.where(better, score, self.score)
