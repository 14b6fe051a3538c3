"""Training by several processes: the rows of a batch that are one's own, and numbers that all of them share.

``torchrun`` starts the processes, torch's ``DistributedDataParallel`` or ``fully_shard`` wraps the model, and
:func:`companion.training.fit` trains it. Chapter: ``book/practice/scaling_out.ipynb``. Sources: Li et al. 2020,
"PyTorch Distributed"; Zhao et al. 2023, "PyTorch FSDP".
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor

from companion.nn.wrappers import plain_name, unwrapped


class Rank(NamedTuple):
    """One of the processes that train together.

    Attributes:
        number: from 0; that of number 0 writes the files.
        size: number of processes.
    """

    number: int
    size: int


@contextmanager
def process_group(backend: str = "gloo") -> Iterator[Rank]:
    """Join the processes that ``torchrun`` started, and leave them at the end of the ``with`` block.

    Args:
        backend: "gloo" for processors, "nccl" for GPUs.

    Raises:
        ValueError: when ``torchrun`` did not start this process.
    """
    distributed.init_process_group(backend)
    try:
        yield Rank(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def rows_of_rank(batches: Iterable[Tensor], rank: Rank) -> Iterator[Tensor]:
    """The rows of each batch that are one process's own, as many as any other's: every ``rank.size``-th.

    With as many rows each, the mean of the processes' gradients is the gradient of the whole batch.

    >>> [rows.tolist() for rows in rows_of_rank([torch.arange(4)], Rank(1, 2))]
    [[1, 3]]

    Raises:
        ValueError: when the rows cannot be divided evenly.
    """
    for batch in batches:
        if len(batch) % rank.size:
            raise ValueError(f"the rows of a batch must be a multiple of {rank.size}, the processes; got {len(batch)}")
        yield batch[rank.number :: rank.size]


def mean_over_ranks(values: Sequence[float]) -> list[float]:
    """Mean of each number over the processes, the same for all of them; the numbers themselves where there is but one.

    >>> mean_over_ranks([2.0])
    [2.0]
    """
    if not distributed.is_initialized():
        return list(values)
    total = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(total)
    means: list[float] = (total / distributed.get_world_size()).tolist()
    return means


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Weights of a model by their plain names, gathered from all processes where they are sharded: all must call it.

    >>> list(whole_weights(nn.Linear(2, 1)))
    ['weight', 'bias']
    """
    named = unwrapped(model).state_dict().items()
    return {plain_name(name): one.full_tensor() if isinstance(one, DTensor) else one for name, one in named}
