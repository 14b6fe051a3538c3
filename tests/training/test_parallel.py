"""Rows are divided evenly between processes, and what all processes share is a mean over them."""

import pytest
import torch
from torch import distributed, nn

from companion.training.parallel import Rank, mean_over_ranks, process_group, rows_of_rank, whole_weights


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which ``torchrun`` would start one process, which meets only itself."""
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "0")):
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_each_row_belongs_to_one_process(size: int):
    batch = torch.arange(24).view(8, 3)
    parts = [next(rows_of_rank([batch], Rank(number, size))) for number in range(size)]
    assert [len(part) for part in parts] == [8 // size] * size
    assert sorted(torch.cat(parts).tolist()) == batch.tolist()


def test_rows_that_cannot_be_divided_evenly_are_refused():
    with pytest.raises(ValueError, match="multiple of 3, the processes; got 8"):
        next(rows_of_rank([torch.zeros(8, 2)], Rank(0, 3)))


def test_a_group_is_left_even_after_an_error(alone: None):
    with process_group() as rank:
        assert rank == Rank(0, 1)
    with pytest.raises(ZeroDivisionError), process_group():
        _ = 1 / 0
    assert not distributed.is_initialized()


def test_a_process_that_torchrun_did_not_start_joins_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match="RANK"), process_group():
        pass


def test_the_mean_over_one_process_is_its_number(alone: None):
    with process_group():
        assert mean_over_ranks([1.5, 2.5]) == [1.5, 2.5]


def test_weights_have_their_plain_names_inside_a_wrapper():
    model = nn.Sequential(nn.Linear(2, 1))
    assert whole_weights(nn.DataParallel(model)).keys() == model.state_dict().keys()
