"""GPT's decode step in NumPy: the next token's logits of one text, at a fraction of the module's cost.

A step of a small GPT is a few hundred operations on short vectors. In torch most of its time goes into finding a kernel
and checking its arguments; NumPy does less of that. And what need not be done for each token is done once: a norm's own
weight and bias, and the mean that it subtracts, become part of the matrices before and behind it, in a copy of these.

Chapter: ``book/algorithms/gpt.ipynb``, "Never compute a position twice".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from companion.nn.attention import MultiHeadAttention
from companion.nn.feed_forward import FeedForward
from companion.nn.kv_cache import KVCache
from companion.nn.watching import is_watched

Vector = NDArray[np.float32]
MOST_PARAMETERS = 2**24  # more of them take longer to copy than a text of twenty tokens gains
GELU_CUBIC = (0.044715 * math.sqrt(2 / math.pi)) ** (1 / 3)
GELU_LINEAR = np.float32(math.sqrt(2 / math.pi) / GELU_CUBIC)


def _relu(x: Vector, out: Vector) -> None:
    np.maximum(x, 0, out=out)


def _gelu_tanh(x: Vector, out: Vector) -> None:
    """Twice GELU's tanh form times :data:`GELU_CUBIC`, of what is that many times its argument."""
    bent = x * x
    bent += GELU_LINEAR
    bent *= x
    np.tanh(bent, bent)
    bent += 1
    np.multiply(bent, x, out)


@dataclass(frozen=True)
class Activation:
    """An activation, but for two factors that the matrices before and behind it take over.

    Attributes:
        write: writes it, of a vector, into another.
        before: what its argument is multiplied by.
        behind: what its result is multiplied by.
    """

    write: Callable[[Vector, Vector], None]
    before: float = 1.0
    behind: float = 1.0


GELU = Activation(_gelu_tanh, GELU_CUBIC, 0.5 / GELU_CUBIC)
ACTIVATIONS = {"relu": Activation(_relu), "gelu_new": GELU, "gelu_pytorch_tanh": GELU}
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
    ...     np.allclose(GPTDecodeStep(model, cache)(1), model(text)[0, -1], atol=1e-6)
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
        config = model.config
        self.length = cache[0].length
        self._eps, self._activation = config.norm_eps, ACTIVATIONS[config.activation]
        self._tokens = array(model.token_embedding.weight)
        self._positions = array(model.position_embedding.weight)
        self._unembedding = _after_norm(model.final_norm, array(model.unembedding.weight), np.float32(0))
        self._layers = [_Layer(block, kept, config) for block, kept in zip(model.blocks, cache, strict=True)]
        # What is projected, and behind it the 1 that the bias, a column of the matrix, is multiplied by.
        self._normed, self._mixed = np.ones((2, config.d_model + 1), np.float32)
        self._inside = np.ones(len(self._layers[0].expand) + 1, np.float32)
        self._heads = self._mixed[:-1].reshape(config.n_heads, 1, -1)

    def __call__(self, token: int) -> Vector:
        """Return the logits (vocab,) of what follows the token.

        Raises:
            IndexError: when the token is not in the vocabulary, or the context is full.
        """
        position, activate = self.length, self._activation.write
        normed, mixed, inside, heads = self._normed, self._mixed, self._inside, self._heads
        x = self._tokens[token] + self._positions[position]
        x -= np.add.reduce(x) / len(x)  # no layer adds to the mean
        for layer in self._layers:
            self._norm(x)
            layer.attend(normed, position, heads)
            x += layer.output.dot(mixed)
            self._norm(x)
            activate(layer.expand.dot(normed), inside[:-1])
            x += layer.contract.dot(inside)
        self._norm(x)
        self.length += 1
        logits: Vector = self._unembedding.dot(normed)
        return logits

    def _norm(self, x: Vector) -> None:
        """Divide a vector whose mean is 0 by its standard deviation."""
        np.multiply(x, np.float32(1 / math.sqrt(x.dot(x) / len(x) + self._eps)), self._normed[:-1])


