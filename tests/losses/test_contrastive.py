"""InfoNCE: each vector picks its partner among all of the batch."""

import math

import pytest
import torch
from torch import nn

from companion.losses.contrastive import Views, contrastive_loss, views_loss


def test_two_pairs_by_hand():
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    b = torch.tensor([[3.0, 4.0], [0.0, 1.0]])  # cosines: .6, 0 / .8, 1
    expected = (
        -math.log(math.exp(0.6 / 0.5) / (math.exp(0.6 / 0.5) + math.exp(0)))
        - math.log(math.exp(1 / 0.5) / (math.exp(0.8 / 0.5) + math.exp(1 / 0.5)))
    ) / 2
    assert contrastive_loss(a, b, temperature=0.5).item() == pytest.approx(expected)


def test_the_gradient_is_the_one_of_the_formula():
    """For unit vectors: dL/db_j = sum over i of (p_ij - [i = j]) a_i / (n T), less its part along b_j."""
    torch.manual_seed(0)
    a = torch.nn.functional.normalize(torch.randn(5, 3, dtype=torch.double), dim=1)
    b = torch.nn.functional.normalize(torch.randn(5, 3, dtype=torch.double), dim=1).requires_grad_()
    contrastive_loss(a, b, temperature=0.1).backward()
    p = (a @ b.detach().T / 0.1).softmax(1)
    pull = (p - torch.eye(5)).T @ a / (5 * 0.1)
    along = (pull * b.detach()).sum(1, keepdim=True) * b.detach()
    torch.testing.assert_close(b.grad, pull - along)


def test_all_alike_costs_the_logarithm_of_the_batch():
    assert contrastive_loss(torch.ones(8, 3), torch.ones(8, 3)).item() == pytest.approx(math.log(8))


def test_perfect_partners_cost_almost_nothing():
    assert contrastive_loss(torch.eye(6), torch.eye(6)).item() == pytest.approx(0, abs=1e-6)


def test_lengths_do_not_count():
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(contrastive_loss(7 * a, b / 3), contrastive_loss(a, b))


@pytest.mark.parametrize("shapes", [((1, 3), (1, 3)), ((4, 3), (3, 3)), ((4, 3), (4, 2)), ((3,), (3,))])
def test_what_makes_no_pairs_is_refused(shapes):
    with pytest.raises(ValueError, match=r"a and b must both be \(n >= 2, d\); got"):
        contrastive_loss(*map(torch.ones, shapes))


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature must be positive and finite; got {temperature}"):
        contrastive_loss(torch.eye(2), torch.eye(2), temperature)


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 4)
        self.dropout = nn.Dropout(0.5)

    def forward(self, ids, attention_mask):
        return (self.dropout(self.table(ids)) * attention_mask[..., None]).sum(1)


def test_each_view_is_read_with_its_own_mask():
    torch.manual_seed(0)
    model = Mean().eval()
    a, b = torch.randint(9, (3, 4)), torch.randint(9, (3, 6))
    real, other = torch.rand(3, 4) < 0.7, torch.rand(3, 6) < 0.7
    expected = contrastive_loss(model(a, real), model(b, other))
    torch.testing.assert_close(views_loss(model, Views(a, real, b, other)), expected)


def test_dropout_makes_two_views_of_one_text():
    torch.manual_seed(0)
    ids, real = torch.randint(9, (16, 6)), torch.ones(16, 6).bool()
    twins = Views(ids, real, ids, real)
    model = Mean()
    alike = views_loss(model.eval(), twins)
    assert views_loss(model.train(), twins) > alike
