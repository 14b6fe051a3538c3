"""Decode step of today's decoder in NumPy: the next token's logits of one text, without torch's cost per operation.

The weights are the model's own, not copies: at batch 1 a step is as fast as they come from memory, and what else it
does should not be seen. Chapter: ``book/algorithms/inference.ipynb``.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from companion.models.gpt_decode_step import Vector, array, is_made_of
from companion.nn.feed_forward import SwiGLU
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.kv_cache import KVCache
from companion.nn.norms import RMSNorm
from companion.nn.positions import rotary_frequencies

PARTS = {nn.ModuleList, nn.Embedding, nn.Linear, nn.Identity, RMSNorm, SwiGLU, GroupedQueryAttention}


def is_plain(model: Any, own: set[type[nn.Module]]) -> bool:
    """Whether the step computes what the model's own forward pass computes.

    It does in single precision on a CPU, in the families without a window, experts, or norms of heads, unless a part is
    replaced, as by an adapter, or watched, as by :func:`companion.nn.capture.capture`.

    Args:
        model: a :class:`companion.models.modern_decoder.ModernDecoder`.
        own: the classes of the model and its blocks.
    """
    config = model.config
    return config.window is None and config.family != "qwen3" and is_made_of(model, PARTS | own)


class ModernDecodeStep:
    """The logits that follow each further token of one text, whose beginning the model itself has read.

    >>> from companion.models.modern_decoder import ModernConfig, ModernDecoder
    >>> sizes = {"vocab_size": 9, "context_length": 8, "n_layers": 2, "n_heads": 4, "d_model": 16}
    >>> model = ModernDecoder(ModernConfig(**sizes, n_kv_heads=2)).eval()
    >>> import torch
    >>> text, cache = torch.tensor([[3, 1, 4, 1]]), model.new_cache()
    >>> with torch.no_grad():
    ...     _ = model(text[:, :3], cache=cache)
    ...     np.allclose(ModernDecodeStep(model, cache)(1), model(text)[0, -1], atol=1e-6)
    True

    Attributes:
        length: number of tokens read.
    """

    def __init__(self, model: Any, cache: Sequence[KVCache]) -> None:
        """Continue after the tokens whose keys and values the cache holds, of one row.

        Args:
            model: a decoder for which :func:`is_plain` is true.
            cache: of each layer, with at least one position.
        """
        config, scaling = model.config, model.config.rope_scaling
        self.length = cache[0].length
        self._eps, self._capacity = config.norm_eps, config.context_length
        self._frequencies = rotary_frequencies(config.d_rotary, config.rope_base, scaling).numpy()
        self._amplitude = np.float32(1.0 if scaling is None else scaling.amplitude)
        self._tokens, self._unembedding = array(model.token_embedding.weight), array(model.unembedding.weight)
        self._final_norm = array(model.final_norm.weight)
        self._layers = [_Layer(block, kept, self._capacity) for block, kept in zip(model.blocks, cache, strict=True)]

    def __call__(self, token: int) -> Vector:
        """Return the logits (vocab,) of what follows the token.

        Raises:
            IndexError: when the token is not in the vocabulary, or the context is full.
        """
        if self.length >= self._capacity:
            raise IndexError(f"the context of {self._capacity} tokens is full")
        angles = np.float32(self.length) * self._frequencies
        rotation = np.cos(angles) * self._amplitude, np.sin(angles) * self._amplitude
        x = self._tokens[token]
        for layer in self._layers:
            x = x + layer.attend(self._norm(x, layer.attention_norm), rotation, self.length)
            x = x + layer.feed_forward(self._norm(x, layer.feed_forward_norm))
        self.length += 1
        logits: Vector = self._unembedding @ self._norm(x, self._final_norm)
        return logits

    def _norm(self, x: Vector, weight: Vector) -> Vector:
        normed: Vector = x * np.float32(1 / math.sqrt(x @ x / len(x) + self._eps)) * weight
        return normed


class _Layer:
    """Weights of one block, and the keys and values of the positions so far, each (heads, positions, d_head)."""

    def __init__(self, block: Any, cache: KVCache, positions: int) -> None:
        attention, inner = block.attention, block.feed_forward
        self.attention_norm = array(block.attention_norm.weight)
        self.feed_forward_norm = array(block.feed_forward_norm.weight)
        self._projections = [
            (array(part.weight), 0 if part.bias is None else array(part.bias))
            for part in (attention.query, attention.key, attention.value)
        ]
        self._output = array(attention.output.weight)
        self._gate, self._expand, self._contract = map(
            array, (inner.gate.weight, inner.expand.weight, inner.contract.weight)
        )
        key, value = (array(kept[0]) for kept in cache.filled())  # (heads, length, d_head)
        heads, length, size = key.shape
        self._keys, self._values = (np.empty((heads, positions, size), np.float32) for _ in range(2))
        self._keys[:, :length], self._values[:, :length] = key, value

    def attend(self, x: Vector, rotation: tuple[Vector, Vector], position: int) -> Vector:
        """(d_model,) -> the same: attention from the new position to itself and to all before it."""
        heads, _, size = self._keys.shape
        query, key, value = ((weight @ x + bias).reshape(-1, size) for weight, bias in self._projections)
        end = position + 1
        self._keys[:, position], self._values[:, position] = _rotate(key, rotation), value
        query = _rotate(query, rotation).reshape(heads, -1, size) / math.sqrt(size)  # (kv heads, group, d_head)
        scores = query @ self._keys[:, :end].transpose(0, 2, 1)  # (kv heads, group, positions)
        weights = np.exp(scores - np.maximum.reduce(scores, axis=2, keepdims=True))
        weights /= np.add.reduce(weights, axis=2, keepdims=True)
        mixed: Vector = self._output @ (weights @ self._values[:, :end]).reshape(-1)
        return mixed

    def feed_forward(self, x: Vector) -> Vector:
        """(d_model,) -> the same: SwiGLU."""
        gate = self._gate @ x
        silu = 0.5 * gate * (1 + np.tanh(0.5 * gate))  # gate times its sigmoid, which is never an overflow so
        inner: Vector = self._contract @ (silu * (self._expand @ x))
        return inner


def _rotate(x: Vector, rotation: tuple[Vector, Vector]) -> Vector:
    """(heads, d_head) -> the same; see :func:`companion.nn.positions.rotate`."""
    (cos, sin), half = rotation, x.shape[1] // 2
    a, b = x[:, :half], x[:, half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=1)
