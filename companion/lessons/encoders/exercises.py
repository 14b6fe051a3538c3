"""Exercises of ``book/algorithms/encoders.ipynb``."""

import torch
from torch import Tensor

from companion.lessons.exercise_check import Exercise, Mistake
from companion.nn.disentangled_attention import distance_index
from companion.nn.masks import band_mask


def _text(*ids: int) -> Tensor:
    return torch.tensor([ids])


def _waste(lengths: list[int], size: int) -> float:
    batches = [lengths[i : i + size] for i in range(0, len(lengths), size)]
    return 1 - sum(lengths) / sum(max(batch) * len(batch) for batch in batches)


LABELS = Exercise(
    name="replaced-labels",
    task="From original and corrupted (batch, length) and chosen, boolean, return which tokens were replaced.",
    reference=lambda original, corrupted, chosen: corrupted != original,
    cases=lambda: [
        (_text(5, 6, 7), _text(5, 8, 7), _text(0, 1, 0).bool()),
        (_text(5, 6, 7, 9), _text(5, 6, 8, 9), _text(0, 1, 1, 0).bool()),
        (_text(4, 4), _text(4, 4), _text(1, 0).bool()),
    ],
    mistakes=(
        Mistake(
            lambda original, corrupted, chosen: chosen,
            "You call every chosen place replaced. Now and then the generator writes the original word, and then "
            "nothing was replaced.",
        ),
        Mistake(
            lambda original, corrupted, chosen: corrupted == original,
            "Your labels are the wrong way round: 1 means replaced.",
        ),
        Mistake(
            lambda original, corrupted, chosen: torch.zeros_like(chosen),
            "You call nothing replaced. Compare the two texts.",
        ),
    ),
)


def _log(log: list[tuple[float, float]]) -> list[bool]:
    return [accuracy > 1 - replaced for replaced, accuracy in log]


LOG = Exercise(
    name="electra-log",
    task="From log, pairs (fraction replaced, accuracy), return for each whether it beats always saying original.",
    reference=_log,
    cases=lambda: [
        ([(0.12, 0.88), (0.12, 0.93), (0.08, 0.91)],),
        ([(0.05, 0.96), (0.15, 0.8)],),
        ([(0.6, 0.55), (0.4, 0.3)],),
    ],
    mistakes=(
        Mistake(
            lambda log: [accuracy > 0.5 for _, accuracy in log],
            "A coin is no baseline here: most tokens are original. Whoever always says original is right on all of "
            "these.",
        ),
        Mistake(
            lambda log: [accuracy > replaced for replaced, accuracy in log],
            "You compare with always saying replaced. Always original is right on the others, 1 minus that fraction.",
        ),
        Mistake(
            lambda log: [accuracy >= 1 - replaced for replaced, accuracy in log],
            "Equal is not better: whoever always says original reaches that, too.",
        ),
    ),
)
LAYERS = Exercise(
    name="predicted-global-layers",
    task="Return how many of n_layers attend globally, when the first one does and from there every third.",
    reference=lambda n_layers: -(-n_layers // 3),
    cases=lambda: [(22,), (28,), (3,), (4,), (1,)],
    mistakes=(
        Mistake(
            lambda n_layers: n_layers // 3,
            "The first layer is one of them: of four layers the first and the fourth are global.",
        ),
        Mistake(
            lambda n_layers: n_layers - n_layers // 3,
            "You count the local layers. Two of three are local, one of three is global.",
        ),
        Mistake(
            lambda n_layers: n_layers // 3 + 1,
            "Too many where the number divides by three: of layers 0, 1, 2 only 0 is global.",
        ),
    ),
)
ROWS = Exercise(
    name="distance-rows",
    task="From length and span, return the row of the distance table for each query and key (length, length).",
    reference=distance_index,
    cases=lambda: [(4, 2), (5, 8), (3, 1)],
    mistakes=(
        Mistake(
            lambda length, span: distance_index(length, span).T,
            "You took key minus query. The released models take query minus key, and a loaded table would be read "
            "backwards.",
        ),
        Mistake(
            lambda length, span: torch.arange(length)[:, None] - torch.arange(length) + span,
            "Far distances fall out of the table, which has 2 span rows: clamp them to 0 and 2 span - 1.",
        ),
        Mistake(
            lambda length, span: (torch.arange(length)[:, None] - torch.arange(length)).clamp(-span, span - 1),
            "Rows of a table begin at 0: add span.",
        ),
    ),
)
WASTE = Exercise(
    name="padding-waste",
    task="From lengths, a list, and the size of a batch, return the fraction of all positions that are padding.",
    reference=_waste,
    cases=lambda: [([3, 9, 4, 8], 2), ([5, 5, 5], 2), ([1, 2, 3, 4, 5, 6], 3)],
    mistakes=(
        Mistake(
            lambda lengths, size: 1 - sum(lengths) / (len(lengths) * max(lengths)),
            "You pad every text to the longest of all. A batch is padded to its own longest text.",
        ),
        Mistake(
            lambda lengths, size: _waste(sorted(lengths), size),
            "You sorted the texts. That wastes less, but here they come in the order given.",
        ),
        Mistake(
            lambda lengths, size: 1 - _waste(lengths, size),
            "That is the fraction of real tokens. Padding is the rest.",
        ),
    ),
)
WINDOW = Exercise(
    name="two-sided-window",
    task="From n and reach, return the mask (n, n) of a local layer: True where a query may read a key.",
    reference=band_mask,
    cases=lambda: [(4, 1), (6, 2), (3, 0), (3, 5)],
    mistakes=(
        Mistake(
            lambda n, reach: band_mask(n, reach).tril(),
            "That is a decoder's window, to the left alone. An encoder reads both sides.",
        ),
        Mistake(
            lambda n, reach: band_mask(n, max(reach // 2, 0)),
            "You halve the reach. It is already the distance to one side.",
        ),
        Mistake(
            lambda n, reach: ~band_mask(n, reach),
            "Your mask is the wrong way round: True means may read.",
        ),
    ),
)
EXERCISES = (LABELS, LOG, LAYERS, ROWS, WASTE, WINDOW)
