"""Initialisations of weights: the usual normal one, and three from which a small model learns sooner.

Chapters: ``book/algorithms/bert.ipynb``, "A better start"; ``book/algorithms/finetuning.ipynb``. Source: Trockman &
Kolter 2023, "Mimetic Initialization of Self-Attention Layers".
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from companion.nn.attention import MultiHeadAttention
from companion.nn.positions import rotary_frequencies, sinusoidal_positions


def normal_initialization(module: nn.Module) -> None:
    """Initialise a linear layer or an embedding as GPT-2 and BERT do: weights from N(0, 0.02), biases 0.

    Args:
        module: any module; others than these two are left alone, so that ``model.apply`` can take this function.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


@torch.no_grad()
def sinusoidal_initialization(model: nn.Module, scale: float = 0.1, base: float = 1000.0) -> None:
    """Initialise the *learned* position embeddings as sinusoids, and the token embeddings as noise of the same size.

    The model stays the same, only its initial weights change. Neighbouring positions begin alike, and "the token before
    me" is the same rotation everywhere, so a head need not learn it for each position.

    Args:
        model: model with ``token_embedding`` and ``position_embedding``, such as :class:`companion.models.gpt.GPT`.
        scale: amplitude of the sinusoids, and standard deviation of the token embeddings.
        base: base of :func:`companion.nn.positions.sinusoidal_positions`; short contexts need a small one.

    Raises:
        ValueError: when the scale is not above 0.
        AttributeError: when the model lacks one of the two embeddings.

    Example:
        >>> tables = {"token_embedding": nn.Embedding(5, 4), "position_embedding": nn.Embedding(3, 4)}
        >>> model = nn.ModuleDict(tables)
        >>> sinusoidal_initialization(model, scale=1.0)
        >>> bool((model["position_embedding"].weight == sinusoidal_positions(3, 4, base=1000.0)).all())
        True
    """
    if not scale > 0:
        raise ValueError(f"scale must be above 0; got {scale}")
    positions = model.get_parameter("position_embedding.weight")
    tokens = model.get_parameter("token_embedding.weight")
    positions.copy_(scale * sinusoidal_positions(positions.size(0), positions.size(1), base))
    tokens.normal_(std=scale)


@torch.no_grad()
def mimetic_initialization(model: nn.Module, scale: float = 0.1) -> None:
    """Initialise matrices by the model's width, and keys equal to queries, so that equal tokens attend to each other.

    Each matrix W is drawn from N(0, 1 / d_model), and in every self-attention the key matrix begins equal to the query
    matrix, so that the score of a vector x with itself is ``|W x|^2 / sqrt(d_head)``, above that of most others.
    Segment embeddings begin as large as :func:`sinusoidal_initialization` makes those of tokens and positions. The
    model stays the same, only its initial weights change. A matrix that is tied to an embedding is left alone.

    Args:
        model: model with :class:`companion.nn.attention.MultiHeadAttention` layers.
        scale: standard deviation of the segment embeddings, where the model has any.

    Raises:
        ValueError: when the model has no such layer, or the scale is not above 0.

    Example:
        >>> layer = MultiHeadAttention(d_model=8, n_heads=2)
        >>> mimetic_initialization(layer)
        >>> torch.equal(layer.key.weight, layer.query.weight)
        True
    """
    if not scale > 0:
        raise ValueError(f"scale must be above 0; got {scale}")
    layers = _attention_layers(model)
    width = layers[0].query.in_features  # d_model
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
    """Initialise the heads of the first layer to attend a fixed number of tokens back, each head its own number.

    What a word means in its sentence depends first of all on its neighbours, and a model takes very long to find that
    out from random weights. On top of :func:`sinusoidal_initialization` the embeddings of tokens and segments leave
    their d_head fastest dimensions to the positions; the key matrix of each head copies these, and the query matrix
    rotates each of their pairs by the angle of its offset k: ``q_t = s PE(t - k)`` and ``k_u = s PE(u)``, so that the
    score ``s^2 sum_i cos(w_i (t - k - u)) / sqrt(d_head)`` is highest at ``u = t - k``. The value matrices of all heads
    project to the same d_head directions, and the output matrix projects back, so that the outputs of two heads can be
    compared. The model stays the same, only its initial weights change.

    Args:
        model: model with ``token_embedding`` and ``position_embedding``, and MultiHeadAttention layers.
        offsets: number of tokens that each head of the first layer looks back; a negative one looks ahead.
        sharpness: s; the higher, the more of the attention is on that one token.
        base: base of the sinusoids; see :func:`companion.nn.positions.sinusoidal_positions`.

    Raises:
        ValueError: when there is no such layer, another number of offsets than of heads, or a head is of odd width.

    Example:
        >>> parts = {"token_embedding": nn.Embedding(5, 8), "position_embedding": nn.Embedding(6, 8)}
        >>> model = nn.ModuleDict(parts | {"attention": MultiHeadAttention(8, n_heads=2)})
        >>> positional_initialization(model, offsets=(1, 2))
        >>> int(model["token_embedding"].weight[:, :4].count_nonzero())  # the dimensions of the positions
        0
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
    """The matrix that rotates each pair (sin a, cos a) to (sin(a - angle), cos(a - angle))."""
    matrix = angles.cos().repeat_interleave(2).diag()
    first = torch.arange(0, len(matrix), 2)  # of each pair
    matrix[first, first + 1] = -angles.sin()
    matrix[first + 1, first] = angles.sin()
    return matrix


def _attention_layers(model: nn.Module) -> list[MultiHeadAttention]:
    layers = [module for module in model.modules() if isinstance(module, MultiHeadAttention)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no MultiHeadAttention layer whose start could be chosen")
    return layers
