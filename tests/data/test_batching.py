"""Batches of rows of about the same length."""

import itertools

import pytest
import torch

from companion.data.batching import by_length, length_buckets

LENGTHS = torch.randint(1, 100, (203,), generator=torch.Generator().manual_seed(0)).tolist()


def test_each_row_comes_once_an_epoch():
    stream = length_buckets(LENGTHS, 8)
    seen = list(itertools.chain.from_iterable(itertools.islice(stream, 26)))
    assert sorted(seen) == list(range(203))


def test_two_epochs_are_in_different_orders():
    stream = length_buckets(LENGTHS, 8)
    first, second = list(itertools.islice(stream, 26)), list(itertools.islice(stream, 26))
    assert first != second
    assert sorted(itertools.chain.from_iterable(second)) == list(range(203))


def test_the_same_seed_gives_the_same_batches():
    one, two, other = (list(itertools.islice(length_buckets(LENGTHS, 8, seed), 30)) for seed in (1, 1, 2))
    assert one == two != other


def test_little_of_a_batch_is_padding():
    def padding(batches):
        return sum(max(LENGTHS[i] for i in batch) * len(batch) - sum(LENGTHS[i] for i in batch) for batch in batches)

    as_they_come = [list(range(i, min(i + 8, 203))) for i in range(0, 203, 8)]
    bucketed = list(itertools.islice(length_buckets(LENGTHS, 8), 26))
    assert padding(bucketed) < padding(as_they_come) / 4


def test_batches_hold_neighbours_in_length():
    batches = by_length(LENGTHS, 50, torch.Generator().manual_seed(0))
    ranges = sorted((min(LENGTHS[i] for i in b), max(LENGTHS[i] for i in b)) for b in batches)
    assert all(high <= low for (_, high), (low, _) in itertools.pairwise(ranges))


@pytest.mark.parametrize(("lengths", "size", "message"), [([], 4, "at least one row"), ([3], 0, "at least 1; got 0")])
def test_nothing_to_deal_out_is_refused(lengths, size, message):
    with pytest.raises(ValueError, match=message):
        next(length_buckets(lengths, size))
