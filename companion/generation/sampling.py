"""Sampling: next-token probabilities to text by greedy choice, temperature, top-k, top-p or min-p, with a KV cache.

Chapter: ``book/algorithms/gpt.ipynb``. Sources: Fan et al. 2018 (top-k); Holtzman et al. 2020 (top-p, "nucleus");
Nguyen et al. 2025 (min-p).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from companion.data.batch import padded
from companion.generation.beam_search import BeamSearch, beam_search
from companion.generation.decoding import (
    Decoder,
    DecodingState,
    EncoderDecoder,
    EncoderDecoderState,
    Stop,
    check_logits,
    stop_tokens,
)
from companion.nn.checks import SMALLEST, check_ids, check_integer
from companion.nn.field_types import check_field_types
from companion.nn.modes import evaluating


@dataclass(frozen=True)
class Sampling:
    """Decoding by sampling: each token is drawn from :func:`next_token_probabilities`.

    Attributes:
        temperature: divisor of the logits, at least 0; 0 is greedy.
        top_k: number of likeliest tokens to draw from, at least 1; all when not given.
        top_p: probability that the likeliest tokens to draw from must reach, in (0, 1]; all tokens when not given.
        seed: of the draws; torch's current random state when not given.
        min_p: smallest probability of a token to draw from, as a fraction of the likeliest's, in [0, 1]; all tokens
            when not given.

    >>> Sampling(temperature=0) == GREEDY
    True
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError on a number outside its range."""
        check_field_types(self)
        if not 0 <= self.temperature < math.inf:  # NaN too
            raise ValueError(f"temperature must be 0 (greedy) or more, and finite; got {self.temperature}")
        if self.top_k is not None:
            check_integer("top_k", self.top_k)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1]; got {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must be in [0, 1]; got {self.min_p}")
        if self.seed is not None:
            check_integer("seed", self.seed, least=0, most=2**63 - 1)


GREEDY = Sampling(temperature=0)  # the likeliest token at each step


def next_token_probabilities(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Tensor:
    """Probabilities that the next token is drawn with.

    In this order: temperature divides the logits; top-k keeps the k likeliest tokens; top-p keeps the smallest set of
    likeliest tokens whose probabilities reach p; min-p keeps the tokens that are at least p times as likely as the
    likeliest. The probabilities kept are scaled to sum to 1.

    Args:
        logits: (…, vocab).
        temperature: at least 0; 0 means greedy, all probability on the likeliest token.
        top_k: at least 1.
        top_p: in (0, 1].
        min_p: in [0, 1].

    Returns:
        probabilities (…, vocab).

    Raises:
        ValueError: when a setting is outside its range.
        FloatingPointError: when the largest logit of a row is not finite.

    >>> logits = torch.tensor([4.0, 1.0, 5.0]).log()
    >>> next_token_probabilities(logits).round(decimals=2)
    tensor([0.4000, 0.1000, 0.5000])
    >>> next_token_probabilities(logits, top_p=0.5)
    tensor([0., 0., 1.])
    >>> next_token_probabilities(logits, min_p=0.5).round(decimals=2)
    tensor([0.4400, 0.0000, 0.5600])
    """
    how = Sampling(temperature, top_k, top_p, min_p=min_p)  # refuses what is outside its range
    return probabilities_by(logits, how)


def probabilities_by(logits: Tensor, how: Sampling) -> Tensor:
    """Probabilities (…, vocab) that the next token is drawn with; see :func:`next_token_probabilities`.

    Raises:
        FloatingPointError: when the largest logit of a row is not finite.
    """
    check_logits(logits.reshape(-1, logits.size(-1)))
    return _probabilities(logits, how)


def _probabilities(logits: Tensor, how: Sampling) -> Tensor:
    temperature, top_k, top_p = how.temperature, how.top_k, how.top_p
    if temperature < SMALLEST:  # zero in single precision
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    below = logits - logits.amax(-1, keepdim=True)  # so that no temperature is too low for a division
    scaled = below / float(temperature)
    if top_k is not None:
        best = logits.topk(min(top_k, logits.size(-1))).indices  # of the logits as they are: scaled ones may be rounded
        scaled = torch.full_like(scaled, -torch.inf).scatter(-1, best, scaled.gather(-1, best))
    probabilities = scaled.softmax(-1)
    if top_p is not None:
        ordered, order = probabilities.sort(-1, descending=True)
        before = ordered.cumsum(-1) - ordered  # probability of the likelier tokens
        kept = ordered.masked_fill(before >= top_p, 0.0)
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, kept)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    if how.min_p is not None:
        least = how.min_p * probabilities.amax(-1, keepdim=True)
        probabilities = probabilities.masked_fill(probabilities < least, 0.0)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return probabilities


def left_padded(prompts: Sequence[Sequence[int]], value: int = 0) -> tuple[Tensor, Tensor]:
    """Left-padded prompts: one tensor, padded at the front, so that prompts of unequal length end together.

    Args:
        prompts: one list of token ids each, none of them empty.
        value: id at padding positions; it does not matter.

    Returns:
        ids (prompts, longest) and the boolean attention mask of the same shape, True = a real token.

    Raises:
        ValueError: when there is no prompt, or an empty one.

    >>> ids, mask = left_padded([[7, 8, 9], [5]])
    >>> ids.tolist(), mask.tolist()
    ([[7, 8, 9], [0, 0, 5]], [[True, True, True], [False, False, True]])
    """
    ids, mask = padded([list(prompt)[::-1] for prompt in prompts], value)
    return ids.flip(1), mask.flip(1)


@torch.no_grad()
def generate(
    model: Decoder | EncoderDecoder,
    ids: Tensor,
    max_new_tokens: int,
    *,
    attention_mask: Tensor | None = None,
    decoding: Sampling | BeamSearch = Sampling(),
    stop: Stop = None,
    use_cache: bool = True,
    on_token: Callable[[Tensor], object] | None = None,
) -> Tensor:
    """Generated text: a continuation of each row of ``ids``, or an encoder–decoder model's output for it.

    Args:
        model: decoder-only, as :class:`companion.models.gpt.GPT`, or with an encoder and a decoder, as
            :class:`companion.models.transformer.Transformer`. Its mode (training or not) is kept;
            dropout is off meanwhile.
        ids: (batch, length), the prompts or the sources.
        max_new_tokens: largest number of tokens to add.
        attention_mask: boolean (batch, length), True = a real token; prompts of unequal length are padded on the left
            (see :func:`left_padded`), sources on either side.
        decoding: how tokens are chosen: :class:`Sampling`, ``GREEDY``, or
            :class:`companion.generation.beam_search.BeamSearch`.
        stop: token id, or several (a list, set or tensor), at which a row ends; the row is filled up with the first of
            them.
        use_cache: compute each position once; False computes all of them for each new token, to the same result.
        on_token: called with each new column (batch,) as soon as it is drawn.

    Returns:
        (batch, length + new), new <= max_new_tokens, padding included; of an encoder–decoder model only what its
        decoder wrote, (batch, 1 + new), beginning with the start token.

    Raises:
        ValueError: when the result would not fit into the context, a prompt is padded on the right or is nothing but
            padding, the mask has another shape, ``stop`` is empty or outside the vocabulary, or ``on_token`` is given
            to a beam search.
        TypeError: on a mask that is not boolean, ids that are no tensor of integers, or a ``decoding`` of another kind.
        FloatingPointError: when the model's logits are not finite.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8))
    >>> generate(model, torch.tensor([[3, 1, 4]]), 5, decoding=GREEDY).shape
    torch.Size([1, 8])
    """
    with evaluating(model):
        texts = _begin(model, ids, attention_mask, max_new_tokens, use_cache)
        if isinstance(decoding, Sampling):
            stops = stop_tokens(stop, model.config.vocab_size, texts.ids.device)
            return _sample(texts, max_new_tokens, decoding, stops, on_token)
        if not isinstance(decoding, BeamSearch):
            raise TypeError(f"decoding must be a Sampling or a BeamSearch; got {decoding!r:.80}")
        if on_token is not None:
            raise ValueError(f"beam search has no token to show before its end: leave on_token out; got {on_token}")
        return beam_search(texts, max_new_tokens, decoding, stop)[0]


def _sample(
    texts: DecodingState,
    max_new_tokens: int,
    how: Sampling,
    stops: Tensor,
    on_token: Callable[[Tensor], object] | None,
) -> Tensor:
    device = texts.ids.device
    generator = None if how.seed is None else torch.Generator(device).manual_seed(how.seed)
    finished = torch.zeros(len(texts.ids), dtype=torch.bool, device=device)
    for _ in range(max_new_tokens):
        token = texts.likeliest() if how.temperature == 0 else _drawn(texts.logits(), how, generator)
        if len(stops):
            token = torch.where(finished, stops[0], token)
            finished |= torch.isin(token, stops)
        texts.append(token)
        if on_token:
            on_token(token)
        if len(stops) and finished.all():
            break
    return texts.ids


def _drawn(logits: Tensor, how: Sampling, generator: torch.Generator | None) -> Tensor:
    """One token (batch,) for each row of logits (batch, vocab)."""
    return torch.multinomial(_probabilities(logits, how), 1, generator=generator)[:, 0]


def _begin(
    model: Decoder | EncoderDecoder, ids: Tensor, mask: Tensor | None, max_new_tokens: int, use_cache: bool
) -> DecodingState:
    """Decoding state before the first new token, after a check that the last one fits into the context."""
    check_integer("max_new_tokens", max_new_tokens)
    check_ids(ids, model.config.vocab_size)
    before, what = (1, "start token") if isinstance(model, EncoderDecoder) else (ids.size(1), "prompt tokens")
    if before + max_new_tokens > model.config.context_length:
        raise ValueError(
            f"{before} {what} and {max_new_tokens} new ones are {before + max_new_tokens}; "
            f"the context holds {model.config.context_length}"
        )
    if isinstance(model, EncoderDecoder):
        return EncoderDecoderState(model, ids, mask, use_cache)
    return DecodingState(model, ids, mask, use_cache)
