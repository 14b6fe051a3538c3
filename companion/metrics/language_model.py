"""Language-model metrics: cross-entropy, perplexity, bits per character, token NLL, and excess NLL over the truth.

Chapters: ``book/algorithms/gpt.ipynb`` (one long text), ``book/concepts/language_model.ipynb`` (stories whose exact
probabilities are known).
"""

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored, upcast
from companion.data.batching import check_batch_size
from companion.losses import causal_loss


@dataclass(frozen=True)
class Estimate:
    """Mean over a sample of stories, with its standard error.

    Attributes:
        value: mean, in nats per token.
        standard_error: standard error of the mean over the random choice of the stories.
    """

    value: float
    standard_error: float

    def __str__(self) -> str:
        """Value ± standard error."""
        return f"{self.value:.3f} ± {self.standard_error:.3f}"


@torch.inference_mode()
def cross_entropy(model: nn.Module, stream: Tensor, batch_size: int = 8, length: int | None = None) -> float:
    """Cross-entropy of a model on a text: mean negative log-likelihood per token, in nats.

    The text is cut into adjacent windows, so that every token but the first is scored once. The first tokens of a
    window have little context, so this is an upper bound of the model's cross-entropy.

    >>> class Uniform(nn.Module):
    ...     def forward(self, ids):
    ...         return torch.zeros(*ids.shape, 8)
    >>> round(perplexity(cross_entropy(Uniform(), torch.arange(8), length=4)), 3)
    8.0

    Args:
        model: a causal model, in evaluation mode (its mode is not changed).
        stream: token ids (tokens,).
        batch_size: windows computed at once.
        length: number of input tokens in a window; the model's ``config.context_length`` when not given.

    Raises:
        ValueError: when there is no token to predict, the length is neither given nor the model's own, or the batch
            size is below 1.
        FloatingPointError: when the model's logits are not numbers.
    """
    check_batch_size(batch_size)
    if stream.dim() != 1 or stream.numel() < 2:
        raise ValueError(f"stream must be (tokens >= 2,); got shape {tuple(stream.shape)}")
    length = getattr(model.config, "context_length", None) if length is None else length
    if length is None or length < 1:
        raise ValueError(f"{type(model).__name__} has no context_length: give a length of at least 1; got {length}")
    device = _device(model)
    length = min(length, stream.numel() - 1)
    windows = stream.unfold(0, length + 1, length)  # (windows, length + 1), each starts with the last's last token
    parts = torch.split(windows, batch_size)
    total = float(sum(causal_loss(model, part.to(device)).item() * len(part) * length for part in parts))
    scored = len(windows) * length
    rest = stream[scored:]
    if rest.numel() > 1:
        total += causal_loss(model, rest[None].to(device)).item() * (rest.numel() - 1)
        scored += rest.numel() - 1
    if math.isnan(total):
        raise FloatingPointError(f"the cross-entropy is nan: so are logits of this {type(model).__name__}")
    return total / scored


@torch.inference_mode()
def token_nll(model: nn.Module, rows: Tensor, batch_size: int = 64) -> Tensor:
    """Token NLL (surprisal): ``-log p(token | the tokens before it in its row)`` of each token but the first, in nats.

    >>> class Uniform(nn.Module):
    ...     def forward(self, ids):
    ...         return torch.zeros(*ids.shape, 8)
    >>> token_nll(Uniform(), torch.tensor([[3, 1, 4], [1, 5, IGNORED]])).exp()
    tensor([[8., 8.],
            [8., nan]])

    Args:
        model: a causal model, ids (batch, length) -> logits (batch, length, vocab).
        rows: token ids (stories, length + 1), each row one story, padded with ``IGNORED`` at its end.
        batch_size: stories computed at once.

    Returns:
        (stories, length) on the CPU, NaN where a row is padded.

    Raises:
        ValueError: on a batch size below 1.
        FloatingPointError: when the model's logits are not numbers.
    """
    check_batch_size(batch_size)
    device, parts = _device(model), []
    for batch in torch.split(rows, batch_size):
        log_probs = upcast(model(fill_ignored(batch[:, :-1]).to(device))).log_softmax(-1)
        target = fill_ignored(batch[:, 1:]).to(device)
        nats = -log_probs.gather(-1, target[..., None])[..., 0].cpu()  # (batch, length)
        if bool(nats[batch[:, 1:].cpu() != IGNORED].isnan().any()):
            raise FloatingPointError(f"the NLL of a token is nan: so are logits of this {type(model).__name__}")
        parts.append(nats.masked_fill(batch[:, 1:].cpu() == IGNORED, torch.nan))
    return torch.cat(parts)


