"""Outputs of a model on a batch, as distillation compares them: logits, targets, hidden states and attention weights.

Chapter: ``book/algorithms/distillation.ipynb``.
"""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored
from companion.data.labelled import Labelled, Tagged
from companion.distillation.student import Student, without_projections
from companion.losses.causal import Completions
from companion.losses.classification import head_logits
from companion.losses.masked import Masked
from companion.losses.sentences import Pretraining
from companion.nn.capture import capture
from companion.nn.masks import causal_mask


class ModelOutputs(NamedTuple):
    """Outputs of a model on a batch: logits, and optionally hidden states and attention weights.

    Attributes:
        logits: (…, classes): (batch, length, vocab), or (batch, labels) where whole texts are labelled.
        targets: (…), class at each position, ``IGNORED`` at positions without a target.
        visible: boolean (batch, query, key), True = a real token that this real token may attend to.
        hidden: hidden states (batch, length, d_model); number 0 the embeddings, number m the output of layer m.
        attention: attention weights (batch, heads, query, key) of each layer, layer 1's at 0.
    """

    logits: Tensor
    targets: Tensor
    visible: Tensor
    hidden: Sequence[Tensor] = ()
    attention: Sequence[Tensor] = ()


def run_with_outputs(model: nn.Module, batch: Any, internals: bool = True) -> ModelOutputs:
    """Outputs of a model on a batch.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> gpt = GPT(GPTConfig(vocab_size=9, context_length=4, n_layers=2, n_heads=1, d_model=4))
    >>> outputs = run_with_outputs(gpt, torch.tensor([[1, 2, 3, 4]]))
    >>> outputs.logits.shape, outputs.targets, len(outputs.hidden), len(outputs.attention)
    (torch.Size([1, 3, 9]), tensor([[2, 3, 4]]), 3, 2)

    Args:
        model: a BERT with a head, or a GPT, in a ``Student`` or not; the hidden states of a ``Student`` are projected.
        batch: ``Labelled``, ``Tagged``, ``Masked`` or ``Pretraining`` (without its labels of pairs); for a GPT
            ``Completions``, or token ids (batch, length + 1) as for ``causal_loss``.
        internals: whether to record hidden states and attention weights, which is slower.

    Raises:
        TypeError: on another type of batch.
    """
    own = without_projections(model)
    if not internals:
        return ModelOutputs(*_score(batch, own))
    with capture(own, detach=False) as record:
        scored = _score(batch, own)
    hidden = model.projected(record.hidden) if isinstance(model, Student) else record.hidden
    return ModelOutputs(*scored, hidden, record.attention)


def centred_scores(weights: Tensor, visible: Tensor) -> Tensor:
    """Attention scores before the softmax, less each query's mean: ``log a - mean(log a)``.

    For ``log a = score - log sum exp(scores)``. A weight that underflows counts as the smallest positive number.

    Args:
        weights: attention weights a, (batch, heads, query, key).
        visible: boolean (batch, query, key); the mean is over the visible keys, and all others get 0.

    Returns:
        (batch, heads, query, key).
    """
    shown = visible[:, None]  # (batch, 1, query, key)
    scores = weights.clamp(min=torch.finfo(weights.dtype).tiny).log() * shown
    return (scores - scores.sum(-1, keepdim=True) / shown.sum(-1, keepdim=True).clamp(min=1)) * shown


Scored = tuple[Tensor, Tensor, Tensor]  # logits, targets, and the mask of attention between real tokens


@singledispatch
def _score(batch: Any, model: Any) -> Scored:
    """Logits of a model for a batch, its targets and its mask; each type of batch below says how it is run."""
    known = ", ".join(kind.__name__ for kind in _score.registry if kind is not object)
    raise TypeError(f"a batch must be one of {known}; got {type(batch).__name__}")


@_score.register
def _(batch: Tensor, model: Any) -> Scored:
    return _score(Completions(fill_ignored(batch[:, :-1]), batch[:, 1:]), model)


@_score.register
def _(batch: Completions, model: Any) -> Scored:
    scored = batch.targets != IGNORED
    visible = causal_mask(scored.size(1), device=scored.device) & scored[:, :, None]
    return model(batch.inputs), batch.targets, visible


@_score.register
def _(batch: Labelled | Tagged, model: Any) -> Scored:
    return head_logits(model, batch), batch.labels, _between(batch.attention_mask)


@_score.register
def _(batch: Masked | Pretraining, model: Any) -> Scored:
    real = batch.visible[:, 0]
    logits, _ = model(batch.inputs, batch.token_type_ids if model.config.n_segments > 1 else None, real)
    return logits, batch.targets, _between(real)


def _between(real: Tensor) -> Tensor:
    """Mask of attention between real tokens: (batch, length) -> (batch, query, key)."""
    return real[:, :, None] & real[:, None, :]
