"""Mixtures of fine-grained experts are those of transformers, and a bias balances them."""

from typing import Any

import pytest
import torch
from families import stir

from companion.nn.mixture_of_experts import BiasBalancedMixture, MixtureOfExperts, active_parameters, record_routing

SHAPES = [(6, 4, 8, 2), (10, 7, 5, 1), (12, 3, 16, 6)]  # d_model, width of an expert, experts, experts per token


def load_experts(ours: MixtureOfExperts, theirs: Any) -> None:
    """Copy the fused matrices of transformers into our experts, and the router."""
    ours.router.weight.data = theirs.gate.weight.data
    for expert, both, down in zip(ours.experts, theirs.experts.gate_up_proj, theirs.experts.down_proj, strict=True):
        expert.gate.weight.data, expert.expand.weight.data = both.data.chunk(2)
        expert.contract.weight.data = down.data


def sizes_of(d_model: int, d_ff: int, n_experts: int, k: int) -> dict[str, Any]:
    sizes = {"hidden_size": d_model, "moe_intermediate_size": d_ff, "num_experts_per_tok": k}
    return sizes | {"norm_topk_prob": True, "experts_implementation": "eager"}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mixture_of_deepseek_v3_is_ours(shape):
    import transformers
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE

    torch.manual_seed(0)
    config = transformers.DeepseekV3Config(
        **sizes_of(*shape), n_routed_experts=shape[2], n_shared_experts=2, n_group=1, topk_group=1
    )
    theirs = DeepseekV3MoE(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    theirs.gate.e_score_correction_bias.copy_(torch.randn(shape[2]))
    ours = BiasBalancedMixture(*shape, n_shared=2, scale=config.routed_scaling_factor).eval()
    load_experts(ours, theirs)
    ours.bias.copy_(theirs.gate.e_score_correction_bias)
    for name, of in (("gate", "gate_proj"), ("expand", "up_proj"), ("contract", "down_proj")):
        getattr(ours.shared, name).weight.data = getattr(theirs.shared_experts, of).weight.data
    x = torch.randn(3, 7, shape[0]).double()
    assert torch.allclose(ours.double()(x), theirs.double()(x), atol=1e-4)  # theirs routes in single precision


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mixture_of_qwen3_is_ours(shape):
    import transformers
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

    torch.manual_seed(0)
    theirs = Qwen3MoeSparseMoeBlock(transformers.Qwen3MoeConfig(**sizes_of(*shape), num_experts=shape[2])).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    ours = MixtureOfExperts(*shape).eval()
    load_experts(ours, theirs)
    x = torch.randn(3, 7, shape[0]).double()
    assert torch.allclose(ours.double()(x), theirs.double()(x), atol=1e-4)  # theirs routes in single precision


def mixture() -> tuple[BiasBalancedMixture, torch.Tensor]:
    torch.manual_seed(0)
    layer = BiasBalancedMixture(6, 4, n_experts=8, experts_per_token=2, scale=2.5)
    stir(layer)
    return layer, torch.randn(2, 9, 8)


def test_the_bias_decides_who_works_and_not_how_much_is_said():
    layer, logits = mixture()
    before, chosen = layer.route(logits)
    layer.bias += 7.0  # the same for all: nobody else is chosen
    after, again = layer.route(logits)
    assert torch.equal(chosen, again)
    assert torch.equal(before, after)
    layer.bias[3] += 9.0
    weights, chosen = layer.route(logits)
    assert (chosen == 3).any(-1).all()
    torch.testing.assert_close(weights.sum(-1), torch.full((2, 9), 2.5))


def test_rebalancing_moves_loads_towards_each_other():
    layer, logits = mixture()
    logits = logits + torch.linspace(-2, 2, 8)
    first = layer.rebalance(logits, rate=0.02)
    for _ in range(60):
        last = layer.rebalance(logits, rate=0.02)
    assert first.sum() == pytest.approx(1)
    assert last.std() < first.std() / 2


def test_shared_experts_work_for_every_token():
    layer, _ = mixture()
    x = torch.randn(2, 3, 6)
    routed = MixtureOfExperts.forward(layer, x)
    torch.testing.assert_close(layer(x) - routed, layer.shared(x))
    with record_routing(layer) as logits:
        layer(x)
    assert logits[0].shape == (2, 3, 8)
    assert active_parameters(layer) == sum(p.numel() for p in layer.parameters()) - 6 * 3 * 6 * 4


def test_a_mixture_without_shared_experts_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        BiasBalancedMixture(6, 4, 8, 2, n_shared=0)
