"""GPT's decode step in NumPy: the next token's logits of one text, at a fraction of the module's cost.

A step of a small GPT is a few hundred operations on short vectors. In torch most of its time goes into finding a kernel
and checking its arguments; NumPy does less of that. And what need not be done for each token is done once: a norm's own
weight and bias, and the mean that it subtracts, become part of the matrices before and behind it, in a copy of these.

Chapter: ``book/algorithms/gpt.ipynb``, "Never compute a position twice".
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from companion.nn.attention import MultiHeadAttention
from companion.nn.capture import is_watched
from companion.nn.feed_forward import FeedForward
from companion.nn.kv_cache import KVCache

Vector = NDArray[np.float32]
Affine = tuple[Vector, Vector]  # weight and bias
MOST_PARAMETERS = 2**24  # more of them take longer to copy than a text of twenty tokens gains
GELU_LINEAR = np.float32(math.sqrt(2 / math.pi))
GELU_CUBIC = np.float32(0.044715 * math.sqrt(2 / math.pi))


def _relu(x: Vector) -> Vector:
    return np.maximum(x, np.float32(0))


def _gelu_tanh(x: Vector) -> Vector:
    bent = x * x
    bent *= GELU_CUBIC
    bent += GELU_LINEAR
    bent *= x
    np.tanh(bent, out=bent)
    bent += 1
    bent *= x
    bent *= np.float32(0.5)
    return bent


ACTIVATIONS = {"relu": _relu, "gelu_new": _gelu_tanh, "gelu_pytorch_tanh": _gelu_tanh}
PARTS = {nn.ModuleList, nn.Dropout, nn.Embedding, nn.Linear, nn.LayerNorm, MultiHeadAttention, FeedForward}


def is_plain(model: nn.Module, own: set[type[nn.Module]]) -> bool:
    """Whether the step computes what the model's own forward pass computes.

    It does in single precision on a CPU, unless a part is replaced, as by an adapter, or watched, as by
    :func:`companion.nn.capture.capture`. A large model is left to torch, whose kernels take longer than finding them.

    Args:
        model: a GPT; what it computes in training is not asked.
        own: the classes of the model and its blocks.
    """
    activation, size = getattr(model.config, "activation", None), sum(p.numel() for p in model.parameters())
    return activation in ACTIVATIONS and size <= MOST_PARAMETERS and is_made_of(model, PARTS | own)


def is_made_of(model: nn.Module, known: set[type[nn.Module]]) -> bool:
    """Whether a forward pass does what its known parts do and nothing else, on a CPU and in single precision.

    >>> is_made_of(nn.Linear(2, 2), {nn.Linear})
    True

    Args:
        model: any model.
        known: classes of its parts.
    """
    return (
        not is_watched(model)
        and all(type(part) in known for part in model.modules())
        and all(p.device.type == "cpu" and p.dtype == torch.float32 for p in model.parameters())
    )


class GPTDecodeStep:
    """The logits that follow each further token of one text, whose beginning the model itself has read.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=2, n_heads=2, d_model=8)).eval()
    >>> text, cache = torch.tensor([[3, 1, 4, 1]]), model.new_cache()
    >>> with torch.no_grad():
    ...     _ = model(text[:, :3], cache=cache)
    ...     torch.allclose(GPTDecodeStep(model, cache)(1), model(text)[:, -1], atol=1e-6)
    True

    Attributes:
        length: number of tokens read.
    """

    def __init__(self, model: Any, cache: Sequence[KVCache]) -> None:
        """Continue after the tokens whose keys and values the cache holds, of one row.

        Args:
            model: a GPT for which :func:`is_plain` is true.
            cache: of each layer, with at least one position.
        """
        self.length = cache[0].length
        self._heads, self._eps = model.config.n_heads, model.config.norm_eps
        self._activation: Callable[[Vector], Vector] = ACTIVATIONS[model.config.activation]
        self._tokens = array(model.token_embedding.weight)
        self._positions = array(model.position_embedding.weight)
        self._unembedding = _after_norm(model.final_norm, array(model.unembedding.weight), np.float32(0))
        positions = model.config.context_length
        self._layers = [_Layer(block, kept, positions) for block, kept in zip(model.blocks, cache, strict=True)]

    def __call__(self, token: int) -> Tensor:
        """Return the logits (1, vocab) of what follows the token.

        Raises:
            IndexError: when the token is not in the vocabulary, or the context is full.
        """
        x = self._tokens[token] + self._positions[self.length]
        x -= np.add.reduce(x) / len(x)  # no layer adds to the mean
        for layer in self._layers:
            x += self._attend(layer, self._norm(x))
            x += _project(layer.contract, self._activation(_project(layer.expand, self._norm(x))))
        self.length += 1
        return torch.from_numpy(_project(self._unembedding, self._norm(x)))[None]

    def _attend(self, layer: "_Layer", x: Vector) -> Vector:
        query, key, value = _project(layer.projections, x).reshape(3, self._heads, -1, 1)  # each (heads, d_head, 1)
        position, end = self.length, self.length + 1
        layer.keys[:, position], layer.values[:, :-1, position] = key[:, :, 0], value[:, :, 0]
        weights = layer.keys[:, :end] @ query  # (heads, positions, 1): the scores
        weights -= np.maximum.reduce(weights, axis=1, keepdims=True)
        np.exp(weights, out=weights)
        mixed = layer.values[:, :, :end] @ weights  # (heads, d_head + 1, 1), in its last row the sum of the weights
        return _project(layer.output, (mixed[:, :-1] / mixed[:, -1:]).reshape(-1))

    def _norm(self, x: Vector) -> Vector:
        """A vector whose mean is 0, divided by its standard deviation."""
        return x * np.float32(1 / math.sqrt(x.dot(x) / len(x) + self._eps))


class _Layer:
    """Weights of one block, and the keys and values of the positions so far.

    Attributes:
        keys: (heads, positions, d_head).
        values: (heads, d_head + 1, positions), the last row ones.
    """

    def __init__(self, block: Any, cache: KVCache, positions: int) -> None:
        attention, feed_forward = block.attention, block.feed_forward
        self.projections = _after_norm(block.attention_norm, *_side_by_side(attention))
        self.output = _without_mean(attention.output)
        self.expand = _after_norm(block.feed_forward_norm, *_affine(feed_forward.expand))
        self.contract = _without_mean(feed_forward.contract)
        key, value = (array(kept[0]) for kept in cache.filled())  # (heads, length, d_head)
        heads, length, size = key.shape
        self.keys = np.empty((heads, positions, size), np.float32)
        self.values = np.ones((heads, size + 1, positions), np.float32)
        self.keys[:, :length], self.values[:, :-1, :length] = key, value.transpose(0, 2, 1)


def _side_by_side(attention: Any) -> Affine:
    """The three projections as one, the queries already divided by the root of their length."""
    scale = math.sqrt(attention.query.weight.size(0) / attention.n_heads)
    (query, key, value), biases = zip(*map(_affine, (attention.query, attention.key, attention.value)), strict=True)
    return np.concatenate([query / scale, key, value]), np.concatenate([biases[0] / scale, *biases[1:]])


def _after_norm(norm: Any, weight: Vector, bias: Vector | np.float32) -> Affine:
    """A projection of what a LayerNorm gives, as one of what it has before its own weight and bias."""
    own_weight, own_bias = _affine(norm)
    return weight * own_weight, bias + weight @ own_bias


def _without_mean(layer: Any) -> Affine:
    """A projection whose outputs have the mean 0, which every LayerNorm behind it would subtract."""
    weight, bias = _affine(layer)
    return weight - weight.mean(axis=0), bias - bias.mean()


def array(tensor: Tensor) -> Vector:
    """The numbers of a tensor on the CPU, not copied.

    >>> array(torch.ones(2)).tolist()
    [1.0, 1.0]
    """
    values: Vector = tensor.detach().numpy()
    return values


def _affine(layer: Any) -> Affine:
    return array(layer.weight), array(layer.bias)


def _project(how: Affine, x: Vector) -> Vector:
    weight, bias = how
    projected: Vector = weight.dot(x)
    projected += bias
    return projected
