"""Rows in one tensor."""

import pytest

from companion.data.batch import padded


def test_rows_are_filled_up_at_their_end():
    ids, mask = padded([[5, 6, 7], [8]], value=-100)
    assert ids.tolist() == [[5, 6, 7], [8, -100, -100]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize("rows", [[], [[1], []]])
def test_an_empty_row_is_refused(rows):
    with pytest.raises(ValueError, match="none of them empty"):
        padded(rows)
