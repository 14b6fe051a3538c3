"""Spans are cut out and written again; texts to read beside texts to write."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT
from torch import nn

from companion.data.batch import IGNORED
from companion.losses.spans import Seq2Seq, corrupt, pairs, sequence_loss

SENTINELS = list(range(1000, 1100))
END, START = 998, 999


def texts(lengths, left=False):
    """Texts in which every token occurs once; 500 stands where there is none."""
    longest = max(lengths)
    ids = torch.full((len(lengths), longest), 500)
    for row, n in zip(ids, lengths, strict=True):
        row[longest - n :] = torch.arange(n) if left else row[longest - n :]
        row[:n] = row[:n] if left else torch.arange(n)
    return ids, ids != 500


def corrupted(ids, real, seed=0, **settings):
    settings = {"sentinel_ids": SENTINELS, "end_id": END, "start_id": START} | settings
    return corrupt(ids, real, generator=torch.Generator().manual_seed(seed), **settings)


def read(batch):
    """Each row's input and target as lists, without the padding."""
    for inputs, real, targets in zip(batch.inputs, batch.attention_mask, batch.targets, strict=True):
        yield inputs[real].tolist(), targets[targets != IGNORED].tolist()


def spans_of(target):
    """The spans that a target holds, after each sentinel."""
    spans = {}
    for token in target[:-1]:
        if token in SENTINELS:
            spans[token] = []
        else:
            spans[next(reversed(spans))].append(token)
    return spans


LENGTHS = st.lists(st.integers(2, 25), min_size=1, max_size=5)


@given(LENGTHS, st.floats(0.05, 0.95), st.floats(1, 6), st.integers(0, 9), st.booleans())
@PATIENT
def test_input_and_target_together_are_the_text(lengths, density, mean, seed, left):
    batch = corrupted(*texts(lengths, left), seed, noise_density=density, mean_length=mean)
    for n, (source, target) in zip(lengths, read(batch), strict=True):
        spans = spans_of(target)
        whole = [t for token in source[:-1] for t in (spans[token] if token in SENTINELS else [token])]
        assert whole == list(range(n))  # so each token is there exactly once
        assert source[-1] == target[-1] == END


@given(LENGTHS, st.floats(0.05, 0.95), st.integers(0, 9))
@PATIENT
def test_sentinels_come_in_order_and_the_target_closes_with_one_more(lengths, density, seed):
    for source, target in read(corrupted(*texts(lengths), seed, noise_density=density)):
        marks = [token for token in source if token in SENTINELS]
        assert marks == SENTINELS[: len(marks)]
        assert [token for token in target if token in SENTINELS] == SENTINELS[: len(marks) + 1]
        assert target[-2] == SENTINELS[len(marks)]
        assert target[0] == SENTINELS[0]


@given(LENGTHS, st.floats(0.05, 0.95), st.integers(0, 9))
@PATIENT
def test_spans_are_not_empty_and_do_not_touch(lengths, density, seed):
    for source, target in read(corrupted(*texts(lengths), seed, noise_density=density)):
        spans = list(spans_of(target).values())
        assert all(spans[:-1])
        assert spans[-1] == []
        for one, two in itertools.pairwise(source):
            assert not (one in SENTINELS and two in SENTINELS)


def test_the_decoder_reads_the_target_one_step_late():
    batch = corrupted(*texts([9, 20, 4]))
    for line, (_, target) in zip(batch.decoder_inputs.tolist(), read(batch), strict=True):
        assert line[: len(target)] == [START, *target[:-1]]
    assert (batch.decoder_inputs >= 0).all()


def test_the_noise_density_and_the_mean_length_are_those_of_the_recipe():
    """T5 rounds the numbers of tokens and spans (30 and 10 of 200); ours are the same in the mean."""
    batch = corrupted(*texts([200] * 400))
    spans = [spans_of(target) for _, target in read(batch)]
    lost = torch.tensor([sum(map(len, s.values())) for s in spans]).float()
    pieces = torch.tensor([len(s) - 1 for s in spans]).float()
    assert (lost - 30).abs().max() <= 1
    assert (pieces - 10).abs().max() <= 1
    short = corrupted(*texts([31] * 2000))
    spans = [spans_of(target) for _, target in read(short)]
    lost = torch.tensor([sum(map(len, s.values())) for s in spans]).float()
    pieces = torch.tensor([len(s) - 1 for s in spans]).float()
    assert abs(lost.mean() - 0.15 * 31) < 5 * 0.5 / 2000**0.5
    assert lost.sum() / pieces.sum() == pytest.approx(3, abs=0.1)


