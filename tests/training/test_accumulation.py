"""Accumulated batches are read once each, also by a resumed run, and act as one batch of all their targets."""

import math

import numpy as np
import pytest
import torch
from small_models import random_ids, tiny_gpt
from torch import nn

from companion.data.batch import IGNORED
from companion.data.prose import random_windows
from companion.losses import causal_loss
from companion.training import Checkpoint, Evaluation, Optimization, Runtime, fit

QUIET = {"runtime": Runtime(device="cpu"), "progress": False}


class Scalar(nn.Module):
    """One number, whose gradient is the batch."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))


def read(path, parts, batches, **options):
    """Batches that the parts of a run read; a part is (its last step, batches a step)."""
    seen = []
    for last, size in parts:
        fit(
            Scalar(),
            batches() if callable(batches) else batches,
            steps=last,
            loss=lambda m, batch: seen.append(batch.item()) or (m.w * batch).sum(),
            optimization=Optimization(schedule="constant", gradient_accumulation_steps=size),
            checkpoint=Checkpoint(path, every=1),
            **QUIET | options,
        )
    return seen


@pytest.mark.parametrize(
    "parts",
    [
        [(1, 1), (2, 4)],
        [(1, 4), (3, 1)],
        [(2, 2), (4, 3)],
        [(2, 5), (3, 2)],
        [(3, 1), (4, 7)],
        [(1, 2), (2, 3), (3, 4)],
        [(2, 3), (2, 1), (4, 2)],
        [(1, 20), (2, 1)],
    ],
    ids=str,
)
def test_a_run_in_parts_reads_each_batch_once(tmp_path, parts):
    batches = [torch.tensor([float(n)]) for n in range(7)]
    seen = read(tmp_path / "run", parts, batches)
    assert seen == [n % 7 for n in range(len(seen))]
    steps = [0, *(last for last, _ in parts)]
    assert len(seen) == sum((last - steps[i]) * size for i, (last, size) in enumerate(parts))


def test_so_does_one_that_evaluates_and_one_that_draws_its_batches_anew(tmp_path):
    def drawn():
        return (torch.tensor([float(n)]) for n in range(100))

    evaluation = Evaluation(lambda model: torch.rand(1).item(), every=1)
    assert read(tmp_path / "one", [(2, 2), (4, 1)], drawn, evaluation=evaluation) == list(range(6))
    assert read(tmp_path / "two", [(2, 1), (4, 3)], drawn, evaluation=evaluation) == list(range(8))


def test_windows_of_a_stream_go_on_where_they_were(tmp_path):
    stream, seen = torch.arange(31).repeat(3), []
    for last, size in ((2, 2), (4, 3)):
        fit(
            tiny_gpt(),
            random_windows(stream, batch_size=2, length=6),
            steps=last,
            loss=lambda m, batch: seen.append(batch) or causal_loss(m, batch),
            optimization=Optimization(schedule="constant", gradient_accumulation_steps=size),
            checkpoint=Checkpoint(tmp_path / "run"),
            **QUIET,
        )
    wanted = [batch for batch, _ in zip(random_windows(stream, batch_size=2, length=6), range(10), strict=False)]
    assert all(map(torch.equal, seen, wanted))
    assert len(seen) == len(wanted)


# Batches with other numbers of targets


def cut(ids, *lengths):
    """The same rows, each with only so many tokens."""
    kept = torch.arange(ids.size(1)) < torch.tensor(lengths)[:, None]
    return torch.where(kept, ids, IGNORED)


def step(batches, optimizer="sgd", norm=math.inf):
    """How far one step along the gradient of these batches goes."""
    model = tiny_gpt()
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    how = Optimization(
        optimizer, 0.0, "constant", warmup=1, max_grad_norm=norm, gradient_accumulation_steps=len(batches)
    )
    history = fit(model, batches, steps=1, learning_rate=0.1, optimization=how, **QUIET)
    return nn.utils.parameters_to_vector(model.parameters()).detach() - before, history.loss[0]


ROWS = random_ids(tiny_gpt(), 4, 9)


@pytest.mark.parametrize(
    "lengths",
    [
        (9, 2, 9, 2),
        (9, 9, 2, 2),
        (2, 3, 4, 5),
        (9, 2, 2, 2),
        (2, 9, 9, 9),
        (9, 8, 7, 2),
        (9, 9, 9, 9),
    ],
    ids=str,
)
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 2), (1, 3), (3, 1)], ids=str)
def test_however_rows_are_divided_among_batches_the_step_is_that_of_all_together(lengths, sizes):
    whole = cut(ROWS, *lengths)
    moved, loss = step([whole])
    parts, divided = step(list(torch.split(whole, sizes)))
    torch.testing.assert_close(parts, moved, rtol=1e-4, atol=1e-6)
    assert divided == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(("optimizer", "norm"), [("sgd", 0.1), ("momentum", math.inf), ("momentum", 0.5)])
def test_so_it_is_with_other_optimizers_and_with_a_bound_on_the_gradient(optimizer, norm):
    whole = cut(ROWS, 9, 2, 5, 3)
    moved, _ = step([whole], optimizer, norm)
    parts, _ = step(list(whole.split(1)), optimizer, norm)
    torch.testing.assert_close(parts, moved, rtol=1e-3, atol=1e-4)


def test_a_batch_without_a_target_is_refused():
    with pytest.raises(ValueError, match=r"target|token to predict|nothing"):
        step([ROWS[:1], cut(ROWS[1:2], 1)])


@pytest.mark.parametrize("count", [lambda ids: (ids >= 0).sum(), lambda ids: np.float32(ids.numel())])
def test_a_number_of_targets_in_a_tensor_goes_into_a_run_file(tmp_path, count):
    how = Optimization(gradient_accumulation_steps=2, targets=count)
    saved = {"checkpoint": Checkpoint(tmp_path / "run"), "runtime": Runtime(device="cpu"), "progress": False}
    history = fit(tiny_gpt(), [torch.arange(6)[None]], steps=2, optimization=how, **saved)
    assert all(type(loss) is float for loss in history.loss)


@pytest.mark.parametrize("count", [None, "seven", torch.ones(2)])
def test_what_is_no_number_of_targets_is_named(count):
    how = Optimization(gradient_accumulation_steps=2, targets=lambda ids: count)
    with pytest.raises(ValueError, match="targets must return one number for a batch; got "):
        fit(tiny_gpt(), [torch.arange(6)[None]], steps=1, optimization=how, progress=False)
