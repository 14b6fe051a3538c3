"""The neighbours baseline counts what stands between two known words, and knows no other."""

import math

import pytest
import torch

from companion.losses.permutation import Permuted, permutation_loss, permute
from companion.models.baselines.neighbours import Neighbours
from companion.nn.masks import order_mask

TEXT = torch.tensor([[0, 1, 2, 0, 3, 2]])  # between 0 and 2 stand a 1 and a 3


def asked(ids, order, predict):
    return Permuted(ids, order, predict, ids.gather(1, predict), order_mask(order))


def last(ids, place):
    """A batch that asks for one place, all others known."""
    order = torch.zeros_like(ids)
    order[:, place] = 1
    return asked(ids, order, torch.full((len(ids), 1), place))


def test_before_it_has_read_anything_all_tokens_are_alike():
    batch = permute(TEXT, None, fraction=0.5)
    assert permutation_loss(Neighbours(5), batch).item() == pytest.approx(math.log(5))


def test_every_row_of_probabilities_sums_to_one():
    model = Neighbours(5).count([permute(TEXT.repeat(9, 1), None, fraction=0.5)])
    torch.testing.assert_close(model.logits.exp().sum(-1), torch.ones(6, 6))


def test_it_says_what_it_counted():
    model = Neighbours(4).count([last(TEXT, 1)] * 300 + [last(TEXT, 4)] * 100)
    batch = last(TEXT, 1)
    p = model(batch.inputs, order=batch.order, targets=batch.predict)[0, 0].exp()
    assert p[1].item() == pytest.approx(0.75, abs=0.01)
    assert p[3].item() == pytest.approx(0.25, abs=0.01)


def test_a_neighbour_that_comes_later_in_the_order_is_not_looked_at():
    model = Neighbours(4).count([permute(TEXT.repeat(50, 1), None, fraction=0.5)])
    order, targets = torch.tensor([[0, 2, 3, 1, 5, 4]]), torch.tensor([[1]])
    before = model(TEXT, order=order, targets=targets)
    later, earlier = TEXT.clone(), TEXT.clone()
    later[0, 2] = 1
    earlier[0, 0] = 3
    assert torch.equal(model(later, order=order, targets=targets), before)
    assert not torch.equal(model(earlier, order=order, targets=targets), before)


def test_the_ends_of_a_text_have_one_neighbour():
    model = Neighbours(4).count([permute(TEXT.repeat(50, 1), None, fraction=0.5)])
    order = torch.tensor([[5, 0, 1, 2, 3, 4]])
    first = model(TEXT, order=order, targets=torch.tensor([[0]]))
    assert torch.equal(first[0, 0], model.logits[4, 1])


def test_counting_again_forgets():
    model = Neighbours(4).count([last(TEXT, 1)] * 9)
    expected = Neighbours(4).count([last(TEXT, 4)])
    torch.testing.assert_close(model.count([last(TEXT, 4)]).logits, expected.logits)


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(ValueError, match="vocab_size must be at least 1; got 0"):
        Neighbours(0)
