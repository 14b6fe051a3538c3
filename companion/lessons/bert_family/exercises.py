"""Exercises of ``book/algorithms/bert_family.ipynb``."""

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake

NEVER_ASKED = Exercise(
    name="never-asked",
    task=(
        "From the probability that a mask hides a word and the number of masks, return the fraction that none of them "
        "hides."
    ),
    reference=lambda probability, masks: (1 - probability) ** masks,
    cases=lambda: [(0.15, 1), (0.15, 10), (0.4, 3)],
    mistakes=(
        Mistake(
            lambda probability, masks: 1 - (1 - probability) ** masks,
            "That is the fraction that is hidden at least once. You are asked for the rest.",
        ),
        Mistake(
            lambda probability, masks: 1 - probability * masks,
            "The masks are drawn independently and overlap, so their fractions do not add up.",
        ),
        Mistake(
            lambda probability, masks: 1 - probability,
            "That is right for one mask. With each further one, some of the words left so far are hidden.",
        ),
        Mistake(
            lambda probability, masks: probability**masks,
            "That is the fraction that every single mask hides. Which words does none of them hide?",
        ),
    ),
)


def _positions(attention_mask: Tensor, pad_id: int) -> Tensor:
    return attention_mask.cumsum(1) * attention_mask + pad_id


POSITIONS = Exercise(
    name="roberta-positions",
    task=(
        "From a boolean attention_mask (batch, length) and pad_id, return the row of the position table for each "
        "token: real tokens are counted from pad_id + 1, and padding has pad_id."
    ),
    reference=_positions,
    cases=lambda: [
        (torch.tensor([[True, True, True, False], [True, False, False, False]]), 1),
        (torch.tensor([[False, False, True, True, True], [True, True, True, True, True]]), 1),
        (torch.tensor([[True, True, False]]), 4),
    ],
    mistakes=(
        Mistake(
            lambda attention_mask, pad_id: (attention_mask.cumsum(1) - 1) * attention_mask,
            "You count from 0, as BERT does. RoBERTa's first token has the position pad_id + 1.",
        ),
        Mistake(
            lambda attention_mask, pad_id: (
                torch.arange(attention_mask.size(1)).expand(attention_mask.shape) + pad_id + 1
            ),
            "You number the columns. Padding before a text must not move its positions, and has pad_id itself.",
        ),
        Mistake(
            lambda attention_mask, pad_id: (attention_mask.cumsum(1) - 1) * attention_mask + pad_id,
            "One too low: the row pad_id belongs to padding, and the first real token has the next one.",
        ),
        Mistake(
            lambda attention_mask, pad_id: attention_mask.cumsum(1) + pad_id,
            "The real tokens are right. Padding keeps the number of the last token; it should have pad_id.",
        ),
    ),
)

EMBEDDING = Exercise(
    name="factorised-embedding",
    task=(
        "From vocab_size, d_embedding and d_model, return how many numbers a factorised token embedding learns: the "
        "narrow table, and the widening with its bias."
    ),
    reference=lambda vocab_size, d_embedding, d_model: vocab_size * d_embedding + d_embedding * d_model + d_model,
    cases=lambda: [(10, 2, 4), (54, 32, 64), (30000, 128, 4096)],
    mistakes=(
        Mistake(lambda v, e, d: v * d, "That is the table of BERT, as wide as the blocks. ALBERT's is narrow."),
        Mistake(lambda v, e, d: v * e + e * d, "The matrices are right. The widening has a bias too."),
        Mistake(lambda v, e, d: v * e, "That is the narrow table. Something must widen its rows to d_model."),
        Mistake(
            lambda v, e, d: v * e + v * d,
            "The widening is one matrix for all tokens, (d_embedding, d_model); it does not grow with the vocabulary.",
        ),
    ),
)


def _gradients(x: Tensor, weight: Tensor, times: int) -> tuple[Tensor, ...]:
    """The gradient for each use of the matrix, as if each had a copy of its own."""
    copies = [weight.clone().requires_grad_() for _ in range(times)]
    for copy in copies:
        x = x + (x @ copy).tanh()
    return torch.autograd.grad(x.sum(), copies)


def _shared_gradient(x: Tensor, weight: Tensor, times: int) -> Tensor:
    return torch.stack(_gradients(x, weight, times)).sum(0)


def _small_stacks() -> list[tuple[Tensor, Tensor, int]]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return [(drawn(2, 3), drawn(3, 3) / 2, 1), (drawn(3, 2), drawn(2, 2) / 2, 2), (drawn(1, 4), drawn(4, 4) / 2, 3)]


SHARED_GRADIENT = Exercise(
    name="shared-gradient",
    task=(
        "Apply x <- x + tanh(x @ weight) `times` times with the same weight (d, d), starting from x (n, d), and return "
        "the gradient of the last x's sum with respect to weight."
    ),
    reference=_shared_gradient,
    cases=_small_stacks,
    mistakes=(
        Mistake(
            lambda x, weight, times: _gradients(x, weight, times)[-1],
            "That is the gradient through the last use alone. The matrix had a part in every use.",
        ),
        Mistake(
            lambda x, weight, times: _gradients(x, weight, times)[0],
            "That is the gradient through the first use alone. The matrix had a part in every use.",
        ),
        Mistake(
            lambda x, weight, times: _shared_gradient(x, weight, times) / times,
            "You take the mean over the uses. One step of the matrix changes all of them at once: the gradients add.",
        ),
    ),
)


