"""Metrics of failures: AUROC of confidence as a detector of errors, and exposure of memorised secrets.

Chapter: ``book/concepts/limits.ipynb``. Sources: Carlini et al. 2019, section 4 (exposure); Hendrycks & Gimpel 2017
(confidence as a detector, judged by the area under the ROC curve).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from companion.data.batch import padded
from companion.nn.checks import check_numbers


@torch.no_grad()
def next_token(model: nn.Module, prompts: Sequence[Sequence[int]], batch_size: int = 64) -> Tensor:
    """Next-token distribution after each prompt.

    >>> class Uniform(nn.Linear):
    ...     def forward(self, ids):
    ...         return torch.zeros(*ids.shape, 4)
    >>> next_token(Uniform(1, 1), [[3, 1], [2]])
    tensor([[0.2500, 0.2500, 0.2500, 0.2500],
            [0.2500, 0.2500, 0.2500, 0.2500]])

    Args:
        model: a causal model in evaluation mode, ids (batch, length) -> logits (batch, length, vocab).
        prompts: token ids of each prompt, none empty; their lengths may differ.
        batch_size: prompts computed at once.

    Returns:
        probabilities (prompts, vocab), on the CPU.

    Raises:
        ValueError: when there is no prompt, or an empty one.
    """
    ids, real = padded(prompts)
    device = next(model.parameters()).device
    parts = []
    for some, ends in zip(torch.split(ids, batch_size), torch.split(real.sum(1), batch_size), strict=True):
        longest = int(ends.max())  # padding after a prompt is not visible to its last token
        logits = model(some[:, :longest].to(device))[torch.arange(len(some)), ends.to(device) - 1]
        parts.append(logits.float().softmax(-1).cpu())
    return torch.cat(parts)


def auroc(high: Tensor, low: Tensor) -> float:
    """AUROC, the area under the ROC curve: the probability that a positive scores above a negative, ties one half.

    ``A = 1 / (m n) sum_i sum_j ([a_i > b_j] + [a_i = b_j] / 2)``: 1 when a threshold separates the two perfectly,
    1/2 at chance.

    >>> auroc(torch.tensor([0.9, 0.6]), torch.tensor([0.7, 0.1]))  # three of the four pairs are in order
    0.75

    Args:
        high: scores of the positives, (m,).
        low: scores of the negatives, (n,).

    Raises:
        ValueError: when one of them is empty.
        FloatingPointError: when a score is not a number.
    """
    if not (high.numel() and low.numel()):
        raise ValueError(f"each side needs a number; got {high.numel()} and {low.numel()}")
    check_numbers("high", high)
    check_numbers("low", low)
    high, low = high.double(), low.double()  # a difference of integers without a sign wraps around
    difference = high[:, None] - low  # (m, n)
    return ((difference > 0).double() + (difference == 0).double() / 2).mean().item()


@torch.no_grad()
def secret_log_probs(model: nn.Module, prefix: Sequence[int], symbols: Sequence[int], length: int) -> Tensor:
    """Log-probability of every candidate secret, each word of ``length`` symbols, after a prefix, in nats.

    The candidates form a tree; the distribution at each inner node is computed once.

    >>> class Uniform(nn.Linear):
    ...     def forward(self, ids):
    ...         return torch.zeros(*ids.shape, 4)
    >>> secret_log_probs(Uniform(1, 1), prefix=[0], symbols=[1, 2], length=2).exp()
    tensor([0.0625, 0.0625, 0.0625, 0.0625])

    Args:
        model: a causal model in evaluation mode.
        prefix: token ids before the secret.
        symbols: token ids that a secret is made of, S of them.
        length: number of symbols in a secret, at least 1.

    Returns:
        (S ** length,), candidates in lexicographic order: the first symbol varies slowest.

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
    """Exposure of a secret, in bits: ``log2 R - log2 rank``.

    R is the number of candidates, rank that of the secret when they are sorted by probability, 1 for the most probable.
    Under a model that never saw the secret all ranks are equally likely, which gives about 1.44 bits on average; log2 R
    means that the secret is the model's first guess.

    >>> exposure(torch.tensor([0.1, 0.2, 0.6, 0.1]).log(), secret=2)
    2.0

    Args:
        log_probs: log-probability of every candidate, (R,).
        secret: index of the secret among them.

    Raises:
        ValueError: when there is no such index.
        FloatingPointError: when a log-probability is not a number.
    """
    if not 0 <= secret < log_probs.numel():
        raise ValueError(f"secret must be 0 to {log_probs.numel() - 1}; got {secret}")
    check_numbers("log_probs", log_probs)
    rank = 1 + int((log_probs > log_probs[secret]).sum())
    return math.log2(log_probs.numel()) - math.log2(rank)
