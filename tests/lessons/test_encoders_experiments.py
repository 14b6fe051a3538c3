"""The experiments of the chapter on encoders: equal first weights, equal words, labels that are right."""

from itertools import islice

import pytest
import torch

from companion.data.batch import IGNORED
from companion.lessons.encoders import experiments
from companion.lessons.encoders.experiments import PLACES, WAYS, WORDS


def test_batches_are_the_same_for_the_same_seed_and_never_repeat():
    first, second = (list(islice(experiments.batches(4, seed=1), 2)) for _ in range(2))
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0].inputs[:, :12], first[1].inputs[:, :12])


def test_all_ways_have_bodies_of_equal_first_weights():
    bodies = [dict(experiments.prepared(way, seed=3)[2].named_parameters()) for way in WAYS]
    assert all(torch.equal(bodies[0][name], body[name]) for body in bodies[1:] for name in bodies[0])


def test_the_control_differs_in_the_places_that_are_counted_alone():
    whole, chosen = (experiments.prepared(way, seed=0) for way in WAYS[1:])
    assert all(torch.equal(a, b) for a, b in zip(whole[0].parameters(), chosen[0].parameters(), strict=True))
    batch, losses = next(experiments.batches(4, seed=0)), []
    for model, loss, _ in (whole, chosen):
        torch.manual_seed(0)
        losses.append(loss(model, batch).item())
    assert losses[0] != losses[1]


def test_a_step_on_replaced_tokens_costs_more():
    words, replaced, chosen = map(experiments.step_flops, WAYS)
    assert words < replaced == chosen < 1.5 * words


def test_the_labels_stand_at_the_first_mention_of_each_person():
    ids, real, targets = experiments.asked(6, seed=5)
    for row in range(6):
        text = WORDS.decode(ids[row, real[row]].tolist())
        for at in (targets["where"][row] != IGNORED).nonzero()[:, 0].tolist():
            assert text.index(text[at]) == at
            assert PLACES[targets["where"][row, at]] in text
            assert bool(targets["again"][row, at]) == (text.count(text[at]) > 1)


@pytest.mark.parametrize("way", WAYS[:2])
def test_a_body_is_trained_and_then_fine_tuned(way):
    body, seconds = experiments.pretrain(way, steps=1, seed=0, rate=1e-3)
    assert seconds > 0
    found = experiments.fine_tuned(body, labelled=32, steps=1, seed=0)
    assert set(found) == set(experiments.TASKS)
    assert all(0 <= value <= 1 for value in found.values())
