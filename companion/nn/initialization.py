"""Where training begins: numbers from which a small encoder learns sooner.

Chapters: ``book/algorithms/bert.ipynb``, "A better start"; ``book/algorithms/finetuning.ipynb``. Source: Trockman &
Kolter 2023, "Mimetic Initialization of Self-Attention Layers".
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from companion.nn.attention import MultiHeadAttention
from companion.nn.positions import rotary_frequencies, sinusoidal_positions


@torch.no_grad()
def sinusoidal_initialization(model: nn.Module, scale: float = 0.1, base: float = 1000.0) -> None:
    """Let a model's *learned* positions begin as sines, and its token embeddings as noise of the same size.

    Nothing is added to the model: only the numbers that training begins with are others. Neighbouring positions start
    out alike, and "the token before me" is the same turn everywhere, so a head need not learn it place by place.

    Args:
        model: with ``token_embedding`` and ``position_embedding``, such as :class:`companion.models.gpt.GPT`.
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


@torch.no_grad()
def mimetic_initialization(model: nn.Module, scale: float = 0.1) -> None:
    """Fit the size of the matrices to the model's width, and let equal tokens attend to each other from the start.

    Each matrix W is drawn from N(0, 1 / d_model), and in every self-attention the key's matrix begins equal to the
    query's, so that the score of a vector x with itself is ``|W x|^2 / sqrt(d_head)``, above that of most others.
    Segments begin as large as :func:`companion.nn.initialization.sinusoidal_initialization` makes tokens and positions. Nothing is
    added to the model: only the numbers that training begins with are others. A matrix that is an embedding too is
    left alone.

    Args:
        model: with :class:`companion.nn.attention.MultiHeadAttention` layers, and a ``config`` with its ``d_model``.
        scale: standard deviation of the segment embeddings, where the model has any.

    Raises:
        ValueError: when the model has no such layer, or the scale is not above 0.
    """
    if not scale > 0:
        raise ValueError(f"scale must be above 0; got {scale}")
    layers = _attention_layers(model)
    width: int = model.config.d_model  # type: ignore[union-attr,assignment]
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and id(module.weight) not in tables:
            nn.init.normal_(module.weight, std=width**-0.5)
        if isinstance(module, nn.Embedding) and name.endswith("segment_embedding"):
            nn.init.normal_(module.weight, std=scale)
    for layer in layers:
        layer.key.weight.copy_(layer.query.weight)


@torch.no_grad()
def positional_initialization(
    model: nn.Module, offsets: Sequence[int], sharpness: float = 4.0, base: float = 1000.0
) -> None:
    """Let the heads of the first layer begin by looking a few tokens back, each by its own number of tokens.

    Which word a place, a thing or an answer goes with depends first of all on what stands right beside it, and a model
    that has to find that out from random numbers takes very long. On top of
    :func:`companion.nn.initialization.sinusoidal_initialization` the tokens and segments leave the d_head fastest dimensions of the
    embedding to the positions; the key matrix of each head copies these, and the query matrix turns each of their pairs
    by the angle of its offset k: ``q_t = s PE(t - k)`` and ``k_u = s PE(u)``, so that the score
    ``s^2 sum_i cos(w_i (t - k - u)) / sqrt(d_head)`` is highest at ``u = t - k``. All heads read the same d_head
    directions of what they find, and write them back where they were, so that what one head has seen can be compared
    with what another has. Nothing is added to the model: only the numbers that training begins with are others.

    Args:
        model: with ``token_embedding`` and ``position_embedding``, and MultiHeadAttention layers.
        offsets: of the first layer's heads, one each; a negative one looks ahead.
        sharpness: s; the higher, the more of the attention is on that one token.
        base: of the sines, see :func:`companion.nn.positions.sinusoidal_positions`.

    Raises:
        ValueError: when there is no such layer, another number of offsets than of heads, or a head is of odd width.
    """
    first = _attention_layers(model)[0]
    d_model, d_head = first.query.in_features, first.query.out_features // first.n_heads
    if len(offsets) != first.n_heads:
        raise ValueError(f"each of the {first.n_heads} heads needs an offset; got {list(offsets)}")
    if d_head % 2:
        raise ValueError(f"a head must hold pairs of sine and cosine, so its width must be even; got {d_head}")
    sinusoidal_initialization(model, base=base)
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.endswith(("token_embedding", "segment_embedding")):
            module.weight[:, :d_head] = 0
    fastest = rotary_frequencies(d_model, base)[: d_head // 2]
    turns = [_turned(fastest * offset) for offset in offsets]  # (d_head, d_head) each
    for matrix, parts in ((first.query, turns), (first.key, [torch.eye(d_head)] * len(turns))):
        matrix.weight.zero_()
        matrix.bias.zero_()
        matrix.weight[:, :d_head] = sharpness * torch.cat(parts)
    directions = torch.linalg.qr(torch.randn(d_model, d_head))[0].T  # (d_head, d_model), orthonormal
    first.value.weight.copy_(directions.repeat(first.n_heads, 1))
    first.output.weight.copy_(directions.T.repeat(1, first.n_heads))


def _turned(angles: Tensor) -> Tensor:
    """The matrix that turns each pair (sin a, cos a) to (sin(a - angle), cos(a - angle))."""
    cos, sin = angles.cos(), angles.sin()
    return torch.block_diag(*(torch.tensor([[c, -s], [s, c]]) for c, s in zip(cos, sin, strict=True)))


def _attention_layers(model: nn.Module) -> list[MultiHeadAttention]:
    layers = [module for module in model.modules() if isinstance(module, MultiHeadAttention)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no MultiHeadAttention layer whose start could be chosen")
    return layers
