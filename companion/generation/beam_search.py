"""Beam search: follow several texts at once, and return the one that is best as a whole.

Chapter: ``book/algorithms/gpt.ipynb``, "Beam search". Sources: Lowerre 1976; for neural networks Sutskever et al. 2014,
section 3.2. The score is that of ``transformers``, and so is what counts as finished.
"""

import math

import torch
from torch import Tensor

from companion.generation.decoding import DecodingState


@torch.no_grad()
def beam_search(
    texts: DecodingState, max_new_tokens: int, *, beams: int, length_penalty: float = 1.0, stop: int | None = None
) -> tuple[Tensor, Tensor]:
    """Add the best continuation that is found while the ``beams`` likeliest unfinished ones are followed.

    A continuation ``y`` of n tokens has the score ``log p(y | prompt) / n^length_penalty``. It is finished with the
    token ``stop``, which counts, or after ``max_new_tokens``. The search ends when nothing unfinished can still win.

    Args:
        texts: where to begin; used up.
        max_new_tokens: how many to add at most.
        beams: unfinished texts that are kept of each row; 1 with a length penalty of 0 is greedy.
        length_penalty: 0 compares the probabilities of whole texts, 1 the means of their tokens; more favours length.
        stop: a token id at which a text ends; the row is filled up with it.

    Returns:
        ids (rows, length + new), new <= max_new_tokens, and their scores (rows,).

    Raises:
        ValueError: when ``beams`` is below 1, or the length penalty is not finite.
    """
    if beams < 1:
        raise ValueError(f"beams must be at least 1; got {beams}")
    if not math.isfinite(length_penalty):
        raise ValueError(f"length_penalty must be a finite number; got {length_penalty}")
    log_probs = texts.logits().log_softmax(-1).repeat_interleave(beams, 0)  # (rows * beams, vocab)
    first = torch.arange(0, len(log_probs), beams, device=log_probs.device)[:, None]  # number of each row's first beam
    texts.reorder((first // beams).expand(-1, beams).flatten())
    live = log_probs.new_full((len(first), beams), -torch.inf)  # log-probability of each unfinished text
    live[:, 0] = 0.0  # at first the others are copies of it
    best = Finished(texts.ids[first[:, 0]], max_new_tokens, stop)
    for new in range(1, max_new_tokens + 1):
        total, parent, token = continuations(live, log_probs, 2 * beams)  # half of them may stop
        ends = torch.full_like(token, new == max_new_tokens, dtype=torch.bool)
        if stop is not None:
            ends |= token == stop
        reached = total.masked_fill(~ends, -torch.inf)[:, :beams] / new**length_penalty
        score, place = reached.max(-1, keepdim=True)  # (rows, 1)
        written = texts.ids[(first + parent.gather(1, place))[:, 0]]
        best.update(torch.cat([written, token.gather(1, place)], dim=1), score[:, 0])
        live, kept = total.masked_fill(ends, -torch.inf).topk(beams)
        longest = max_new_tokens if length_penalty > 0 else new  # where a sum of logarithms scores best
        if bool((live[:, 0] / longest**length_penalty <= best.score).all()):
            break
        texts.reorder((first + parent.gather(1, kept)).flatten())
        texts.append(token.gather(1, kept).flatten())
        log_probs = texts.logits().log_softmax(-1)
    return best.ids[:, : best.length], best.score


def continuations(live: Tensor, log_probs: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the likeliest ways to add one token to one of a row's beams, the best first.

    Args:
        live: (rows, beams), log-probability of each text so far.
        log_probs: (rows * beams, vocab), of each next token.
        count: how many, if there are so many.

    Returns:
        log-probabilities of the longer texts, the beams that they come from and the added tokens, each (rows, count).
    """
    total = (live.flatten()[:, None] + log_probs).view(len(live), -1)  # (rows, beams * vocab)
    best = total.topk(min(count, total.size(1)))
    vocab = log_probs.size(-1)
    return best.values, best.indices // vocab, best.indices % vocab


class Finished:
    """The best finished text of each row so far.

    Attributes:
        ids: (rows, longest possible), filled up behind each text.
        score: (rows,), minus infinity where none is finished.
        length: of the longest one.
    """

    def __init__(self, prompts: Tensor, max_new_tokens: int, stop: int | None) -> None:
        """Begin with no finished text for the ``prompts`` (rows, length)."""
        self.ids = torch.nn.functional.pad(prompts, (0, max_new_tokens), value=0 if stop is None else stop)
        self.score = torch.full((len(prompts),), -torch.inf, device=prompts.device)
        self.length = prompts.size(1)

    def update(self, ids: Tensor, score: Tensor) -> None:
        """Take over those of the texts ``ids`` (rows, length), longer than all before, whose ``score`` is higher."""
        better = score > self.score
        if bool(better.any()):  # a text that is replaced was shorter, so what was behind it stays right
            self.length = ids.size(1)
            self.ids[better, : self.length] = ids[better]
            self.score = torch.where(better, score, self.score)
