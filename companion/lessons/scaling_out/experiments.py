"""One training run by one process and by several, for the chapter on scaling out.

Chapter: ``book/practice/scaling_out.ipynb``. Under ``torchrun`` this module trains a small GPT data-parallel and fully
sharded, and the first process prints what happened, as JSON.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from companion.data.prose import random_windows
from companion.models.gpt import GPT, GPTConfig
from companion.storyworld import World
from companion.storyworld.rows import rows
from companion.training import Optimization, Runtime, fit
from companion.training.parallel import Rank, mean_over_ranks, process_group, rows_of_rank, whole_weights
from companion.training.run_state import History

MODULE = "companion.lessons.scaling_out.experiments"
STEPS, ROWS, LENGTH, RATE = 10, 8, 32, 3e-3
ALONE = Rank(0, 1)
WAYS = ("data-parallel", "fully sharded")


def new_model() -> GPT:
    """Small GPT with the same initial weights in every process."""
    torch.manual_seed(0)
    return GPT(GPTConfig(len(World().vocabulary), LENGTH, n_layers=2, n_heads=2, d_model=64))


def batches() -> Iterator[Tensor]:
    """Batches of windows of stories, all of one length, so that each row has as many targets as any other."""
    told = rows(World().stories(60))
    return random_windows(told[told >= 0], ROWS, LENGTH)


def wrapped(model: GPT, way: str) -> nn.Module:
    """The model, data-parallel or fully sharded, block by block.

    Raises:
        ValueError: on another way.
    """
    if way == "data-parallel":
        return DistributedDataParallel(model)
    if way == "fully sharded":
        for block in model.blocks:
            fully_shard(block)
        fully_shard(model)
        return model
    raise ValueError(f"way must be one of {', '.join(WAYS)}; got {way!r}")


def trained(model: nn.Module, rank: Rank = ALONE, accumulated: int = 1) -> History:
    """History of a short training in which this process has its own rows of each batch.

    Args:
        model: trained in place.
        rank: of this process.
        accumulated: batches per step, each with this part of the rows.
    """
    return fit(
        model,
        (part for batch in rows_of_rank(batches(), rank) for part in batch.chunk(accumulated)),
        steps=STEPS,
        learning_rate=RATE,
        optimization=Optimization(gradient_accumulation_steps=accumulated),
        runtime=Runtime("cpu", "float32"),
        progress=False,
    )


def elements(model: nn.Module) -> int:
    """Numbers of a model that lie in this process."""
    return sum((one.to_local() if isinstance(one, DTensor) else one).numel() for one in model.parameters())


def summary(model: nn.Module, history: History) -> dict[str, Any]:
    """What all processes can be compared by: losses, gradient norms, and the sum of squares of all weights."""
    squares = sum(one.double().square().sum().item() for one in whole_weights(model).values())
    return {
        "loss": mean_over_ranks(history.loss),
        "gradient norm": history.gradient_norm,
        "squares": squares,
        "elements": elements(model),
    }


def torchrun(processes: int) -> dict[str, Any]:
    """Result of this module under ``torchrun``, by way of training.

    Raises:
        RuntimeError: when a process fails, with what it wrote.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run([*command, "-m", MODULE], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"torchrun ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Train in each way; the first process prints the results."""
    with process_group() as rank:
        found = {}
        for way in WAYS:
            model = wrapped(new_model(), way)
            found[way] = summary(model, trained(model, rank))
        if rank.number == 0:
            print(json.dumps(found))


if __name__ == "__main__":
    main()
