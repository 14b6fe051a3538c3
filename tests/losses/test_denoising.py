"""Five ways to spoil a text, and the text as it was as the target."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT

from companion.data.batch import IGNORED
from companion.losses.denoising import NOISES, delete, infill, mask, noise, permute_sentences, rotate

MASK, STOP, START, END = 900, 901, 902, 903


def texts(lengths, stops=0.0, seed=0):
    """Texts in which every token occurs once, but for the full stops among them."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.arange(max(lengths)).repeat(len(lengths), 1)
    ids = ids.masked_fill(torch.rand(ids.shape, generator=generator) < stops, STOP)
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return ids.masked_fill(~real, 0), real


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def lists(ids, real):
    return [line[there].tolist() for line, there in zip(ids, real, strict=True)]


LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=4)
SHARES = st.floats(0.05, 0.95)
SEEDS = st.integers(0, 9)


def test_masking_hides_its_fraction_and_keeps_every_place():
    ids, real = texts([20, 37, 40] * 300)
    masked = mask(ids, real, mask_id=MASK, fraction=0.3, generator=seeded())
    hidden = masked == MASK
    assert (masked[~hidden] == ids[~hidden]).all()
    assert not hidden[~real].any()
    assert (hidden.sum(1) - 0.3 * real.sum(1)).abs().max() < 1
    assert abs(hidden.sum() / real.sum() - 0.3) < 5 * 0.5 / 900**0.5 / 32


@given(LENGTHS, SHARES, SEEDS)
@PATIENT
def test_deletion_leaves_a_part_of_the_text_in_order(lengths, fraction, seed):
    ids, real = texts(lengths)
    shorter = lists(*delete(ids, real, fraction=fraction, generator=seeded(seed)))
    for n, left in zip(lengths, shorter, strict=True):
        assert left == sorted(set(left))
        assert len(left) >= 1
        assert -1 < len(left) - (1 - fraction) * n < 1 or len(left) == 1


def test_deletion_takes_its_fraction():
    _, real = delete(*texts([31] * 2000), fraction=0.3, generator=seeded())
    assert abs(real.sum() / (2000 * 31) - 0.7) < 5 * 0.5 / 2000**0.5 / 31


@given(LENGTHS, SHARES, st.floats(0.1, 6), SEEDS)
@PATIENT
def test_infilling_keeps_what_it_does_not_hide_in_order(lengths, fraction, mean, seed):
    ids, real = texts(lengths)
    filled = infill(ids, real, mask_id=MASK, fraction=fraction, mean_length=mean, generator=seeded(seed))
    for n, row in zip(lengths, lists(*filled), strict=True):
        kept = [token for token in row if token != MASK]
        assert kept == sorted(set(kept))
        assert set(kept) <= set(range(n))
        assert abs(len(kept) - (1 - fraction) * n) < 1
        assert MASK in row or len(kept) == n


def test_infilling_hides_its_fraction_in_spans_of_poisson_length():
    n, rows = 400, 300
    filled, real = infill(*texts([n] * rows), mask_id=MASK, fraction=0.3, generator=seeded())
    masks = (filled == MASK).sum(1).float()
    assert (real.sum(1) - masks == 0.7 * n).all()
    assert masks.mean().item() == pytest.approx(0.3 * n / 3, rel=0.03)
    gaps = []
    for row in lists(filled, real):
        last, waiting = -1, 0
        for token in [*row, n]:
            if token == MASK:
                waiting += 1
                continue
            if waiting == 1:
                gaps.append(token - last - 1)
            last, waiting = token, 0
    seen = Counter(gaps)
    for length, expected in enumerate((0.0498, 0.1494, 0.2240, 0.2240, 0.1680)):  # e^-3 3^k / k!
        assert seen[length] / len(gaps) == pytest.approx(expected, abs=0.02)


def test_a_span_of_length_0_puts_a_mask_in_where_nothing_is_missing():
    filled = lists(*infill(*texts([5] * 200), mask_id=MASK, fraction=0.2, mean_length=0.1, generator=seeded()))
    assert any(row.count(MASK) > 5 - (len(row) - row.count(MASK)) for row in filled)