def per_token(nats: Tensor) -> Estimate:
    """Mean NLL per token, with its cluster-robust standard error over stories.

    Tokens of one story are not independent, stories are. So the mean is a ratio estimate from the stories' nats
    ``s_i`` and tokens ``n_i``: ``r = sum s_i / sum n_i``, and ``se^2 = sum (s_i - r n_i)^2 / (N (N - 1) mean(n)^2)``
    (the delta method).

    >>> print(per_token(torch.tensor([[1.0, 2.0], [3.0, torch.nan]])))  # 6 nats in 3 tokens
    2.000 ± 0.667

    Args:
        nats: NLL of each token (stories, length), NaN where there is no token.

    Raises:
        ValueError: when there are fewer than two stories, or no token at all.
    """
    if nats.dim() != 2 or len(nats) < 2 or bool(nats.isnan().all()):
        raise ValueError(f"an estimate needs at least 2 stories with tokens; got shape {tuple(nats.shape)}")
    tokens = (~nats.isnan()).sum(1).double()  # (stories,)
    sums = nats.double().nansum(1)
    value = sums.sum() / tokens.sum()
    deviations = sums - value * tokens
    variance = deviations.square().sum() / (len(nats) * (len(nats) - 1) * tokens.mean().square())
    return Estimate(value.item(), variance.sqrt().item())


def story_cross_entropy(model: nn.Module, rows: Tensor, batch_size: int = 64) -> Estimate:
    """Cross-entropy of a model on stories, in nats per token: :func:`companion.losses.causal_loss` of all rows.

    Arguments as :func:`token_nll`.
    """
    return per_token(token_nll(model, rows, batch_size))


def excess_nll(model: nn.Module, rows: Tensor, log_probs: Sequence[Sequence[float]], batch_size: int = 64) -> Estimate:
    """Excess NLL of a model over the true distribution of the stories, in nats per token: an estimate of their KL.

    In expectation it is the Kullback-Leibler divergence KL(truth || model), which is not negative. The difference is
    taken token by token, on the same stories, so the entropy of a story adds no noise.

    >>> class Uniform(nn.Module):
    ...     def forward(self, ids):
    ...         return torch.zeros(*ids.shape, 8)
    >>> rows = torch.tensor([[3, 1, 4], [1, 5, IGNORED]])
    >>> truth = [[-math.log(8)] * 2, [-math.log(2)]]  # the last token had a probability of 1/2, not 1/8
    >>> round(excess_nll(Uniform(), rows, truth).value, 4)  # log 4, in one of three tokens
    0.4621

    Args:
        model: see :func:`token_nll`.
        rows: see :func:`token_nll`.
        log_probs: for each row, the true log-probability of each token but the first, in nats.
        batch_size: stories computed at once.

    Raises:
        ValueError: when the numbers of rows or of tokens do not agree.
    """
    return per_token(token_nll(model, rows, batch_size) + padded_like(rows, log_probs))


def padded_like(rows: Tensor, values: Sequence[Sequence[float]]) -> Tensor:
    """Padded tensor (stories, length) of one value for each token but the first of each row, NaN at padding.

    >>> padded_like(torch.tensor([[3, 1, 4], [1, 5, IGNORED]]), [[0.5, 0.25], [1.0]])
    tensor([[0.5000, 0.2500],
            [1.0000,    nan]])

    Args:
        rows: token ids (stories, length + 1), padded with ``IGNORED`` at the end.
        values: for each row, one value per token but the first.

    Raises:
        ValueError: when the numbers of rows or of tokens do not agree.
    """
    tokens = (rows[:, 1:] != IGNORED).sum(1).tolist()
    given = [len(numbers) for numbers in values]
    if given != tokens:
        wrong = next((i for i, pair in enumerate(zip(tokens, given, strict=False)) if pair[0] != pair[1]), None)
        what = f"{len(tokens)} rows and {len(given)} lists of numbers"
        if wrong is not None:
            what = f"{tokens[wrong]} tokens after the first and {given[wrong]} numbers for row {wrong}"
        raise ValueError(f"there must be one number for each token but the first; got {what}")
    laid = torch.full((len(rows), rows.size(1) - 1), torch.nan)
    laid[(rows[:, 1:] != IGNORED).cpu()] = torch.tensor(list(itertools.chain.from_iterable(values)))
    return laid


def perplexity(nats_per_token: float) -> float:
    """Perplexity, ``exp`` of the cross-entropy: the number of equally likely tokens that would be as hard to predict.

    Infinite where that number is beyond a float's range, and NaN for NaN.

    >>> round(perplexity(math.log(8)), 3)
    8.0
    """
    return math.inf if nats_per_token >= math.log(sys.float_info.max) else math.exp(nats_per_token)


def bits_per_character(nats_per_token: float, tokens: int, characters: int) -> float:
    """Bits per character of a text: its cross-entropy on a scale that does not depend on the vocabulary.

    >>> round(bits_per_character(math.log(16), tokens=10, characters=40), 3)  # 4 bits per token of 4 characters
    1.0

    Args:
        nats_per_token: cross-entropy on the text.
        tokens: number of scored tokens.
        characters: number of characters of the text.

    Raises:
        ValueError: when the text is empty.
    """
    if characters < 1:
        raise ValueError(f"a text has at least 1 character; got {characters}")
    return nats_per_token / math.log(2) * tokens / characters


def _device(model: nn.Module) -> torch.device:
    """Device of a model; the CPU for one without parameters or buffers."""
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device
