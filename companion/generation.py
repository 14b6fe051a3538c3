"""From next-token probabilities to text: greedy choice, temperature, top-k, top-p, with a KV cache.

Chapter: ``book/algorithms/gpt.ipynb``. Sources: Fan et al. 2018 (top-k); Holtzman et al. 2020 (top-p, "nucleus").
"""

from collections.abc import Callable

import torch
from torch import Tensor

from companion.gpt import GPT


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


@torch.no_grad()
def generate(
    model: GPT,
    ids: Tensor,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: int | None = None,
    use_cache: bool = True,
    on_token: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Continue each row of ``ids``, one drawn token after the other.

    Args:
        model: its mode (training or not) is kept; dropout is off while it generates.
        ids: (batch, length), the prompts, all of one length.
        max_new_tokens: how many to add.
        temperature: see :func:`next_token_probabilities`; 0 is greedy.
        top_k: see there.
        top_p: see there.
        seed: of the draws; torch's current random state when not given.
        stop: a token id at which a row ends; the row is filled up with it.
        use_cache: compute each position once; False computes all of them for each new token, to the same result.
        on_token: called with each new column (batch,).

    Returns:
        (batch, length + new), new <= max_new_tokens.

    Raises:
        ValueError: when the result would not fit into the context, or a setting is outside its range.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1; got {max_new_tokens}")
    needed = ids.size(-1) + max_new_tokens
    if needed > model.config.context_length:
        raise ValueError(
            f"{ids.size(-1)} prompt tokens and {max_new_tokens} new ones are {needed}; "
            f"the context holds {model.config.context_length}"
        )
    generator = None if seed is None else torch.Generator(ids.device).manual_seed(seed)
    cache = model.new_cache() if use_cache else None
    finished = torch.zeros(ids.size(0), dtype=torch.bool, device=ids.device)
    training = model.training
    model.eval()
    try:
        fresh = ids
        for _ in range(max_new_tokens):
            logits = model(fresh, cache=cache)[:, -1].float()  # (batch, vocab)
            probabilities = next_token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
            token = torch.multinomial(probabilities, 1, generator=generator)  # (batch, 1)
            if stop is not None:
                token = token.masked_fill(finished[:, None], stop)
                finished |= token[:, 0] == stop
            ids = torch.cat([ids, token], dim=1)
            if on_token:
                on_token(token[:, 0])
            if finished.all():
                break
            fresh = token if use_cache else ids
    finally:
        model.train(training)
    return ids
