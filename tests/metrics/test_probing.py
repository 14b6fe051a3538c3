"""A probe reads what is linear, a control task has one label per type, and detectors are measured on other examples."""

import pytest
import torch

from companion.metrics.classification import accuracy
from companion.metrics.probing import Detectors, control_labels, linear_probe


def points(n, d=6, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_a_probe_finds_a_linear_property_and_takes_vectors_as_they_are():
    x = points(400) * torch.tensor([1, 10, 100, 1, 1, 1]) + 5
    labels = (x[:, 2] > x[:, 2].median()).long()
    probe = linear_probe(x[:300], labels[:300], classes=2)
    assert accuracy(probe(x[300:]).argmax(-1), labels[300:]) > 0.9


def test_a_probe_does_not_find_what_is_not_there():
    labels = torch.randint(4, (600,), generator=torch.Generator().manual_seed(1))
    probe = linear_probe(points(600)[:400], labels[:400], classes=4)
    assert accuracy(probe(points(600)[400:]).argmax(-1), labels[400:]) < 0.4


def test_a_probe_cannot_be_trained_on_by_accident():
    probe = linear_probe(points(10), torch.arange(10) % 2, classes=2)
    assert not any(parameter.requires_grad for parameter in probe.parameters())


def test_all_examples_of_a_type_have_the_same_control_label():
    types = torch.arange(60) % 7
    labels = torch.arange(60) % 3
    control = control_labels(types, labels, seed=0)
    assert all(len(control[types == one].unique()) == 1 for one in range(7))


def test_control_labels_come_as_often_as_the_true_ones():
    labels = torch.tensor([0, 0, 0, 1])
    control = control_labels(torch.arange(4000), labels, seed=0)
    assert 0.7 < (control == 0).float().mean() < 0.8


def test_another_seed_is_another_control_task():
    types, labels = torch.arange(50), torch.arange(50) % 5
    assert not torch.equal(control_labels(types, labels, 0), control_labels(types, labels, 1))


def test_the_detector_is_the_score_that_tells_the_fact():
    scores = points(200, d=5)
    facts = torch.stack([scores[:, 3] > 1, scores[:, 1] > 0], dim=1)
    chosen = Detectors.choose(scores[:100], facts[:100])
    assert chosen.score.tolist() == [3, 1]
    assert (chosen.f1(scores[100:], facts[100:]) > 0.9).all()


def test_f1_counts_misses_and_false_alarms():
    chosen = Detectors(torch.tensor([0]), torch.tensor([0.5]))
    scores = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    facts = torch.tensor([[True], [False], [True], [False]])
    assert chosen.f1(scores, facts).tolist() == [0.5]  # one right, one false alarm, one miss


def test_equal_scores_are_told_together():
    scores = torch.zeros(4, 1)
    facts = torch.tensor([[True], [False], [False], [False]])
    chosen = Detectors.choose(scores, facts)
    assert chosen.f1(scores, facts).item() == pytest.approx(2 / 5)  # yes to all: one right of four


def test_the_best_of_many_random_scores_is_luck_and_does_not_last():
    facts = torch.arange(100)[:, None] % 2 == 0
    scores = points(200, d=300)
    chosen = Detectors.choose(scores[:100], facts)
    assert chosen.f1(scores[:100], facts) > chosen.f1(scores[100:], facts)


def test_a_fact_that_is_never_true_is_refused():
    with pytest.raises(ValueError, match="true of some of the 3 examples"):
        Detectors.choose(points(3), torch.zeros(3, 1, dtype=torch.bool))
