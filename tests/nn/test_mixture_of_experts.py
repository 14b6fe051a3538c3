"""A mixture of experts: which are chosen, their weights, and the loss of an uneven choice."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT, random_ids, stir

from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.feed_forward import SwiGLU
from companion.nn.mixture_of_experts import (
    MixtureOfExperts,
    active_parameters,
    load_balancing_loss,
    record_routing,
    routed,
)

SIZES = {"vocab_size": 31, "context_length": 16, "n_layers": 2, "n_heads": 2, "d_model": 12, "d_ff": 8}


def mixture(n_experts=4, experts_per_token=2, seed=0):
    torch.manual_seed(seed)
    made = MixtureOfExperts(6, 5, n_experts, experts_per_token)
    stir(made)
    return made, torch.randn(2, 7, 6)


def decoder(**sizes):
    torch.manual_seed(0)
    model = ModernDecoder(ModernConfig(**SIZES | {"family": "mixtral", "n_experts": 4} | sizes)).eval()
    stir(model)
    return model


# Who is chosen


@PATIENT
@given(st.integers(1, 8), st.data())
def test_weights_are_the_softmax_of_the_highest_scores_alone(n_experts, data):
    k = data.draw(st.integers(1, n_experts))
    logits = torch.randn(3, 5, n_experts, generator=torch.Generator().manual_seed(n_experts))
    weights, chosen = routed(logits, k)
    best = logits.topk(k)
    assert torch.equal(chosen, best.indices)
    torch.testing.assert_close(weights, best.values.softmax(-1))
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 5))


def test_each_token_gets_the_weighted_sum_of_its_experts():
    made, x = mixture()
    y = made(x)
    weights, chosen = routed(made.router(x), 2)
    for row in range(2):
        for t in range(7):
            pairs = zip(weights[row, t], chosen[row, t], strict=True)
            expected = sum(weight * made.experts[int(e)](x[row, t]) for weight, e in pairs)
            torch.testing.assert_close(y[row, t], expected)


def test_one_expert_is_a_plain_network():
    made, x = mixture(n_experts=1, experts_per_token=1)
    torch.testing.assert_close(made(x), made.experts[0](x))


def test_experts_that_are_not_chosen_have_no_influence():
    made, x = mixture(n_experts=6)
    token = x[:1, :1]
    before = made(token)
    _, chosen = routed(made.router(token), 2)
    with torch.no_grad():
        for number, expert in enumerate(made.experts):
            if number not in chosen.flatten().tolist():
                for parameter in expert.parameters():
                    parameter.fill_(torch.nan)
    assert torch.equal(made(token), before)


def test_gradients_reach_the_chosen_experts_and_the_router():
    made, x = mixture(n_experts=6)
    token = x[:1, :1]
    made(token).sum().backward()
    _, chosen = routed(made.router(token), 2)
    moved = {n for n, expert in enumerate(made.experts) if any(p.grad.abs().sum() > 0 for p in expert.parameters())}
    assert moved == set(chosen.flatten().tolist())
    assert made.router.weight.grad.abs().sum() > 0


def test_tokens_do_not_mix():
    made, x = mixture()
    changed = x.clone()
    changed[0, 3] += 1
    moved = (made(changed) - made(x)).abs().amax(-1) > 0
    assert moved.nonzero().tolist() == [[0, 3]]


@pytest.mark.parametrize("numbers", [(4, 0), (4, 5), (0, 1)])
def test_using_none_or_more_than_there_are_is_refused(numbers):
    with pytest.raises(ValueError, match=f"experts_per_token must be 1 to n_experts; got {numbers[1]}"):
        MixtureOfExperts(6, 5, *numbers)


def test_active_parameters_leave_the_idle_experts_out():
    model = decoder(n_experts=5, experts_per_token=2)
    total = sum(p.numel() for p in model.parameters())
    expert = sum(p.numel() for p in SwiGLU(12, 8).parameters())
    assert active_parameters(model) == total - 2 * 3 * expert
    plain = ModernDecoder(ModernConfig(**SIZES))
    assert active_parameters(plain) == sum(p.numel() for p in plain.parameters())


# Watching the routers


def test_the_last_run_is_recorded_layer_by_layer_and_watching_changes_nothing():
    model = decoder()
    ids = random_ids(model, 2, 6)
    expected = model(ids)
    with record_routing(model) as logits:
        model(ids[:, :3])
        assert torch.equal(model(ids), expected)
    assert [tuple(layer.shape) for layer in logits] == [(2, 6, 4)] * 2
    model(ids[:, :2])
    assert logits[0].size(1) == 6  # no longer watched


def test_a_model_without_experts_is_refused():
    with (
        pytest.raises(ValueError, match="ModernDecoder has no mixture of experts"),
        record_routing(ModernDecoder(ModernConfig(**SIZES))),
    ):
        pass


# Balance


@PATIENT
@given(st.integers(2, 8), st.data())
def test_the_balance_loss_is_that_of_transformers(n_experts, data):
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    k = data.draw(st.integers(1, n_experts))
    logits = torch.randn(3, 2, 7, n_experts, generator=torch.Generator().manual_seed(k))
    real = torch.arange(7) < torch.tensor([[7], [4]])
    for mask in (None, real):
        theirs = load_balancing_loss_func(
            tuple(logits.flatten(1, 2)), n_experts, k, None if mask is None else mask.long()
        )
        torch.testing.assert_close(load_balancing_loss(list(logits), k, mask), theirs)


def test_an_even_choice_costs_the_number_of_experts_a_token_uses_and_a_uniform_one_that_of_experts():
    even = 20 * torch.eye(4).repeat(3, 1)[None]  # each expert is one token's favourite, equally often
    assert load_balancing_loss([even], 1).item() == pytest.approx(1.0, abs=1e-4)
    uneven = torch.tensor([20.0, 0, 0, 0]).expand(1, 12, 4)
    assert load_balancing_loss([uneven], 1).item() == pytest.approx(4.0, abs=1e-4)


def test_layers_that_each_crowd_another_expert_balance_each_other_in_the_pooled_loss_and_not_layer_by_layer():
    layers = [20 * torch.eye(4)[expert].expand(1, 12, 4) for expert in range(4)]
    assert load_balancing_loss(layers, 1).item() == pytest.approx(1.0, abs=1e-4)
    assert sum(load_balancing_loss([layer], 1).item() for layer in layers) == pytest.approx(4 * 4.0, abs=1e-3)


def test_its_gradient_moves_tokens_away_from_a_crowded_expert():
    logits = torch.tensor([1.0, 0, 0, 0]).expand(1, 12, 4).clone().requires_grad_()
    load_balancing_loss([logits], 1).backward()
    assert (logits.grad[..., 0] > 0).all()
    assert (logits.grad[..., 1:] < 0).all()


def test_padding_does_not_count():
    logits = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(0))
    real = torch.tensor([[True, True, True, True, False, False]])
    changed = torch.where(real[..., None], logits, 100.0)
    torch.testing.assert_close(load_balancing_loss([changed], 2, real), load_balancing_loss([logits[:, :4]], 2))


def test_no_layer_no_real_token_and_a_strange_mask_are_refused():
    logits = [torch.zeros(1, 4, 3)]
    with pytest.raises(ValueError, match="logits of at least one layer are needed; got none"):
        load_balancing_loss([], 1)
    with pytest.raises(ValueError, match="at least one token must be real"):
        load_balancing_loss(logits, 1, torch.zeros(1, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"attention_mask must be \(batch, length\) = \(1, 4\); got \(1, 3\)"):
        load_balancing_loss(logits, 1, torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(TypeError, match="attention_mask must be boolean"):
        load_balancing_loss(logits, 1, torch.ones(1, 4))
