"""Constrained output: before each token is drawn, all tokens that would leave the grammar are masked.

Chapter: ``book/algorithms/inference.ipynb``. Source: Willard & Louf 2023, "Efficient Guided Generation for Large
Language Models", section 3 (the allowed tokens of each state of an automaton).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from companion.data.checks import check_list
from companion.generation.draws import Draw
from companion.generation.grammar import NOTHING, Expression
from companion.generation.sampling import Sampling, probabilities_by
from companion.nn.checks import check_integer


@dataclass
class _Node:
    """Node of the tree of all tokens' texts: a character leads on, and some tokens end here."""

    ends: list[int] = field(default_factory=list)
    children: dict[str, "_Node"] = field(default_factory=dict)


@lru_cache(maxsize=8)
def _tree(tokens: tuple[str | None, ...]) -> _Node:
    """Tree of the tokens' texts, made once for all grammars over a vocabulary."""
    root = _Node()
    for number, text in enumerate(tokens):
        if text:
            node = root
            for character in text:
                node = node.children.setdefault(character, _Node())
            node.ends.append(number)
    return root


class TokenMask:
    """Tokens that a grammar allows next, for each state of its automaton.

    A token is a piece of text, and a grammar is made of characters: a token is allowed where each of its characters
    is, one after the other. The tree of all tokens is walked once for each state.

    Example:
        >>> from companion.generation.grammar import words
        >>> mask = TokenMask(words("on", "off"), tokens=["o", "n", "of", "f", None], stop=4)
        >>> mask.allowed(mask.start).tolist()
        [True, False, True, False, False]
        >>> mask.allowed(mask.after(mask.after(mask.start, 0), 1)).tolist()  # "on" is whole
        [False, False, False, False, True]

    Attributes:
        start: state before the first token.
    """

    start = 0

    def __init__(self, grammar: Expression, tokens: Sequence[str | None], stop: int) -> None:
        """Learn the tokens.

        Args:
            grammar: what the whole output must be.
            tokens: text of each token; None or the empty text for one that is never allowed.
            stop: token that ends the output; allowed where the grammar may end, whatever its text.

        Raises:
            ValueError: when ``stop`` is no token, or ``tokens`` is a string.
        """
        check_list("tokens", tokens)
        check_integer("stop", stop, least=0, most=len(tokens) - 1)
        self.stop = stop
        self._texts = tokens
        self._states = [grammar]  # those met so far; a state is its place here
        self._places = {grammar: self.start}
        self._steps: dict[tuple[int, str], int | None] = {}
        self._masks: dict[int, Tensor] = {}
        self._root = _tree(tuple(tokens))

    def allowed(self, state: int) -> Tensor:
        """Which tokens may come next, boolean (vocab,).

        Raises:
            ValueError: when none may: the grammar goes on with a character that no token begins with.
        """
        if state not in self._masks:
            numbers = [self.stop] if self._states[state].accepts_end else []
            pending = [(self._root, state)]
            while pending:
                node, there = pending.pop()
                numbers += [number for number in node.ends if number != self.stop]
                for character, child in node.children.items():
                    if (then := self._step(there, character)) is not None:
                        pending.append((child, then))
            if not numbers:
                raise ValueError(
                    f"no token of the vocabulary goes on in the grammar's state {self._states[state]!r:.80}"
                )
            mask = torch.zeros(len(self._texts), dtype=torch.bool)
            mask[numbers] = True
            self._masks[state] = mask
        return self._masks[state]

    def after(self, state: int, token: int) -> int:
        """State after an allowed token other than ``stop``.

        Raises:
            ValueError: when the token is not allowed.
        """
        then: int | None = state
        for character in self._texts[token] or "":
            then = None if then is None else self._step(then, character)
        if then is None or not self._texts[token]:
            raise ValueError(f"token {token}, {self._texts[token]!r}, is not allowed here")
        return then

    def _step(self, state: int, character: str) -> int | None:
        """State after a character, None where it is not allowed; each is derived once."""
        if (state, character) not in self._steps:
            then = self._states[state].after(character)
            if then != NOTHING and then not in self._places:
                self._places[then] = len(self._states)
                self._states.append(then)
            self._steps[state, character] = self._places.get(then)
        return self._steps[state, character]


def constrained(
    text: Sequence[int],
    logits: Callable[[Sequence[int]], Tensor],
    mask: TokenMask,
    draw: Draw,
    *,
    longest: int,
    how: Sampling = Sampling(),
) -> list[int]:
    """Output tokens, ``stop`` at their end, that are in the grammar; they are drawn from what the mask leaves.

    At each step the probabilities of the allowed tokens are scaled to sum to 1. This is not the model's distribution
    given that the output is in the grammar: that would also ask how likely each beginning is to be completed.

    Args:
        text: the prompt.
        logits: of a text -> (…, vocab) of its next token, as :meth:`companion.generation.continued.Continued.logits`.
        mask: of the grammar.
        draw: as :func:`companion.generation.draws.seeded_draw`.
        longest: largest number of tokens, ``stop`` included.
        how: temperature, top-k, top-p and min-p, applied to the allowed tokens.

    Raises:
        ValueError: when the output is not whole after ``longest`` tokens.

    >>> from companion.generation.draws import seeded_draw
    >>> from companion.generation.grammar import words
    >>> mask = TokenMask(words("on", "off"), tokens=["o", "n", "of", "f", None], stop=4)
    >>> output = constrained([1], lambda text: torch.zeros(5), mask, seeded_draw(0), longest=4)
    >>> "".join("o n of f .".split()[token] for token in output) in ("on.", "off.")
    True
    """
    output, state = list[int](), mask.start
    while len(output) < longest:
        left = logits([*text, *output]).reshape(-1).masked_fill(~mask.allowed(state), -math.inf)
        probabilities = probabilities_by(left, how)
        output.append(draw(probabilities))
        if output[-1] == mask.stop:
            return output
        state = mask.after(state, output[-1])
    raise ValueError(f"the output is not whole after {longest} tokens: allow more, or bound the grammar")
