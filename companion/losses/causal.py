"""The causal objective: each position is asked for the token that comes next.

Chapters: ``book/algorithms/gpt.ipynb``; ``book/algorithms/finetuning.ipynb`` (answers to prompts).
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored, padded
from companion.losses.cross_entropy import cross_entropy
from companion.nn.masks import causal_mask


def causal_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of each token given those before it, in nats.

    ``L = -1/n sum_t log p(x_t | x_<t)``: position t's logits are scored against token t + 1
    (Radford et al. 2018, eq. 1).

    Rows of different lengths are filled up at their end with ``IGNORED``. What stands there is no target; the model
    reads it as token 0, which changes no score, because no position before it sees it.

    Args:
        model: ids (batch, length) -> logits (batch, length, vocab), each position blind to later ones.
        ids: (batch, length + 1); the model reads all but the last and is asked for all but the first.

    Raises:
        ValueError: when there is nothing to predict.
    """
    if ids.dim() != 2 or ids.size(1) < 2:
        raise ValueError(
            f"ids must be (batch, length >= 2), one token to read and one to predict; got {tuple(ids.shape)}"
        )
    return cross_entropy(model(fill_ignored(ids[:, :-1])), ids[:, 1:])


class Completions(NamedTuple):
    """Prompts with their answers, of which only the answers are asked.

    Attributes:
        inputs: (batch, length), prompt and answer without its last token, padded with 0 at the end.
        targets: (batch, length), the next token where it is one of the answer, ``IGNORED`` elsewhere.
    """

    inputs: Tensor
    targets: Tensor

    @property
    def visible(self) -> Tensor:
        """What each position sees, itself and what went before: boolean (batch, query, key)."""
        length = self.inputs.size(1)
        return causal_mask(length, device=self.inputs.device).expand(len(self.inputs), -1, -1)


def completions(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Completions:
    """Make a batch for fine-tuning a model that writes: each row a prompt and the answer that shall follow it.

    Args:
        prompts: ids of each, at least one.
        answers: ids of each, at least one; end them with the token that ends a text.

    Raises:
        ValueError: when there are none, another number of prompts than of answers, or an empty one.
    """
    if len(prompts) != len(answers) or not all(prompts) or not all(answers):
        raise ValueError(f"each prompt must have an answer, none empty; got {len(prompts)} and {len(answers)}")
    inputs, _ = padded([[*prompt, *answer[:-1]] for prompt, answer in zip(prompts, answers, strict=True)])
    asked = [[IGNORED] * (len(prompt) - 1) + [*answer] for prompt, answer in zip(prompts, answers, strict=True)]
    targets, _ = padded(asked, IGNORED)
    return Completions(inputs, targets)


def completion_loss(model: nn.Module, batch: Completions) -> Tensor:
    """Return the mean negative log-likelihood of the answers' tokens given the prompts, in nats.

    ``L = -1/n sum_t log p(y_t | x, y_<t)``, x the prompt and y the answer; no token of x is asked for.

    Args:
        model: ids (batch, length) -> logits (batch, length, vocab), each position blind to later ones.
        batch: prompts with their answers.
    """
    return cross_entropy(model(batch.inputs), batch.targets)
