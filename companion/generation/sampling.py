"""From next-token probabilities to text: greedy choice, temperature, top-k, top-p, beams, with a KV cache.

Chapter: ``book/algorithms/gpt.ipynb``. Sources: Fan et al. 2018 (top-k); Holtzman et al. 2020 (top-p, "nucleus").
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from companion.data.batch import padded
from companion.generation.beam_search import beam_search
from companion.generation.decoding import DecodingState, EncoderDecoderState
from companion.nn.checks import check_ids


def next_token_probabilities(
    logits: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Turn logits into the distribution that the next token is drawn from.

    Temperature divides the logits; top-k keeps the k likeliest tokens; top-p keeps the smallest set of likeliest
    tokens whose probabilities reach p. What is left is scaled to sum to 1.

    Args:
        logits: (…, vocab).
        temperature: above 0; 0 means greedy, all probability on the likeliest token.
        top_k: at least 1.
        top_p: in (0, 1].

    Returns:
        probabilities (…, vocab).

    Raises:
        ValueError: when a setting is outside its range.
    """
    if not temperature >= 0:  # NaN too
        raise ValueError(f"temperature must be 0 (greedy) or more; got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1; got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1]; got {top_p}")
    if temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    logits = logits / temperature
    if top_k is not None:
        best = logits.topk(min(top_k, logits.size(-1)))
        logits = torch.full_like(logits, -torch.inf).scatter(-1, best.indices, best.values)
    probabilities = logits.softmax(-1)
    if top_p is not None:
        ordered, order = probabilities.sort(-1, descending=True)
        before = ordered.cumsum(-1) - ordered  # probability of the likelier tokens
        kept = ordered.masked_fill(before >= top_p, 0.0)
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, kept)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return probabilities


def left_padded(prompts: Sequence[Sequence[int]], value: int = 0) -> tuple[Tensor, Tensor]:
    """Lay prompts of unequal length out as one tensor, filled up at the front, so that all of them end together.

    Args:
        prompts: one list of token ids each, none of them empty.
        value: what stands before a prompt; nobody reads it.

    Returns:
        ids (prompts, longest) and the boolean attention mask of the same shape, True = a real token.

    Raises:
        ValueError: when there is no prompt, or an empty one.
    """
    ids, mask = padded([prompt[::-1] for prompt in prompts], value)
    return ids.flip(1), mask.flip(1)


@torch.no_grad()
def generate(
    model: Any,
    ids: Tensor,
    max_new_tokens: int,
    *,
    attention_mask: Tensor | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    beams: int = 1,
    length_penalty: float = 1.0,
    seed: int | None = None,
    stop: int | None = None,
    use_cache: bool = True,
    on_token: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Continue each row of ``ids``, or, with an encoder–decoder model, write the answer to it.

    Args:
        model: decoder-only, as :class:`companion.models.gpt.GPT`, or with an encoder and a decoder, as
            :class:`companion.models.transformer.Transformer`. Its mode (training or not) is kept; dropout is off meanwhile.
        ids: (batch, length), the prompts or the sources.
        max_new_tokens: how many to add at most.
        attention_mask: boolean (batch, length), True = a real token; prompts of unequal length are padded on the left
            (see :func:`left_padded`), sources on either side.
        temperature: see :func:`next_token_probabilities`; 0 is greedy.
        top_k: see there.
        top_p: see there.
        beams: more than 1 searches for a probable text instead of drawing one; see :func:`companion.generation.beam_search.beam_search`.
        length_penalty: of the search, see there.
        seed: of the draws; torch's current random state when not given.
        stop: a token id at which a row ends; the row is filled up with it.
        use_cache: compute each position once; False computes all of them for each new token, to the same result.
        on_token: called with each new column (batch,) that is drawn.

    Returns:
        (batch, length + new), new <= max_new_tokens, padding included; of an encoder–decoder model only what its
        decoder wrote, (batch, 1 + new), beginning with the start token.

    Raises:
        ValueError: when the result would not fit into the context, a prompt is padded on the right or is nothing but
            padding, the mask has another shape, or a setting is outside its range or meaningless beside beams.
        TypeError: on a mask that is not boolean.
    """
    search = beams != 1
    if search:
        _check_search(
            temperature=(temperature, 1.0), top_k=(top_k, None), top_p=(top_p, None), on_token=(on_token, None)
        )
    training = model.training
    model.eval()
    try:
        texts = _begin(model, ids, attention_mask, max_new_tokens, use_cache)
        if search:
            return beam_search(texts, max_new_tokens, beams=beams, length_penalty=length_penalty, stop=stop)[0]
        generator = None if seed is None else torch.Generator(ids.device).manual_seed(seed)
        finished = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        for _ in range(max_new_tokens):
            logits = texts.logits()  # (batch, vocab)
            probabilities = next_token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
            token = torch.multinomial(probabilities, 1, generator=generator)[:, 0]  # (batch,)
            if stop is not None:
                token = token.masked_fill(finished, stop)
                finished |= token == stop
            texts.append(token)
            if on_token:
                on_token(token)
            if finished.all():
                break
    finally:
        model.train(training)
    return texts.ids


def _begin(model: Any, ids: Tensor, mask: Tensor | None, max_new_tokens: int, use_cache: bool) -> DecodingState:
    """Stand where the first new token goes, after making sure that the last one fits."""
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1; got {max_new_tokens}")
    check_ids(ids, model.config.vocab_size)
    answers = hasattr(model, "decode")
    before, what = (1, "start token") if answers else (ids.size(1), "prompt tokens")
    if before + max_new_tokens > model.config.context_length:
        raise ValueError(
            f"{before} {what} and {max_new_tokens} new ones are {before + max_new_tokens}; "
            f"the context holds {model.config.context_length}"
        )
    return (EncoderDecoderState if answers else DecodingState)(model, ids, mask, use_cache)


def _check_search(**settings: tuple[Any, Any]) -> None:
    for name, (value, neutral) in settings.items():
        if value != neutral:
            raise ValueError(f"beam search draws no token and changes no probability: leave {name} out; got {value}")
