"""Which layer learns when, and how fast: frozen features, layers thawed one after another, a rate for each layer.

Each function here returns an ``lr_multiplier`` of :class:`companion.training.settings.Optimization`: (parameter, step)
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
    """Number the layer of each parameter, by its name: 0 = embeddings, 1 to n = blocks, n + 1 = what comes after.

    After the blocks come a pooler, a final norm and the heads. A block that ALBERT uses again and again is one layer;
    in a model with an encoder and a decoder the decoder's blocks are counted on.

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
    """Let each layer that is named train from its step on; all others stay as they are.

    Args:
        model: see :func:`layers`.
        first_steps: a layer's number -> the first step that changes it, counted from 1.

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
    """Train what comes after the blocks, and nothing else: the body's vectors are features, given once and for all."""
    return unfreezing(model, {max(layers(model).values()): 1})


def gradual_unfreezing(model: nn.Module, every: int) -> LearningRateMultiplier:
    """Train the head first, and every so many steps the next layer below as well (section 3.3).

    The layer nearest the head knows most of the old task and least of language, so it is thawed first.

    Args:
        model: see :func:`layers`.
        every: steps, such as those of one pass over the data.

    Raises:
        ValueError: when ``every`` is below 1.
    """
    if every < 1:
        raise ValueError(f"every must be at least 1 step; got {every}")
    top = max(layers(model).values())
    return unfreezing(model, {layer: 1 + (top - layer) * every for layer in range(top + 1)})


def discriminative_rates(model: nn.Module, factor: float = 2.6) -> LearningRateMultiplier:
    """Give each layer the rate of the layer above it divided by ``factor`` (section 3.2; 2.6 is the paper's).

    ``share_l = factor^-(L - l)``, L the head's number: what is general, below, moves less than what is special, above.

    Raises:
        ValueError: when the factor is below 1.
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1, so that no layer is faster than the head; got {factor}")
    numbers = layers(model)
    top = max(numbers.values())
    return lambda name, step: factor ** (numbers[name] - top)


def combined(*rates: LearningRateMultiplier) -> LearningRateMultiplier:
    """Multiply shares: gradual unfreezing *and* a rate for each layer, say."""
    return lambda name, step: math.prod(rate(name, step) for rate in rates)
