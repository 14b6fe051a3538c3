"""Rows in one tensor."""

import pytest
import torch

from companion.data.batch import padded


def test_rows_are_filled_up_at_their_end():
    ids, mask = padded([[5, 6, 7], [8]], value=-100)
    assert ids.tolist() == [[5, 6, 7], [8, -100, -100]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize("rows", [[], [[1], []]])
def test_an_empty_row_is_refused(rows):
    with pytest.raises(ValueError, match="none of them empty"):
        padded(rows)


def test_a_fraction_in_any_row_is_kept():
    assert padded([[1, 2], [1.5, -0.5]])[0].tolist() == [[1.0, 2.0], [1.5, -0.5]]


def test_rows_may_be_tensors():
    numbers, mask = padded([torch.tensor([0]), torch.tensor([5, 6])])
    assert (numbers.tolist(), mask.tolist()) == ([[0, 0], [5, 6]], [[True, False], [True, True]])
