"""Distillation: each loss is its formula, its gradient is right, and what makes no sense is refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from small_models import random_ids, tiny_bert

from companion.data.batch import IGNORED
from companion.distillation.losses import (
    distilbert_loss,
    hinton_loss,
    pkd_loss,
    soft_target_loss,
    tinybert_loss,
    tinybert_losses,
)
from companion.distillation.outputs import ModelOutputs, centred_scores
from companion.distillation.student import last_layers, skip_layers
from companion.nn.capture import capture

METHODS = {
    hinton_loss: {},
    distilbert_loss: {},
    pkd_loss: {"layers": (2, 4)},
    tinybert_loss: {"layers": (2, 4), "stage": "task"},
}


def seen(n_layers, seed, width=3):
    """Two texts of three tokens, the last of them padding in the second; five classes, and one place is not asked."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    real = torch.tensor([[True, True, True], [True, True, False]])
    attention = [draw(2, 2, 3, 3).masked_fill(~real[:, None, None], -1e9).softmax(-1) for _ in range(n_layers)]
    hidden = [draw(2, 3, width) for _ in range(n_layers + 1)]
    targets = torch.tensor([[4, IGNORED, 0], [1, 2, IGNORED]])
    return ModelOutputs(draw(2, 3, 5), targets, real[:, :, None] & real[:, None, :], hidden, attention)


# Each loss is its formula


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_soft_targets_by_hand(temperature):
    q, p = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    one = 3 ** (1 / temperature) / (1 + 3 ** (1 / temperature))  # 3/4 at T = 1
    expected = temperature**2 * (one * math.log(2 * one) + (1 - one) * math.log(2 * (1 - one)))
    assert soft_target_loss(q, p, temperature).item() == pytest.approx(expected, rel=1e-5)


def test_at_temperature_1_it_is_the_cross_entropy_less_the_teachers_entropy():
    ours, theirs = seen(2, 0).logits, seen(2, 1).logits
    p = theirs.softmax(-1)
    entropy = -(p * p.log()).sum(-1).mean()
    expected = F.cross_entropy(ours.flatten(0, 1), p.flatten(0, 1)) - entropy
    torch.testing.assert_close(soft_target_loss(ours, theirs, 1.0), expected)


def test_at_a_high_temperature_its_gradient_is_that_of_matching_logits():
    ours, theirs = seen(2, 0).logits.requires_grad_(), seen(2, 1).logits
    (gradient,) = torch.autograd.grad(soft_target_loss(ours, theirs, 1e4), ours)
    a, b = (z.detach() - z.detach().mean(-1, keepdim=True) for z in (ours, theirs))
    torch.testing.assert_close(gradient * 6, (a - b) / 5, rtol=0, atol=1e-3)  # 6 places; 1/N (z - v), N classes
    (cold,) = torch.autograd.grad(soft_target_loss(ours, theirs, 1.0), ours)
    assert (cold * 6 - (a - b) / 5).abs().max() > 0.05


def test_places_where_nothing_is_asked_are_left_out():
    one, other = seen(2, 0), seen(2, 1)
    asked, ours = one.targets != IGNORED, one.logits.requires_grad_()
    loss = soft_target_loss(ours, other.logits, 2.0, one.targets)
    torch.testing.assert_close(loss, soft_target_loss(ours[asked], other.logits[asked], 2.0))
    (gradient,) = torch.autograd.grad(loss, ours)
    assert torch.equal(gradient.abs().sum(-1) > 0, asked)


def test_hinton_mixes_what_is_right_with_what_the_teacher_thinks():
    one, other = seen(2, 0), seen(2, 1)
    hard = F.cross_entropy(one.logits.flatten(0, 1), one.targets.flatten(), ignore_index=IGNORED)
    soft = soft_target_loss(one.logits, other.logits, 3.0, one.targets)
    torch.testing.assert_close(hinton_loss(one, other, temperature=3.0, alpha=0.7), 0.3 * hard + 0.7 * soft)


def test_distilbert_by_hand():
    one, other = seen(1, 0, width=2), seen(1, 1, width=2)
    one.hidden[-1][:], other.hidden[-1][:] = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 3.0]])
    one.hidden[-1][1, 2] = -1.0  # padding
    other.hidden[-1][0, 0] = torch.tensor([-1.0, 0.0])
    cosine = (4 * (1 - math.sqrt(0.5)) + 2) / 5
    assert distilbert_loss(one, other, weights=(0, 0, 1)).item() == pytest.approx(cosine)
    scores = 5 * hinton_loss(one, other, alpha=1) + 2 * hinton_loss(one, other, alpha=0)
    torch.testing.assert_close(distilbert_loss(one, other), scores + cosine)


def test_pkd_by_hand():
    one, other = seen(2, 0, width=2), seen(4, 1, width=2)
    one.hidden[1][:, 0], other.hidden[2][:, 0] = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 5.0])
    other.hidden[3][:, 0] = torch.tensor([3.0, 4.0])
    scores = hinton_loss(one, other, temperature=5.0, alpha=0.5)
    expected = scores + 10 * (0.6**2 + 0.2**2)
    torch.testing.assert_close(pkd_loss(one, other, skip_layers(2, 4), beta=10.0), expected)
    torch.testing.assert_close(pkd_loss(one, other, last_layers(2, 4), beta=10.0), scores)


