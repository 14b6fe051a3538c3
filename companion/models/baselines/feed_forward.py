"""The first neural language model: a feed-forward network over the embeddings of the last n - 1 tokens.

Chapter: ``book/concepts/language_model.ipynb``. Source: Bengio et al. 2003, section 2.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from companion.nn.checks import check_ids, check_sizes
from companion.nn.field_types import check_field_types


@dataclass(frozen=True)
class FeedForwardLMConfig:
    """The sizes of a feed-forward language model.

    Attributes:
        vocab_size: number of tokens in the vocabulary.
        order: n; the context is the n - 1 tokens before the predicted one.
        d_model: width of a token embedding (the paper's m).
        d_hidden: units in the hidden layer (the paper's h).
    """

    vocab_size: int
    order: int
    d_model: int
    d_hidden: int

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1, or an order that leaves nothing to look at."""
        check_field_types(self)
        check_sizes(self, ("vocab_size", "order", "d_model", "d_hidden"))
        if self.order < 2:
            raise ValueError(f"order must be at least 2, one token to look at; got {self.order}")


class FeedForwardLM(nn.Module):
    """``logits = b + U tanh(d + H x)``, x the embeddings of the last n - 1 tokens side by side (eq. 1).

    At the start of a row the missing tokens are vectors of zeros. The paper's direct connection from x to the logits is
    optional there; on the stories of this book it changed nothing that could be measured, and is left out.

    Example:
        >>> import torch
        >>> model = FeedForwardLM(FeedForwardLMConfig(vocab_size=10, order=3, d_model=4, d_hidden=8))
        >>> model(torch.tensor([[1, 2, 3]])).shape  # the logits of the next token, at each position
        torch.Size([1, 3, 10])
    """

    def __init__(self, config: FeedForwardLMConfig) -> None:
        """Make the embedding (the paper's C) and the matrices H and U."""
        super().__init__()
        self.config = config
        width = (config.order - 1) * config.d_model
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.hidden = nn.Linear(width, config.d_hidden)
        self.output = nn.Linear(config.d_hidden, config.vocab_size)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of the next token, at each position.

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
        logits: Tensor = self.output(self.hidden(x).tanh())
        return logits
