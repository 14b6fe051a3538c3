"""How good a language model is: cross-entropy, perplexity, bits per character, and the gap to what is possible.

Chapters: ``book/algorithms/gpt.ipynb`` (one long text), ``book/concepts/language_model.ipynb`` (stories whose exact
probabilities are known).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored, upcast
from companion.losses import causal_loss


@dataclass(frozen=True)
class Estimate:
    """A number measured on a sample of stories, and how far it may be off.

    Attributes:
        value: nats per token.
        standard_error: of the value, if other stories of the same kind had been drawn.
    """

    value: float
    standard_error: float

    def __str__(self) -> str:
        """Return value ± standard error."""
        return f"{self.value:.3f} ± {self.standard_error:.3f}"


@torch.inference_mode()
def cross_entropy(model: nn.Module, stream: Tensor, batch_size: int = 8, length: int | None = None) -> float:
    """Return the mean surprisal of a text's tokens, in nats.

    The text is read in windows, side by side, so that every token but the first is scored once; a window's first
    tokens have little before them, so this is an upper bound of what the model can do.

    Args:
        model: its mode is left alone; pass one in evaluation mode.
        stream: (tokens,).
        batch_size: windows computed at once.
        length: tokens that the model reads in a window; its own ``config.context_length`` when not given.

    Raises:
        ValueError: when there is no token to predict, or the length is neither given nor the model's own.
    """
    if stream.dim() != 1 or stream.numel() < 2:
        raise ValueError(f"stream must be (tokens >= 2,); got shape {tuple(stream.shape)}")
    length = getattr(model.config, "context_length", None) if length is None else length
    if length is None or length < 1:
        raise ValueError(f"{type(model).__name__} has no context_length: give a length of at least 1; got {length}")
    device = _device(model)
    length = min(length, stream.numel() - 1)
    windows = stream.unfold(0, length + 1, length)  # (windows, length + 1), each starts with the last's last token
    total = sum(causal_loss(model, w.to(device)).item() * len(w) * length for w in windows.split(batch_size))
    scored = len(windows) * length
    rest = stream[scored:]
    if rest.numel() > 1:
        total += causal_loss(model, rest[None].to(device)).item() * (rest.numel() - 1)
        scored += rest.numel() - 1
    return total / scored


@torch.inference_mode()
def token_nll(model: nn.Module, rows: Tensor, batch_size: int = 64) -> Tensor:
    """Return ``-log p(token | the tokens before it in its row)`` for each token but the first, in nats.

    Args:
        model: ids (batch, length) -> logits (batch, length, vocab), each position blind to later ones.
        rows: (stories, length + 1), each row one story, filled up with ``IGNORED`` at its end.
        batch_size: stories computed at once.

    Returns:
        (stories, length) on the CPU, NaN where a row is padded.
    """
    device, parts = _device(model), []
    for batch in rows.split(batch_size):
        log_probs = upcast(model(fill_ignored(batch[:, :-1]).to(device))).log_softmax(-1)
        target = fill_ignored(batch[:, 1:]).to(device)
        nats = -log_probs.gather(-1, target[..., None])[..., 0].cpu()  # (batch, length)
        parts.append(nats.masked_fill(batch[:, 1:].cpu() == IGNORED, torch.nan))
    return torch.cat(parts)


def per_token(nats: Tensor) -> Estimate:
    """Return the mean over all tokens, with the standard error that comes from having drawn these stories.

    Tokens of one story are not independent, stories are. So the mean is the ratio of two means over stories, nats
    ``s_i`` and tokens ``n_i``: ``r = sum s_i / sum n_i``, and ``se^2 = sum (s_i - r n_i)^2 / (N (N - 1) mean(n)^2)``
    (the delta method).

    Args:
        nats: (stories, length), NaN where there is no token.

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
    """Return the cross-entropy over stories, as :func:`companion.losses.causal_loss` of all rows at once.

    Args:
        model: see :func:`token_nll`.
        rows: see there.
        batch_size: see there.
    """
    return per_token(token_nll(model, rows, batch_size))


def excess_nll(model: nn.Module, rows: Tensor, log_probs: Sequence[Sequence[float]], batch_size: int = 64) -> Estimate:
    """Return how many nats per token the model loses to the process that told the stories.

    The difference is taken token by token, on the same stories, so what makes a story hard for both does not count as
    error. On average over all stories this is the Kullback-Leibler divergence of the model from the process, and not
    negative.

    Args:
        model: see :func:`token_nll`.
        rows: see there.
        log_probs: for each row, the exact log-probability of each token but the first, in nats.
        batch_size: stories computed at once.

    Raises:
        ValueError: when the numbers of rows or of tokens do not agree.
    """
    return per_token(token_nll(model, rows, batch_size) + padded_like(rows, log_probs))


def padded_like(rows: Tensor, values: Sequence[Sequence[float]]) -> Tensor:
    """Lay one number for each token but the first of each row out as a tensor, (stories, length), NaN at padding.

    Args:
        rows: (stories, length + 1), filled up with ``IGNORED`` at the end.
        values: for each row, one number a token.

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


def _device(model: nn.Module) -> torch.device:
    """Where a model is; one without parameters or buffers is on the CPU."""
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device