def test_tinybert_by_hand():
    one, other = seen(2, 0), seen(4, 1)
    for m, hidden in enumerate(one.hidden):
        hidden[:] = other.hidden[2 * m] + m + 1
        hidden[1, 2] = 99.0  # padding
    one.attention[1][:] = other.attention[3]
    one.attention[0][0, :, :, :] = torch.tensor([0.5, 0.25, 0.25])
    other.attention[1][0, :, :, :] = torch.tensor([0.25, 0.5, 0.25])
    one.attention[0][1], other.attention[1][1] = one.attention[1][1], other.attention[3][1]
    terms = tinybert_losses(one, other, skip_layers(2, 4), stage="task")
    assert list(terms) == ["embedding", "hidden", "attention", "prediction"]
    assert terms["embedding"].item() == pytest.approx(1.0)
    assert terms["hidden"].item() == pytest.approx(4.0 + 9.0)
    # one key's score is ln 2 higher, another's ln 2 lower; in 9 of 13 pairs, a third of them each
    assert terms["attention"].item() == pytest.approx(9 / 13 * 2 / 3 * math.log(2) ** 2)
    torch.testing.assert_close(terms["prediction"], hinton_loss(one, other, temperature=1, alpha=1))
    general = tinybert_losses(one, other, skip_layers(2, 4))
    torch.testing.assert_close(tinybert_loss(one, other, skip_layers(2, 4)), sum(general.values()))
    assert list(general) == ["embedding", "hidden", "attention"]


def test_centred_scores_are_those_before_the_softmax_less_their_mean():
    model = tiny_bert().double()
    with capture(model) as record:
        model(random_ids(model, 2, 5))
    layer = model.encoder.blocks[0].attention
    query, key = (f(record.hidden[0]).unflatten(-1, (2, 6)).transpose(1, 2) for f in (layer.query, layer.key))
    scores = query @ key.transpose(-2, -1) / math.sqrt(6)
    expected = scores - scores.mean(-1, keepdim=True)
    torch.testing.assert_close(centred_scores(record.attention[0], torch.ones(2, 5, 5) > 0), expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_each_gradient_is_that_of_finite_differences(method, temperature):
    one, other = seen(2, 0), seen(4, 1)
    options = METHODS[method] | ({} if method is tinybert_loss else {"temperature": temperature})
    inputs = [x.requires_grad_() for x in (one.logits, *one.hidden, *one.attention)]

    def loss(logits, *inside):
        return method(one._replace(logits=logits, hidden=inside[:3], attention=inside[3:]), other, **options)

    assert torch.autograd.gradcheck(loss, inputs)


# What does not fit


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pkd_loss(seen(3, 0), seen(2, 1), (1, 2, 2)), "as many as its teacher, 2; got 3"),
        (lambda: pkd_loss(seen(2, 0), seen(4, 1), (2,)), r"each of the student's 2 layers; got \(2,\)"),
        (lambda: pkd_loss(seen(2, 0), seen(4, 1), (0, 4)), r"layers are 1 to 4; got 0 in \(0, 4\)"),
        (lambda: tinybert_losses(seen(2, 0), seen(4, 1), (2, 5)), r"layers are 1 to 4; got 5 in \(2, 5\)"),
        (lambda: pkd_loss(seen(1, 0), seen(4, 1), (4,)), "the student must have 2 layers or more, .* got 1"),
        (lambda: tinybert_losses(seen(2, 0), seen(4, 1), (2, 4), stage="both"), "general, task; got 'both'"),
        (lambda: hinton_loss(seen(2, 0), seen(2, 1), alpha=1.5), r"alpha must be in \[0, 1\]; got 1.5"),
        (lambda: soft_target_loss(torch.ones(2, 3), torch.ones(2, 4), 1), r"same classes; got \(2, 4\) and \(2, 3\)"),
        (
            lambda: soft_target_loss(torch.ones(2, 3), torch.ones(2, 3), 1, torch.zeros(3)),
            r"must be \(2,\); got \(3,\)",
        ),
        (lambda: soft_target_loss(torch.ones(0, 3), torch.ones(0, 3), 1), "a position with a target"),
        (lambda: distilbert_loss(seen(2, 0), seen(2, 1, width=5)), r"widths 5 and 3 .* Student\(model, 5\)"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature must be positive and finite; got {temperature}"):
        soft_target_loss(torch.ones(2, 3), torch.ones(2, 3), temperature)


@pytest.mark.parametrize(
    "weights", [(5.0, 2.0), (5.0, 2.0, 1.0, 1.0), (-5.0, 2.0, 1.0), (1.0, math.nan, 1.0), ("5", 2.0, 1.0)]
)
def test_weights_that_leave_out_or_turn_around_a_term_are_refused(weights):
    message = "weights must be three" if len(weights) != 3 else r"weights\[.\] must be a number, at least 0 and finite"
    with pytest.raises(ValueError, match=message):
        distilbert_loss(seen(2, 0), seen(2, 1), weights=weights)


@pytest.mark.parametrize("beta", [-1.0, math.nan, math.inf, True])
def test_a_weight_of_patience_that_turns_it_around_is_refused(beta):
    with pytest.raises(ValueError, match=f"beta must be a number, at least 0 and finite; got {beta}"):
        pkd_loss(seen(2, 0), seen(2, 1), layers=(1, 2), beta=beta)
