"""Numbers for what goes wrong: how sure of what is not there, how much of a secret is learned by heart.

Chapter: ``book/background/limits.ipynb``. Sources: Carlini et al. 2019, section 4 (exposure); Hendrycks & Gimpel 2017
(confidence as a detector, judged by the area under the ROC curve).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from companion.data.batch import padded


@torch.no_grad()
def next_token(model: nn.Module, prompts: Sequence[Sequence[int]], batch_size: int = 64) -> Tensor:
    """Return the distribution over the token after each prompt.

    Args:
        model: causal, ids (batch, length) -> logits (batch, length, vocab); in evaluation mode.
        prompts: ids of each, none empty; their lengths may differ.
        batch_size: prompts computed at once.

    Returns:
        probabilities (prompts, vocab), on the CPU.

    Raises:
        ValueError: when there is no prompt, or an empty one.
    """
    ids, real = padded(prompts)
    device = next(model.parameters()).device
    parts = []
    for some, ends in zip(ids.split(batch_size), real.sum(1).split(batch_size), strict=True):
        longest = int(ends.max())  # what stands after a prompt is not seen by its last token
        logits = model(some[:, :longest].to(device))[torch.arange(len(some)), ends.to(device) - 1]
        parts.append(logits.float().softmax(-1).cpu())
    return torch.cat(parts)


def auroc(high: Tensor, low: Tensor) -> float:
    """Return how often a random one of the first numbers is above a random one of the second; a tie is half.

    ``A = 1 / (m n) sum_i sum_j ([a_i > b_j] + [a_i = b_j] / 2)``, the area under the ROC curve: 1 when one threshold
    parts them, 1/2 when nothing does.

    Args:
        high: (m,).
        low: (n,).

    Raises:
        ValueError: when one of them is empty.
    """
    if not (high.numel() and low.numel()):
        raise ValueError(f"each side needs a number; got {high.numel()} and {low.numel()}")
    difference = high[:, None] - low  # (m, n)
    return ((difference > 0).double() + (difference == 0).double() / 2).mean().item()


@torch.no_grad()
def secret_log_probs(model: nn.Module, prefix: Sequence[int], symbols: Sequence[int], length: int) -> Tensor:
    """Return the log-probability of every word of ``length`` symbols after a prefix, in nats.

    A tree is walked: the distribution after each shorter word is computed once.

    Args:
        model: causal, in evaluation mode.
        prefix: ids that the secret follows.
        symbols: ids that a secret is made of, S of them.
        length: of a secret, at least 1.

    Returns:
        (S ** length,), words in the order of counting: the first symbol varies slowest.

    Raises:
        ValueError: on a length below 1, or no symbol.
    """
    if length < 1 or not symbols:
        raise ValueError(f"a secret has at least 1 symbol of at least 1 kind; got {length} of {len(symbols)}")
    chosen = torch.tensor(symbols)
    words = torch.tensor(prefix)[None]  # (1, prefix)
    log_probs = torch.zeros(1)
    for _ in range(length):
        after = next_token(model, words.tolist(), batch_size=512).log()[:, chosen]  # (words, S)
        log_probs = (log_probs[:, None] + after).flatten()
        words = torch.cat([words.repeat_interleave(len(chosen), 0), chosen.repeat(len(words))[:, None]], 1)
    return log_probs


def exposure(log_probs: Tensor, secret: int) -> float:
    """Return how many bits of a secret a model gives away: ``log2 R - log2 rank``.

    R is the number of words that the secret could have been, rank its place when they are sorted by probability, 1 for
    the likeliest. A model that never saw it gives it any rank alike, and so about 1.44 bits on average; log2 R means
    that the secret is the model's first guess.

    Args:
        log_probs: (R,), of every candidate.
        secret: the place of the true one among them.

    Raises:
        ValueError: when there is no such place.
    """
    if not 0 <= secret < log_probs.numel():
        raise ValueError(f"secret must be 0 to {log_probs.numel() - 1}; got {secret}")
    rank = 1 + int((log_probs > log_probs[secret]).sum())
    return math.log2(log_probs.numel()) - math.log2(rank)