def _order_pair(
    first: list[int], second: list[int], swapped: bool, cls_id: int, sep_id: int
) -> tuple[list[int], list[int], int]:
    one, two = (second, first) if swapped else (first, second)
    ids = [cls_id, *one, sep_id, *two, sep_id]
    return ids, [0] * (len(one) + 2) + [1] * (len(two) + 1), int(swapped)


def _types_travel(
    first: list[int], second: list[int], swapped: bool, cls_id: int, sep_id: int
) -> tuple[list[int], list[int], int]:
    ids, types, label = _order_pair(first, second, swapped, cls_id, sep_id)
    return ids, ([1] * (len(second) + 2) + [0] * (len(first) + 1)) if swapped else types, label


ORDER_PAIR = Exercise(
    name="sentence-order-pair",
    task=(
        "From two neighbouring parts of a text, `first` and `second` (lists of ids), whether they are to be `swapped`, "
        "cls_id and sep_id, return ids, segments and label (1 = swapped) of ALBERT's pair, two lists and a number."
    ),
    reference=_order_pair,
    cases=lambda: [([5, 6, 7], [8, 9], False, 1, 2), ([5, 6, 7], [8, 9], True, 1, 2), ([3], [4, 4, 4], True, 8, 9)],
    mistakes=(
        Mistake(
            _types_travel,
            "The segments travel with the parts, and give the answer away. Segment 0 is whatever stands first.",
        ),
        Mistake(
            lambda *a: (*_order_pair(*a)[:2], 1 - _order_pair(*a)[2]),
            "Ids and segments are right. The label is 1 when the parts are swapped, 0 when they are in order.",
        ),
        Mistake(
            lambda *a: (_order_pair(*a)[0][:-1], _order_pair(*a)[1][:-1], _order_pair(*a)[2]),
            "A [SEP] closes the second part, too.",
        ),
        Mistake(
            lambda first, second, swapped, cls_id, sep_id: (
                *_order_pair(first, second, False, cls_id, sep_id)[:2],
                int(swapped),
            ),
            "The label says that they are swapped, but the parts stand in order.",
        ),
    ),
)

_LAYER = re.compile(r"blocks\.(\d+)\.")


def _taken(
    names: Sequence[str],
    keep: Callable[[int, int], bool],
    number: Callable[[int], int],
    dropped: tuple[str, ...] = ("segment", "pooler"),
) -> dict[str, str]:
    """Teacher's name of each of the student's; ``keep`` chooses layers, ``number`` gives their new numbers."""
    depth = 1 + max(int(found[1]) for name in names if (found := _LAYER.search(name)))
    pairs = {}
    for name in names:
        found = _LAYER.search(name)
        if found and keep(int(found[1]), depth):
            pairs[_LAYER.sub(f"blocks.{number(int(found[1]))}.", name)] = name
        elif not found and not name.startswith(dropped):
            pairs[name] = name
    return pairs


def _names(depth: int) -> list[str]:
    blocks = [f"encoder.blocks.{i}.{part}.weight" for i in range(depth) for part in ("attention.query", "feed_forward")]
    return ["token_embedding.weight", "segment_embedding.weight", *blocks, "pooler.weight"]


SECOND_LAYERS = Exercise(
    name="every-second-layer",
    task=(
        "From the names of a BERT's parameters, return a dict from each name in a DistilBERT of half the layers to the "
        "name that it begins as: layers 0, 2, 4 … become 0, 1, 2 …; what begins with 'segment' or 'pooler' is left out."
    ),
    reference=lambda names: _taken(names, lambda i, n: i % 2 == 0, lambda i: i // 2),
    cases=lambda: [(_names(4),), (_names(12),)],
    mistakes=(
        Mistake(
            lambda names: _taken(names, lambda i, n: i % 2 == 0, lambda i: i),
            "The right layers, but the student counts its own from 0 without gaps: layer 2 becomes its layer 1.",
        ),
        Mistake(
            lambda names: _taken(names, lambda i, n: i < n // 2, lambda i: i),
            "You keep the lower half. Every second layer is taken, so that the top is represented too.",
        ),
        Mistake(
            lambda names: _taken(names, lambda i, n: i % 2 == 1, lambda i: i // 2),
            "You keep layers 1, 3, 5 …; the task begins with layer 0.",
        ),
        Mistake(
            lambda names: _taken(names, lambda i, n: i % 2 == 0, lambda i: i // 2, dropped=()),
            "The layers are right. A DistilBERT has no segment embedding and no pooler to put the others in.",
        ),
    ),
)


EXERCISES = (
    NEVER_ASKED,
    POSITIONS,
    EMBEDDING,
    SHARED_GRADIENT,
    ORDER_PAIR,
    SECOND_LAYERS,
)
