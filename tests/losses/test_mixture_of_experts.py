"""The causal loss with load balancing: what it adds up, and that training lowers it."""

import torch
from small_models import random_ids, stir

from companion.data.batch import IGNORED
from companion.losses import causal_loss
from companion.losses.mixture_of_experts import causal_loss_with_load_balancing
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.mixture_of_experts import load_balancing_loss, record_routing
from companion.training import Optimization, Runtime, fit

SIZES = {"vocab_size": 31, "context_length": 16, "n_layers": 2, "n_heads": 2, "d_model": 12, "d_ff": 8}


def decoder(**sizes):
    torch.manual_seed(0)
    model = ModernDecoder(ModernConfig(**SIZES | {"family": "mixtral", "n_experts": 4} | sizes)).eval()
    stir(model)
    return model


def test_the_balanced_loss_is_the_causal_one_and_the_weighted_balance_of_real_tokens():
    model = decoder()
    ids = random_ids(model, 2, 9)
    ids[1, 6:] = IGNORED
    with record_routing(model) as logits:
        loss = causal_loss(model, ids)
    expected = loss + 0.3 * load_balancing_loss(logits, 2, ids[:, :-1] != IGNORED)
    torch.testing.assert_close(causal_loss_with_load_balancing(model, ids, weight=0.3), expected)


def test_training_lowers_the_loss_with_muon_on_every_expert():
    model = decoder()
    before = {name: p.clone() for name, p in model.named_parameters()}
    ids = random_ids(model, 8, 12)
    history = fit(
        model,
        [ids],
        steps=20,
        loss=causal_loss_with_load_balancing,
        optimization=Optimization("muon"),
        runtime=Runtime(device="cpu"),
        progress=False,
    )
    assert history.loss[-1] < history.loss[0]
    assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())
