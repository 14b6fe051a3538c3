"""Chunks cover a text from its first word to its last."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.data.chunks import chunks


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 19))
def test_every_word_is_in_a_chunk_and_no_chunk_lies_within_another(length: int, size: int, overlap: int):
    found = chunks(length, size, min(overlap, size - 1))
    assert {word for one in found for word in one} == set(range(length))
    assert all(a.start < b.start and a.stop < b.stop for a, b in itertools.pairwise(found))


@given(st.integers(1, 60), st.integers(2, 20))
def test_neighbours_have_the_words_of_the_overlap_in_common(length: int, size: int):
    found = chunks(length, size, 1)
    assert all(len(set(a) & set(b)) == 1 for a, b in itertools.pairwise(found))


@pytest.mark.parametrize(("length", "size", "overlap"), [(0, 3, 0), (5, 0, 0), (5, 3, 3), (5, 3, -1)])
def test_sizes_that_cut_nothing_are_refused(length: int, size: int, overlap: int):
    with pytest.raises(ValueError, match="must be at"):
        chunks(length, size, overlap)
