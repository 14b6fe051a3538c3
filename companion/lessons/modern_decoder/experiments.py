"""What the chapter on today's decoder runs beside its concepts: one training run, held-out stories, a file of weights.

Chapter: ``book/algorithms/modern_decoder.ipynb``.
"""

from functools import cache
from math import prod
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from companion.checkpoints.gguf_file import GGUF
from companion.data.batch import fill_ignored
from companion.losses.causal import causal_loss
from companion.losses.mixture_of_experts import causal_loss_with_load_balancing
from companion.metrics.language_model import excess_nll
from companion.plots.results import benchmark_table
from companion.storyworld import World, rows, story_batches
from companion.training.loop import fit
from companion.training.run_state import History
from companion.training.settings import Evaluation, Optimization

WORLD = World()


class Stories(NamedTuple):
    """Held-out stories.

    Attributes:
        rows: token ids (stories, length), padded.
        log_probs: log-probability of each token, exact, one list per story.
    """

    rows: Tensor
    log_probs: list[list[float]]


class NumberKind(NamedTuple):
    """Numbers that a file of weights stores in one way.

    Attributes:
        name: of the way, such as "Q4_1".
        tensors: how many tensors it has.
        numbers: how many numbers they hold.
        bits: per number, the scales of the blocks included.
    """

    name: str
    tensors: int
    numbers: int
    bits: float


@cache
def held_out(stories: int) -> Stories:
    """Stories that no training run of the chapter reads.

    >>> held_out(2).rows.shape[0]
    2
    """
    told = WORLD.stories(stories, seed=1_000_000)
    return Stories(rows(told), [story.log_probs for story in told])


def inputs_of(stories: Tensor) -> tuple[Tensor, Tensor]:
    """What a model reads of rows that are padded, all but the last token, and where a real token stands.

    >>> import torch
    >>> inputs_of(torch.tensor([[5, 3, 4], [5, 3, -100]]))[1].tolist()
    [[True, True], [True, True]]

    Args:
        stories: token ids (stories, length + 1).

    Returns:
        ids and mask, (stories, length) each.
    """
    inputs = stories[:, :-1]
    return fill_ignored(inputs), inputs >= 0


def train(model: nn.Module, row: str, *, balanced: bool = True, steps: int | None = None) -> History:
    """Train on the stories of the benchmark's seed 0, by the learning rate that it found for this row of its table.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(len(WORLD.vocabulary), 144, n_layers=1, n_heads=1, d_model=8))
    >>> len(train(model, "GPT-2", steps=2).loss)
    2

    Args:
        model: a decoder for the vocabulary of the story world.
        row: of the table of ``benchmarks/modern_decoder.py``.
        balanced: whether the loss of a mixture of experts has its second term, which keeps their loads alike.
        steps: of the optimizer; as many as in the benchmark when not given.
    """
    table, test = benchmark_table("modern_decoder"), held_out(80)
    mixture = getattr(model.config, "n_experts", None) is not None
    return fit(
        model,
        story_batches(WORLD, batch_size=8, seed=0),
        steps=table["steps"] if steps is None else steps,
        loss=causal_loss_with_load_balancing if mixture and balanced else causal_loss,
        learning_rate=table["rows"][row]["learning_rate"],
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        evaluation=Evaluation(lambda one: excess_nll(one, *test).value, every=40),
        progress=False,
    )


def number_kinds(path: str | Path) -> list[NumberKind]:
    """How the numbers of a GGUF file are stored, the commonest first.

    >>> import tempfile
    >>> import numpy as np
    >>> from gguf import GGUFWriter
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = GGUFWriter(f"{folder}/model.gguf", "llama")
    ...     writer.add_tensor("norm", np.zeros(32, np.float32))
    ...     for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
    ...         write()
    ...     writer.close()
    ...     number_kinds(f"{folder}/model.gguf")
    [NumberKind(name='F32', tensors=1, numbers=32, bits=32.0)]

    Raises:
        companion.checkpoints.CheckpointError: when the file is none.
    """
    kinds: dict[str, list[tuple[int, int]]] = {}
    for tensor in GGUF(path).stored.values():
        kinds.setdefault(tensor.kind, []).append((prod(tensor.shape), tensor.length))
    found = []
    for name, sizes in kinds.items():
        numbers, length = (sum(column) for column in zip(*sizes, strict=True))
        found.append(NumberKind(name, len(sizes), numbers, 8 * length / numbers))
    return sorted(found, key=lambda kind: -kind.numbers)
