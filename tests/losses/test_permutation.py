"""Permuted orders: who is told before whom, and which are predicted."""

import pytest
import torch
from small_models import stir
from torch import nn

from companion.data.batch import IGNORED
from companion.losses.permutation import permutation_loss, permute
from companion.nn.masks import order_mask


def texts(batch=200, length=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 40, (batch, length), generator=generator)
    lengths = torch.randint(1, length + 1, (batch,), generator=generator)
    return ids, torch.arange(length) < lengths[:, None]


def permuted(ids, real, seed=0, **settings):
    return permute(ids, real, generator=torch.Generator().manual_seed(seed), **settings)


def test_the_ranks_of_real_tokens_are_a_permutation_and_padding_comes_last():
    ids, real = texts()
    batch = permuted(ids, real)
    for order, there in zip(batch.order, real, strict=True):
        assert sorted(order[there].tolist()) == list(range(int(there.sum())))
        assert sorted(order.tolist()) == list(range(len(order)))


def test_visible_is_a_strict_order():
    ids, real = texts(20, 9)
    visible = permuted(ids, real).visible
    assert not visible.diagonal(dim1=1, dim2=2).any()  # nothing sees itself
    assert not (visible & visible.mT).any()  # of two, one sees the other at most
    steps = (visible.float() @ visible.float()) > 0
    assert not (steps & ~visible & real[:, :, None]).any()  # what is seen by what is seen is seen
    both = real[:, :, None] & real[:, None, :] & ~torch.eye(9).bool()
    assert (visible | visible.mT)[both].all()  # of two real tokens, one sees the other


def test_visible_is_what_the_model_computes_from_the_order():
    ids, real = texts(5, 9)
    batch = permuted(ids, real)
    assert batch.visible.equal(order_mask(batch.order) & real[:, None, :])


def test_the_predicted_have_the_highest_ranks():
    ids, real = texts()
    batch = permuted(ids, real)
    for order, there, predict, targets in zip(batch.order, real, batch.predict, batch.targets, strict=True):
        predict = predict[targets != IGNORED]
        n = int(there.sum())
        assert sorted(order[predict].tolist()) == list(range(n - len(predict), n))
        assert there[predict].all()


def test_targets_are_the_tokens_at_the_predicted_places_and_nothing_is_hidden_or_moved():
    ids, real = texts()
    batch = permuted(ids, real)
    asked = batch.targets != IGNORED
    assert (ids.gather(1, batch.predict)[asked] == batch.targets[asked]).all()
    assert batch.inputs.equal(ids)


@pytest.mark.parametrize("fraction", [1 / 6, 0.5])
def test_the_predicted_fraction_is_the_one_that_was_asked_for(fraction):
    ids = torch.zeros(3000, 20).long()
    asked = permuted(ids, None, fraction=fraction).targets != IGNORED
    spread = 5 * 0.5 / 3000**0.5 / 20  # the number of each row is one of two neighbours
    assert abs(asked.sum() / ids.numel() - fraction) <= spread


def test_every_text_has_a_target_even_of_one_token():
    ids, real = texts(300, 3)
    assert (permuted(ids, real).targets != IGNORED).any(1).all()


def test_all_orders_are_equally_likely():
    orders = permuted(torch.zeros(6000, 3).long(), None).order
    _, counts = orders.unique(dim=0, return_counts=True)
    assert len(counts) == 6
    assert (counts - 1000).abs().max() < 5 * (6000 * 5 / 36) ** 0.5


def test_the_seed_decides():
    ids, real = texts(20)
    first, again, other = (permuted(ids, real, seed) for seed in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert not first.order.equal(other.order)


class Answers(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, ids, attention_mask=None, *, order=None, targets=None):
        self.given = ids, order, targets
        return self.logits


def test_the_loss_is_the_mean_over_all_predicted_tokens():
    ids, real = texts(7, 12)
    batch = permuted(ids, real)
    logits = torch.randn(*batch.targets.shape, 40)
    model = Answers(logits)
    surprise = -logits.log_softmax(-1)
    rows = [(i, j, int(t)) for i, row in enumerate(batch.targets) for j, t in enumerate(row) if t != IGNORED]
    expected = torch.stack([surprise[at] for at in rows]).mean()
    torch.testing.assert_close(permutation_loss(model, batch), expected)
    assert [tensor.equal(given) for tensor, given in zip(model.given, batch[:3], strict=True)] == [True] * 3


@pytest.mark.parametrize("fraction", [0, 1])
def test_a_fraction_outside_0_and_1_is_refused(fraction):
    with pytest.raises(ValueError, match=rf"fraction must be in \(0, 1\); got {fraction}"):
        permuted(*texts(2), fraction=fraction)


def test_a_text_of_padding_alone_is_refused():
    with pytest.raises(ValueError, match="row 1 has none"):
        permuted(torch.zeros(2, 2).long(), torch.tensor([[True, False], [False, False]]))


def test_padding_changes_no_loss_of_a_real_model():
    from companion.models.xlnet import XLNet, XLNetConfig

    torch.manual_seed(0)
    model = XLNet(XLNetConfig(40, n_layers=2, n_heads=2, d_model=8)).eval()
    stir(model)
    ids, real = texts(4, 9)
    batch = permuted(ids, real)
    other = batch._replace(inputs=torch.where(real, ids, (ids + 5) % 40))
    torch.testing.assert_close(permutation_loss(model, other), permutation_loss(model, batch))