@given(LENGTHS, st.floats(0, 0.9), SEEDS)
@PATIENT
def test_permutation_moves_whole_sentences(lengths, stops, seed):
    ids, real = texts(lengths, stops, seed)
    moved = permute_sentences(ids, real, stop_id=STOP, generator=seeded(seed))

    def sentences(row):
        parts, part = Counter(), []
        for token in row:
            part.append(token)
            if token == STOP:
                parts[tuple(part)] += 1
                part = []
        return parts, tuple(part)

    for old, new in zip(lists(ids, real), lists(moved, real), strict=True):
        whole, rest = sentences(old)
        if rest:  # a sentence without its stop may stand before another, and the two read as one
            assert Counter(new) == Counter(old)
            assert "".join(f",{t}" for t in rest) in "".join(f",{t}" for t in new)
        else:
            assert sentences(new) == (whole, ())


def test_all_orders_of_the_sentences_are_equally_likely():
    ids = torch.tensor([[1, STOP, 2, 3, STOP, 4, STOP]] * 3000)
    moved = permute_sentences(ids, ids > 0, stop_id=STOP, generator=seeded())
    kinds, counts = moved.unique(dim=0, return_counts=True)
    assert len(kinds) == 6
    assert (counts - 500).abs().max() < 5 * (3000 * 5 / 36) ** 0.5


@given(LENGTHS, SEEDS)
@PATIENT
def test_rotation_turns_the_text(lengths, seed):
    ids, real = texts(lengths)
    for n, row in zip(lengths, lists(rotate(ids, real, generator=seeded(seed)), real), strict=True):
        assert row == [*range(row[0], n), *range(row[0])]


def test_rotation_begins_at_any_token():
    ids, real = texts([5] * 2000)
    counts = torch.bincount(rotate(ids, real, generator=seeded())[:, 0])
    assert (counts - 400).abs().max() < 5 * (2000 * 0.16) ** 0.5


# One after another


def spoiled(ids, real, seed=0, **settings):
    return noise(ids, real, mask_id=MASK, stop_id=STOP, start_id=START, end_id=END, generator=seeded(seed), **settings)


@pytest.mark.parametrize("name", NOISES)
def test_the_target_is_the_text_as_it_was(name):
    ids, real = texts([7, 12, 1], 0.3)
    batch = spoiled(ids, real, noises=[name])
    for text, target, late in zip(lists(ids, real), batch.targets, batch.decoder_inputs, strict=True):
        whole = [*text, END]
        assert target[: len(whole)].tolist() == whole
        assert (target[len(whole) :] == IGNORED).all()
        assert late[: len(whole)].tolist() == [START, *text]


@pytest.mark.parametrize("name", NOISES)
def test_each_noise_is_done_when_it_is_asked_for(name):
    ids, real = texts([12] * 30, 0.3)
    batch = spoiled(ids, real, noises=[name])
    assert (MASK in batch.inputs) == (name in ("masking", "infilling"))
    assert batch.inputs.shape != ids.shape or not batch.inputs.equal(ids)


def test_bart_permutes_sentences_and_fills_in():
    ids, real = texts([40] * 50, 0.2)
    batch = spoiled(ids, real)
    apart = spoiled(ids, real, noises=["permutation", "infilling"])
    assert all(a.equal(b) for a, b in zip(batch, apart, strict=True))
    assert MASK in batch.inputs
    kept = [[t for t in row if t not in (MASK, STOP)] for row in lists(batch.inputs, batch.attention_mask)]
    assert any(row != sorted(row) for row in kept)


def test_padding_before_a_text_is_moved_behind_it():
    right = spoiled(torch.tensor([[5, 6, 7, 0]]), torch.tensor([[True, True, True, False]]))
    left = spoiled(torch.tensor([[0, 5, 6, 7]]), torch.tensor([[False, True, True, True]]))
    assert all(a.equal(b) for a, b in zip(left, right, strict=True))


def test_the_seed_decides():
    ids, real = texts([12] * 30, 0.3)
    first, again, other = (spoiled(ids, real, seed) for seed in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert first.inputs.shape != other.inputs.shape or not first.inputs.equal(other.inputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noises": ["infilling", "typos"]}, "noises must be of masking, .* rotation; got 'typos'"),
        ({"noises": []}, "noises must be of masking, .* rotation; got none"),
        ({"fraction": 0}, r"fraction must be in \(0, 1\); got 0"),
        ({"mean_length": 0}, "mean_length must be above 0; got 0"),
    ],
)
def test_a_noise_that_is_none_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        spoiled(*texts([5]), **settings)