def test_every_division_is_equally_likely():
    """Two of five tokens in two spans, apart: six ways, and each as often as any other."""
    batch = corrupted(*texts([5] * 6000), noise_density=0.4, mean_length=1)
    kinds, counts = batch.inputs.unique(dim=0, return_counts=True)
    assert len(kinds) == 6
    assert (counts - 1000).abs().max() < 5 * (6000 * 5 / 36) ** 0.5


def test_the_seed_decides():
    first, again, other = (corrupted(*texts([20] * 9), seed) for seed in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert first.inputs.shape != other.inputs.shape or not first.inputs.equal(other.inputs)


@pytest.mark.parametrize(
    ("lengths", "settings", "message"),
    [
        ([5, 1], {}, "each text must have 2 tokens, one to lose and one to keep; row 1 has 1"),
        ([50], {"sentinel_ids": [7, 8]}, "spans need . sentinels; got 2"),
        ([5], {"noise_density": 0}, r"noise_density must be in \(0, 1\); got 0"),
        ([5], {"mean_length": 0.5}, "mean_length must be at least 1; got 0.5"),
    ],
)
def test_what_cannot_be_cut_is_refused(lengths, settings, message):
    with pytest.raises(ValueError, match=message):
        corrupted(*texts(lengths), **settings)


# Sequence to sequence in general


def test_pairs_are_padded_and_the_target_ends():
    batch = pairs([[5, 6, 7], [8]], [[1], [2, 3]], start_id=START, end_id=END)
    assert batch.inputs.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.attention_mask.tolist() == [[True] * 3, [True, False, False]]
    assert batch.targets.tolist() == [[1, END, IGNORED], [2, 3, END]]
    assert batch.decoder_inputs.tolist() == [[START, 1, END], [START, 2, 3]]


def test_an_empty_target_is_only_an_end():
    batch = pairs([[5]], [[]], start_id=START, end_id=END)
    assert (batch.targets.tolist(), batch.decoder_inputs.tolist()) == ([[END]], [[START]])


def test_a_source_without_a_target_is_refused():
    with pytest.raises(ValueError, match="one target for each source; got 2 and 1"):
        pairs([[1], [2]], [[1]], start_id=START, end_id=END)


def test_the_decoder_sees_the_whole_source_and_its_own_past():
    batch = pairs([[5, 6, 7], [8]], [[1], [2, 3]], start_id=START, end_id=END)
    own = torch.ones(3, 3).bool().tril()
    for row, real in zip(batch.visible, batch.attention_mask, strict=True):
        assert row[:, :3].equal(real.expand(3, 3))
        assert row[:, 3:].equal(own)


class Answers(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, ids, decoder_ids, attention_mask=None):
        self.given = ids, attention_mask, decoder_ids
        return self.logits


def test_the_loss_is_the_mean_over_the_tokens_of_the_targets():
    batch = pairs([[5, 6, 7], [8]], [[1], [2, 3]], start_id=START, end_id=4)
    logits = torch.randn(2, 3, 6)
    surprise = -logits.log_softmax(-1)
    expected = (surprise[0, 0, 1] + surprise[0, 1, 4] + surprise[1, 0, 2] + surprise[1, 1, 3] + surprise[1, 2, 4]) / 5
    model = Answers(logits)
    torch.testing.assert_close(sequence_loss(model, batch), expected)
    assert [given.equal(tensor) for given, tensor in zip(model.given, batch[:3], strict=True)] == [True] * 3


def test_padding_of_source_and_target_changes_no_loss():
    from companion.models.transformer import Transformer, TransformerConfig

    torch.manual_seed(0)
    model = Transformer(TransformerConfig(12, 8, 1, 2, 8)).eval()
    sources, targets = [[5, 6, 7, 8], [9]], [[1], [2, 3, 4]]
    together = pairs(sources, targets, start_id=0, end_id=11)
    alone = [pairs([s], [t], start_id=0, end_id=11) for s, t in zip(sources, targets, strict=True)]
    nats = sum(sequence_loss(model, batch) * batch.targets.numel() for batch in alone)
    torch.testing.assert_close(sequence_loss(model, together), nats / 6)


def test_a_batch_without_a_target_is_refused():
    batch = Seq2Seq(*[torch.ones(1, 2).long()] * 3, torch.full((1, 2), IGNORED))
    with pytest.raises(ValueError, match="each of the 2 targets is -100, padding; there is nothing to predict"):
        sequence_loss(Answers(torch.zeros(1, 2, 5)), batch)