class _Layer:
    """Weights of one block, each with its bias as a last column, and the keys and values of the positions so far.

    A head's query, key and value have one number more, which the projections make: 0, 0 and 1. Mixed, the ones give the
    sum of the weights.

    Attributes:
        kept: keys and values, (2, heads, positions, d_head + 1).
        keys: (heads, d_head + 1, positions), a view.
        values: (heads, positions, d_head + 1), a view.
    """

    def __init__(self, block: Any, cache: KVCache, config: Any) -> None:
        attention, feed_forward, activation = block.attention, block.feed_forward, ACTIVATIONS[config.activation]
        self.projections = _after_norm(block.attention_norm, *_side_by_side(attention))
        self.output = _without_mean(attention.output)
        expand, bias = _affine(feed_forward.expand)
        before = np.float32(activation.before)
        self.expand = _after_norm(block.feed_forward_norm, expand * before, bias * before)
        self.contract = _without_mean(feed_forward.contract, activation.behind)
        keys_and_values = np.stack([array(kept[0]) for kept in cache.filled()])  # (2, heads, length, d_head)
        _, heads, length, size = keys_and_values.shape
        self._split = 3, heads, size + 1
        self.kept = np.empty((2, heads, config.context_length, size + 1), np.float32)
        self.kept[:, :, :length, :-1] = keys_and_values
        self.kept[0, :, :length, -1], self.kept[1, :, :length, -1] = 0, 1
        self.keys, self.values = self.kept[0].transpose(0, 2, 1), self.kept[1]

    def attend(self, x: Vector, position: int, out: Vector) -> None:
        """Write what each head mixes at a position, (heads, 1, d_head)."""
        projected = self.projections.dot(x).reshape(self._split)
        self.kept[:, :, position] = projected[1:]
        end = position + 1
        weights = projected[0][:, None] @ self.keys[:, :, :end]  # (heads, 1, positions): the scores
        weights -= np.maximum.reduce(weights, axis=2, keepdims=True)
        np.exp(weights, weights)
        mixed = weights @ self.values[:, :end]
        np.divide(mixed[:, :, :-1], mixed[:, :, -1:], out)


def _side_by_side(attention: Any) -> tuple[Vector, Vector]:
    """The three projections as one with a row more for each head, the queries divided by the root of their length."""
    heads = attention.n_heads
    scale = math.sqrt(attention.query.weight.size(0) / heads)
    weights, biases = zip(*map(_affine, (attention.query, attention.key, attention.value)), strict=True)
    weight = np.stack(weights).reshape(3, heads, -1, weights[0].shape[1])  # (3, heads, d_head, d_model)
    bias = np.stack(biases).reshape(3, heads, -1)
    weight, bias = np.pad(weight, ((0, 0), (0, 0), (0, 1), (0, 0))), np.pad(bias, ((0, 0), (0, 0), (0, 1)))
    weight[0] /= scale
    bias[0] /= scale
    bias[2, :, -1] = 1
    return weight.reshape(-1, weight.shape[-1]), bias.reshape(-1)


def _after_norm(norm: Any, weight: Vector, bias: Vector | np.float32) -> Vector:
    """A projection of what a LayerNorm gives, as one of what it has before its own weight and bias."""
    own_weight, own_bias = _affine(norm)
    return _with_bias(weight * own_weight, bias + weight @ own_bias)


def _without_mean(layer: Any, scale: float = 1.0) -> Vector:
    """A projection whose outputs have the mean 0, which every LayerNorm behind it would subtract."""
    weight, bias = _affine(layer)
    return _with_bias((weight - weight.mean(axis=0)) * np.float32(scale), bias - bias.mean())


def _with_bias(weight: Vector, bias: Vector) -> Vector:
    """The bias as a last column, for a vector whose last number is 1."""
    return np.column_stack([weight, bias])


def array(tensor: Tensor) -> Vector:
    """The numbers of a tensor on the CPU, not copied.

    >>> array(torch.ones(2)).tolist()
    [1.0, 1.0]
    """
    values: Vector = tensor.detach().numpy()
    return values


def _affine(layer: Any) -> tuple[Vector, Vector]:
    return array(layer.weight), array(layer.bias)
