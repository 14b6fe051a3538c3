"""How good a language model is: cross-entropy, perplexity, bits per character.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

import math

import torch
from torch import Tensor

from companion.gpt import GPT
from companion.objectives import causal_loss


@torch.inference_mode()
def cross_entropy(model: GPT, stream: Tensor, batch_size: int = 8) -> float:
    """Return the mean surprisal of a text's tokens, in nats.

    The text is read in windows of the model's context, side by side, so that every token but the first is scored
    once; a window's first tokens have little before them, so this is an upper bound of what the model can do.

    Args:
        model: its mode is left alone; pass one in evaluation mode.
        stream: (tokens,).
        batch_size: windows computed at once.

    Raises:
        ValueError: when there is no token to predict.
    """
    if stream.dim() != 1 or stream.numel() < 2:
        raise ValueError(f"stream must be (tokens >= 2,); got shape {tuple(stream.shape)}")
    device = next(model.parameters()).device
    length = min(model.config.context_length, stream.numel() - 1)
    windows = stream.unfold(0, length + 1, length)  # (windows, length + 1), each starts with the last's last token
    total = sum(causal_loss(model, w.to(device)).item() * len(w) * length for w in windows.split(batch_size))
    scored = len(windows) * length
    rest = stream[scored:]
    if rest.numel() > 1:
        total += causal_loss(model, rest[None].to(device)).item() * (rest.numel() - 1)
        scored += rest.numel() - 1
    return total / scored


def perplexity(nats_per_token: float) -> float:
    """Return ``exp`` of a cross-entropy: the number of equally likely tokens that would be as hard to guess."""
    return math.exp(nats_per_token)


def bits_per_character(nats_per_token: float, tokens: int, characters: int) -> float:
    """Return a cross-entropy in bits a character, which models with different vocabularies can be compared by.

    Args:
        nats_per_token: cross-entropy.
        tokens: in the text that it was measured on.
        characters: in the same text.

    Raises:
        ValueError: when the text is empty.
    """
    if characters < 1:
        raise ValueError(f"a text has at least 1 character; got {characters}")
    return nats_per_token / math.log(2) * tokens / characters
