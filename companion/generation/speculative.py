"""Speculative decoding: a draft proposes tokens, the target judges them in one run, and its distribution is kept.

Chapter: ``book/algorithms/inference.ipynb``. Sources: Leviathan et al. 2023, algorithm 1; Chen et al. 2023, algorithm 2
(the same rule, found independently); Saxena 2023, "Prompt Lookup Decoding" (:func:`prompt_lookup`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from companion.generation.draws import Draw
from companion.nn.checks import check_integer

Target = Callable[[Sequence[int], Sequence[int]], Tensor]  # text, proposed -> probabilities (1 + proposed, vocab)
Draft = Callable[[Sequence[int]], Tensor | None]  # text -> probabilities (vocab,), or None for no proposal


def acceptance(target: Tensor, draft: Tensor) -> Tensor:
    """Probability with which each proposed token is kept, ``min(1, p / q)``; 0 where q is 0.

    Args:
        target: p, the target's probabilities (…, vocab).
        draft: q, the draft's probabilities (…, vocab).

    >>> acceptance(torch.tensor([0.6, 0.4]), torch.tensor([0.3, 0.7])).round(decimals=2)
    tensor([1.0000, 0.5700])
    """
    return torch.where(draft > 0, target / draft, 0.0).clamp(max=1.0)


def residual(target: Tensor, draft: Tensor) -> Tensor:
    """Distribution from which the token after a rejection is drawn, ``max(0, p - q)`` scaled to sum to 1.

    The target's own where the two are equal, since nothing is then rejected.

    >>> residual(torch.tensor([0.5, 0.4, 0.1]), torch.tensor([0.25, 0.75, 0.0])).round(decimals=2)
    tensor([0.7100, 0.0000, 0.2900])
    """
    more = (target - draft).clamp(min=0.0)
    total = more.sum(-1, keepdim=True)
    return torch.where(total > 0, more / total, target)


def overlap(target: Tensor, draft: Tensor) -> Tensor:
    """Probability that a token drawn from the draft is kept, ``sum_x min(p(x), q(x))``, 1 minus their total variation.

    >>> overlap(torch.tensor([0.6, 0.4]), torch.tensor([0.3, 0.7])).item()
    0.7...
    """
    return torch.minimum(target, draft).sum(-1)


def expected_tokens(rate: float, lookahead: int) -> float:
    """Expected tokens per run of the target, if each proposal is kept with the same probability, independently.

    ``(1 - rate^(lookahead + 1)) / (1 - rate)`` (Leviathan et al. 2023, equation 1).

    Args:
        rate: probability that a proposal is kept, in [0, 1].
        lookahead: number of proposals per run.

    Raises:
        ValueError: on a rate outside [0, 1], or a negative lookahead.

    >>> expected_tokens(0.5, lookahead=2)  # 1 + 1/2 + 1/4
    1.75
    """
    check_integer("lookahead", lookahead, least=0)
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be in [0, 1]; got {rate}")
    return float(sum(rate**kept for kept in range(lookahead + 1)))


@dataclass(frozen=True)
class Round:
    """What one run of the target brought.

    Attributes:
        tokens: kept proposals, and one token of the target's.
        proposed: number of proposals.
    """

    tokens: list[int]
    proposed: int

    @property
    def accepted(self) -> int:
        """Number of proposals that were kept."""
        return len(self.tokens) - 1


def speculative_round(text: Sequence[int], target: Target, draft: Draft, lookahead: int, draw: Draw) -> Round:
    """Propose up to ``lookahead`` tokens, and keep them up to the first that the target rejects.

    After a rejection comes a token of :func:`residual`, after none a further token of the target's.

    Args:
        text: tokens so far.
        target: probabilities after the text and after each proposal.
        draft: probabilities by which a proposal is drawn.
        lookahead: largest number of proposals.
        draw: choices by their probabilities.
    """
    proposed: list[int] = []
    guesses: list[Tensor] = []
    while len(proposed) < lookahead and (q := draft([*text, *proposed])) is not None:
        guesses.append(q)
        proposed.append(draw(q))
    p = target(text, proposed)  # one run for all of them
    for place, (token, q) in enumerate(zip(proposed, guesses, strict=True)):
        keep = acceptance(p[place], q)[token]
        if not draw(torch.stack([1 - keep, keep])):
            return Round([*proposed[:place], draw(residual(p[place], q))], len(proposed))
    return Round([*proposed, draw(p[-1])], len(proposed))


def speculate(
    text: Sequence[int],
    new: int,
    *,
    target: Target,
    draft: Draft,
    draw: Draw,
    lookahead: int = 4,
    stop: int | None = None,
) -> tuple[list[int], list[Round]]:
    """Text continued by ``new`` tokens whose distribution is the target's, and the rounds that it took.

    Args:
        text: the prompt, at least one token.
        new: number of tokens to add; fewer when ``stop`` comes before.
        target: as :meth:`companion.generation.continued.Continued.probabilities`.
        draft: as :meth:`companion.generation.continued.Continued.next` of a smaller model.
        draw: as :func:`companion.generation.draws.seeded_draw`.
        lookahead: largest number of proposals per round.
        stop: token at which the text ends.

    Raises:
        ValueError: when a number is below 1.

    >>> from companion.generation.draws import seeded_draw
    >>> sure = torch.eye(3)  # after token i comes token i + 1
    >>> target = lambda text, proposed: sure.roll(1, 1)[[text[-1], *proposed]]
    >>> ids, rounds = speculate([0], 5, target=target, draft=lambda t: target(t, [])[0], draw=seeded_draw(0))
    >>> ids, [one.accepted for one in rounds]
    ([0, 1, 2, 0, 1, 2], [4])
    """
    check_integer("new", new)
    check_integer("lookahead", lookahead)
    ids, rounds = list(text), list[Round]()
    end = len(ids) + new
    while len(ids) < end:
        left = end - len(ids)
        rounds.append(speculative_round(ids, target, draft, min(lookahead, left - 1), draw))
        for token in rounds[-1].tokens:
            ids.append(token)
            if token == stop:
                return ids, rounds
    return ids, rounds


def prompt_lookup(vocab_size: int, order: int = 2) -> Draft:
    """Draft without a model: it proposes what followed the last ``order`` tokens where they stood before.

    Args:
        vocab_size: number of tokens in the vocabulary.
        order: number of tokens that must agree.

    >>> draft = prompt_lookup(vocab_size=9)
    >>> draft([3, 1, 4, 3, 1]).argmax().item(), draft([3, 1, 4])
    (4, None)
    """
    check_integer("order", order)

    def next_token(text: Sequence[int]) -> Tensor | None:
        end = list(text[-order:])
        for place in range(len(text) - order - 1, -1, -1):  # the latest first
            if list(text[place : place + order]) == end:
                return torch.nn.functional.one_hot(torch.tensor(text[place + order]), vocab_size).float()
        return None

    return next_token
