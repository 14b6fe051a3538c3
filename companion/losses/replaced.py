"""Replaced-token detection: a generator fills masked places, and a discriminator says which tokens are not original.

Chapter: ``book/algorithms/encoders.ipynb``. Source: Clark et al. 2020, "ELECTRA", section 2 and its released code.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import IGNORED
from companion.losses.cross_entropy import cross_entropy
from companion.losses.masked import Masked

DISCRIMINATOR_WEIGHT = 50.0  # section 3.1: the generator's loss, over a whole vocabulary, is much the larger


class Pair(Protocol):
    """Generator and discriminator, such as :class:`companion.models.electra.Electra`."""

    generator: nn.Module
    discriminator: nn.Module


def replace_tokens(
    inputs: Tensor, targets: Tensor, logits: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Texts in which a generator's samples stand at the chosen places, and which tokens are replaced.

    A sample that happens to be the original token counts as original. No gradient flows through the sampling.

    Args:
        inputs: (batch, length), token ids after masking.
        targets: (batch, length), original token at each chosen place, ``IGNORED`` elsewhere.
        logits: (batch, length, vocab_size), of the generator, which has read ``inputs``.
        generator: source of the samples; torch's default when not given.

    Returns:
        token ids (batch, length), and boolean (batch, length), True = not the original token.

    Example:
        >>> inputs, targets = torch.tensor([[5, 3, 7, 3]]), torch.tensor([[IGNORED, 6, IGNORED, 8]])
        >>> sure = torch.eye(9)[[0, 6, 0, 4]][None] * 1000  # writes 6 and 4 at the masked places
        >>> corrupted, replaced = replace_tokens(inputs, targets, sure)
        >>> corrupted.tolist(), replaced.tolist()
        ([[5, 6, 7, 4]], [[False, False, False, True]])
    """
    chosen = targets != IGNORED
    sampled = logits.detach()[chosen].softmax(-1).multinomial(1, generator=generator)[:, 0]  # (chosen,)
    corrupted = inputs.masked_scatter(chosen, sampled)
    return corrupted, chosen & (corrupted != targets)


def replaced_loss(logits: Tensor, replaced: Tensor, counted: Tensor) -> Tensor:
    """Binary cross-entropy of the discriminator, in nats, over the counted tokens (Clark et al. 2020, section 2).

    Args:
        logits: (batch, length), of a token's having been replaced.
        replaced: boolean (batch, length).
        counted: boolean (batch, length): the real tokens; only the chosen places in the paper's "ELECTRA 15%".

    Returns:
        scalar.

    Raises:
        ValueError: when no token is counted.

    Example:
        >>> every = torch.ones(1, 3, dtype=torch.bool)
        >>> round(float(replaced_loss(torch.zeros(1, 3), ~every, every)), 4)  # a coin: log 2
        0.6931
    """
    if not bool(counted.any()):
        raise ValueError("at least one token must be counted; got none")
    return F.binary_cross_entropy_with_logits(logits[counted], replaced[counted].to(logits.dtype))


def electra_loss(pair: Pair, batch: Masked, *, chosen_only: bool = False) -> Tensor:
    """Loss of ELECTRA: the generator's masked-language-modelling loss plus 50 times the discriminator's.

    ``L = L_MLM(generator) + 50 L_disc(discriminator)`` (Clark et al. 2020, section 2). The discriminator sends the
    generator no gradient: a sampled token has none.

    Args:
        pair: generator (ids, segments, mask) -> (logits (batch, length, vocab), anything), and discriminator -> logits
            (batch, length).
        batch: texts with masked tokens.
        chosen_only: whether the discriminator's loss counts the chosen places alone (the paper's "ELECTRA 15%") and
            not every token.

    Returns:
        scalar.

    Example:
        >>> from companion.losses.masked import mask_tokens
        >>> class Coin(nn.Module):
        ...     generator = staticmethod(lambda ids, types, mask: (torch.zeros(*ids.shape, 9), None))
        ...     discriminator = staticmethod(lambda ids, types, mask: torch.zeros(ids.shape))
        >>> batch = mask_tokens(torch.tensor([[5, 6, 7, 8]]), None, mask_id=3, vocab_size=9)
        >>> torch.isclose(electra_loss(Coin(), batch), torch.tensor(9.0).log() + 50 * torch.tensor(2.0).log())
        tensor(True)
    """
    real = batch.visible[:, 0]  # (batch, key): every query may attend to the real tokens
    logits, _ = pair.generator(batch.inputs, None, real)
    corrupted, replaced = replace_tokens(batch.inputs, batch.targets, logits)
    counted = real & (batch.targets != IGNORED) if chosen_only else real
    said = pair.discriminator(corrupted, None, real)
    return cross_entropy(logits, batch.targets) + DISCRIMINATOR_WEIGHT * replaced_loss(said, replaced, counted)
