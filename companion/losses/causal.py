"""Causal language modelling: each position predicts the next token.

Chapters: ``book/algorithms/gpt.ipynb``; ``book/algorithms/finetuning.ipynb`` and ``book/algorithms/assistants.ipynb``
(answers to prompts).
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored, padded, upcast
from companion.losses.cross_entropy import cross_entropy, linear_cross_entropy
from companion.nn.masks import causal_mask

WIDE = 4  # a vocabulary of so many times d_model makes the logits worth another way to the loss


def causal_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """Cross-entropy of the next token: mean negative log-likelihood of each token given those before it, in nats.

    ``L = -1/n sum_t log p(x_t | x_<t)``: the logits at position t are scored against token t + 1
    (Radford et al. 2018, eq. 1).

    Rows of different lengths are padded at their end with ``IGNORED``. Padding is no target; the model reads it as
    token 0, which changes no score, because no earlier position attends to it.

    >>> import torch
    >>> uniform = lambda ids: torch.zeros(*ids.shape, 8)  # logits of a model that knows nothing
    >>> causal_loss(uniform, torch.tensor([[3, 1, 4, 1, 5]])).exp()  # its perplexity is the size of the vocabulary
    tensor(8.)

    Args:
        model: a causal model, ids (batch, length) -> logits (batch, length, vocab).
        ids: token ids (batch, length + 1); all but the last are inputs, all but the first are targets.

    Raises:
        ValueError: when there is nothing to predict, or a token comes after padding.
    """
    if ids.dim() != 2 or ids.size(1) < 2:
        raise ValueError(
            f"ids must be (batch, length >= 2), one token to read and one to predict; got {tuple(ids.shape)}"
        )
    padding = ids == IGNORED
    late = (padding[:, :-1] & ~padding[:, 1:]).any(1)
    if bool(late.any()):
        row = int(late.nonzero()[0])
        raise ValueError(f"padding ({IGNORED}) must stand at the end of a row; row {row} has a token after it")
    return _loss(model, fill_ignored(ids[:, :-1]), ids[:, 1:])


@runtime_checkable
class HasUnembedding(Protocol):
    """Model whose logits are a matrix times its hidden states, as :class:`companion.models.gpt.GPT`."""

    def unembedded(self) -> Tensor | None:
        """The matrix (vocab, d_model), or None where the forward pass computes something else."""

    def hidden(self, ids: Tensor, /) -> Tensor:
        """Last hidden states (batch, length, d_model)."""


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the targets, by the fastest way to the same number."""
    if isinstance(model, HasUnembedding) and inputs.device.type == "cpu" and torch.is_grad_enabled():
        weight = model.unembedded()
        if weight is not None and weight.size(0) >= WIDE * weight.size(1):
            return linear_cross_entropy(model.hidden(inputs), weight, targets)
    return cross_entropy(model(inputs), targets)


def causal_targets(ids: Tensor) -> int:
    """Number of targets over which :func:`causal_loss` is the mean.

    >>> import torch
    >>> causal_targets(torch.tensor([[3, 1, 4], [1, 5, IGNORED]]))
    3

    Args:
        ids: token ids (batch, length + 1), padded with ``IGNORED``.
    """
    return int((ids[:, 1:] != IGNORED).sum())


class Completions(NamedTuple):
    """Batch of prompts with their completions; only the completions are targets.

    Attributes:
        inputs: (batch, length), prompt and completion without its last token, padded with 0 at the end.
        targets: (batch, length), the next token where it belongs to the completion, ``IGNORED`` elsewhere.
    """

    inputs: Tensor
    targets: Tensor

    @property
    def visible(self) -> Tensor:
        """Causal mask, boolean (batch, query, key): each position attends to itself and to earlier ones."""
        length = self.inputs.size(1)
        return causal_mask(length, device=self.inputs.device).expand(len(self.inputs), -1, -1)


def completions(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Completions:
    """Batch for the supervised fine-tuning of a causal model: each row is a prompt followed by its answer.

    >>> completions([[7, 8]], [[1, 2]])
    Completions(inputs=tensor([[7, 8, 1]]), targets=tensor([[-100,    1,    2]]))

    Args:
        prompts: token ids of each prompt, at least one.
        answers: token ids of each answer, at least one; the last one should be the end-of-text token.

    Raises:
        ValueError: when there are none, another number of prompts than of answers, or an empty one.
    """
    if len(prompts) != len(answers) or not all(prompts) or not all(answers):
        raise ValueError(f"each prompt must have an answer, none empty; got {len(prompts)} and {len(answers)}")
    inputs, _ = padded([[*prompt, *answer[:-1]] for prompt, answer in zip(prompts, answers, strict=True)])
    rows = [[IGNORED] * (len(prompt) - 1) + [*answer] for prompt, answer in zip(prompts, answers, strict=True)]
    targets, _ = padded(rows, IGNORED)
    return Completions(inputs, targets)


def completion_loss(model: nn.Module, batch: Completions) -> Tensor:
    """Cross-entropy of the answers' tokens given the prompts, in nats.

    ``L = -1/n sum_t log p(y_t | x, y_<t)``, x the prompt and y the answer; no token of x is a target.

    >>> import torch
    >>> uniform = lambda ids: torch.zeros(*ids.shape, 8)
    >>> completion_loss(uniform, completions([[7, 8]], [[1, 2]])).exp()
    tensor(8.)

    Args:
        model: a causal model, ids (batch, length) -> logits (batch, length, vocab).
        batch: prompts with their answers.
    """
    return _loss(model, batch.inputs, batch.targets)


def answer_log_probs(model: nn.Module, batch: Completions) -> Tensor:
    """Log-probabilities of the answers' tokens given the prompts, (batch, length), in nats; 0 where there is no target.

    Summed over a row they are the log-probability of the whole answer.

    >>> import torch
    >>> uniform = lambda ids: torch.zeros(*ids.shape, 8)
    >>> answer_log_probs(uniform, completions([[7, 8]], [[1, 2]])).exp()
    tensor([[1.0000, 0.1250, 0.1250]])

    Args:
        model: a causal model, ids (batch, length) -> logits (batch, length, vocab).
        batch: prompts with their answers.
    """
    log_probs = upcast(model(batch.inputs)).log_softmax(-1)
    found = log_probs.gather(-1, fill_ignored(batch.targets)[..., None])[..., 0]
    return found.masked_fill(batch.targets == IGNORED, 0.0)
