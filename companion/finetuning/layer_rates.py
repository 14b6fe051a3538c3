"""Layer-wise learning rates: frozen features, gradual unfreezing, discriminative learning rates.

Each function returns an ``lr_multiplier`` of :class:`companion.training.settings.Optimization`: (parameter, step)
-> factor of the learning rate, 0 = frozen. Chapter: ``book/algorithms/finetuning.ipynb``. Source: Howard & Ruder 2018,
"Universal Language Model Fine-tuning for Text Classification", sections 3.2 and 3.3.
"""

import math
import re
from collections.abc import Mapping

from torch import nn

from companion.training.schedules import LearningRateMultiplier

BLOCK = re.compile(r"(.*\.)?blocks\.\d+\.")


def layers(model: nn.Module) -> dict[str, int]:
    """Layer number of each parameter, by its name: 0 = embeddings, 1 to n = blocks, n + 1 = what comes after.

    After the blocks come a pooler, a final norm and the heads. The block that all layers of ALBERT share is one layer;
    in an encoder–decoder the decoder's blocks are numbered after the encoder's.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> numbers = layers(GPT(GPTConfig(vocab_size=9, context_length=4, n_layers=2, n_heads=1, d_model=4)))
    >>> numbers["token_embedding.weight"], numbers["blocks.1.attention.query.weight"], numbers["final_norm.weight"]
    (0, 2, 3)

    Raises:
        ValueError: when the model has no ``blocks``.
    """
    blocks: list[str] = []
    numbers, outside = {}, set()
    for name, _ in model.named_parameters():
        found = BLOCK.match(name)
        if found and found[0] not in blocks:
            blocks.append(found[0])
        if not found:
            outside.add(name)
        numbers[name] = blocks.index(found[0]) + 1 if found else len(blocks)
    if not blocks:
        raise ValueError(f"{type(model).__name__} has no blocks, so its parameters belong to no layers")
    last = len(blocks)
    return {name: last + 1 if name in outside and number == last else number for name, number in numbers.items()}


def unfreezing(model: nn.Module, first_steps: Mapping[int, int]) -> LearningRateMultiplier:
    """Multiplier of an unfreezing schedule: each named layer is trained from its step on, all others stay frozen.

    Args:
        model: a model with ``blocks``, see :func:`layers`.
        first_steps: layer number -> the first step that changes it, counted from 1.

    Raises:
        ValueError: when no layer is named, or one that the model does not have, or a step below 1.
    """
    numbers = layers(model)
    top = max(numbers.values())
    if not first_steps:
        raise ValueError(f"at least one layer must train; name some of 0 to {top}")
    for layer, step in first_steps.items():
        if not 0 <= layer <= top:
            raise ValueError(f"a layer's number is 0 (embeddings) to {top} (heads); got {layer}")
        if step < 1:
            raise ValueError(f"steps are counted from 1; got {step} for layer {layer}")
    return lambda name, step: float(step >= first_steps.get(numbers[name], math.inf))


def frozen_features(model: nn.Module) -> LearningRateMultiplier:
    """Multiplier for feature extraction: the body is frozen, and only what comes after its blocks is trained."""
    return unfreezing(model, {max(layers(model).values()): 1})


def gradual_unfreezing(model: nn.Module, every: int) -> LearningRateMultiplier:
    """Multiplier for gradual unfreezing: the head first, and every so many steps the next layer below (section 3.3).

    The last layer is the most specific to the old task and the least general, so it is unfrozen first.

    Args:
        model: a model with ``blocks``, see :func:`layers`.
        every: number of steps between two layers, such as that of one epoch.

    Raises:
        ValueError: when ``every`` is below 1.
    """
    if every < 1:
        raise ValueError(f"every must be at least 1 step; got {every}")
    top = max(layers(model).values())
    return unfreezing(model, {layer: 1 + (top - layer) * every for layer in range(top + 1)})


def discriminative_rates(model: nn.Module, factor: float = 2.6) -> LearningRateMultiplier:
    """Multiplier for discriminative learning rates: each layer has the rate of the next one over ``factor``.

    ``m_l = factor^-(L - l)``, L the head's number (section 3.2; 2.6 is the paper's): the general layers below change
    less than the specific ones above.

    Raises:
        ValueError: when the factor is below 1.
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1, so that no layer is faster than the head; got {factor}")
    numbers = layers(model)
    top = max(numbers.values())
    return lambda name, step: factor ** (numbers[name] - top)


def combined(*rates: LearningRateMultiplier) -> LearningRateMultiplier:
    """Product of several multipliers, such as gradual unfreezing *and* discriminative learning rates."""
    return lambda name, step: math.prod(rate(name, step) for rate in rates)
