"""The first neural language model: look up the last n - 1 tokens, concatenate, bend, score.

Chapter: ``book/concepts/language_model.ipynb``. Source: Bengio et al. 2003, section 2.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from companion.nn.checks import check_ids, check_sizes


@dataclass(frozen=True)
class FeedForwardLMConfig:
    """The sizes of a feed-forward language model.

    Attributes:
        vocab_size: tokens in the vocabulary.
        order: n; the model sees the n - 1 tokens before the one that it predicts.
        d_model: numbers that a token is looked up as (the paper's m).
        d_hidden: units in the hidden layer (the paper's h).
    """

    vocab_size: int
    order: int
    d_model: int
    d_hidden: int

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1, or an order that leaves nothing to look at."""
        check_sizes(self, ("vocab_size", "d_model", "d_hidden"))
        if self.order < 2:
            raise ValueError(f"order must be at least 2, one token to look at; got {self.order}")


class FeedForwardLM(nn.Module):
    """``logits = b + U tanh(d + H x)``, x the vectors of the last n - 1 tokens side by side (eq. 1).

    Where a row has fewer tokens before it, zeros stand in their place. The paper's direct connection from x to the
    logits is optional there; on the stories of this book it changed nothing that could be measured, and is left out.
    """

    def __init__(self, config: FeedForwardLMConfig) -> None:
        """Make the table of vectors (the paper's C) and the matrices H and U."""
        super().__init__()
        self.config = config
        width = (config.order - 1) * config.d_model
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.hidden = nn.Linear(width, config.d_hidden)
        self.output = nn.Linear(config.d_hidden, config.vocab_size)

    def forward(self, ids: Tensor) -> Tensor:
        """Score every token of the vocabulary as the next one, at each position.

        Args:
            ids: (batch, length).

        Returns:
            logits (batch, length, vocab_size).

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary.
        """
        check_ids(ids, self.config.vocab_size)
        looked_up = self.token_embedding(ids)  # (batch, length, d_model)
        window = self.config.order - 1
        padded = F.pad(looked_up, (0, 0, window - 1, 0))
        x = padded.unfold(1, window, 1).mT.flatten(2)  # (batch, length, window * d_model), oldest token first
        return self.output(self.hidden(x).tanh())
