"""How a model is told where each token stands.

Chapter: ``book/concepts/storyworld.ipynb``, "A better start". Source: Vaswani et al. 2017, section 3.5.
"""

import torch
from torch import Tensor, nn


def sinusoidal_positions(length: int, d_model: int, base: float = 10_000.0) -> Tensor:
    """Return a vector of sines and cosines for each position, fast ones first.

    ``PE[p, 2i] = sin(p / base^(2i / d_model))`` and ``PE[p, 2i + 1] = cos(p / base^(2i / d_model))``. A shift by k
    positions turns each pair by a fixed angle, whatever p is.

    Args:
        length: positions.
        d_model: size of each vector, even.
        base: the slowest wave is about ``2 pi base`` positions long.

    Returns:
        (length, d_model), values between -1 and 1.

    Raises:
        ValueError: when ``d_model`` is odd, or a size is below 1, or the base not above 1.
    """
    if length < 1 or d_model < 2 or d_model % 2:
        raise ValueError(f"length must be at least 1 and d_model even, at least 2; got {length} and {d_model}")
    if base <= 1:
        raise ValueError(f"base must be above 1; got {base}")
    place = torch.arange(length, dtype=torch.float64)[:, None]  # (length, 1)
    angle = place / base ** (torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (length, d_model / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(torch.get_default_dtype())


def real_positions(ids: Tensor, attention_mask: Tensor | None, past: int = 0) -> Tensor:
    """Number the tokens of each row from 0, leaving padding out: the same numbers wherever the padding stands.

    Args:
        ids: (batch, length).
        attention_mask: boolean (batch, past + length), True = a real token; all are real when not given.
        past: tokens that went before.

    Returns:
        (batch, length), or (1, length) without a mask; what stands on padding is of no account.
    """
    if attention_mask is None:
        return torch.arange(past, past + ids.size(1), device=ids.device)[None]
    return (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, past:]


@torch.no_grad()
def sinusoidal_start(model: nn.Module, scale: float = 0.1, base: float = 1000.0) -> None:
    """Let a model's *learned* positions begin as sines, and its token embeddings as noise of the same size.

    Nothing is added to the model: only the numbers that training begins with are others. Neighbouring positions start
    out alike, and "the token before me" is the same turn everywhere, so a head need not learn it place by place.

    Args:
        model: with ``token_embedding`` and ``position_embedding``, such as :class:`companion.gpt.GPT`.
        scale: of the sines, and the standard deviation of the token embeddings.
        base: see :func:`sinusoidal_positions`; short contexts want a small one.

    Raises:
        ValueError: when the scale is not above 0.
    """
    if not scale > 0:
        raise ValueError(f"scale must be above 0; got {scale}")
    positions: Tensor = model.position_embedding.weight  # type: ignore[union-attr,assignment]
    tokens: Tensor = model.token_embedding.weight  # type: ignore[union-attr,assignment]
    positions.copy_(scale * sinusoidal_positions(positions.size(0), positions.size(1), base))
    tokens.normal_(std=scale)
