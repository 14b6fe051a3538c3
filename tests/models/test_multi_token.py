"""Multi-token prediction: each depth predicts one token further, from what its position may know and nothing else."""

import pytest
import torch
from small_models import random_ids, stir

from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.models.multi_token import MultiTokenDecoder

TINY = {"vocab_size": 31, "context_length": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 16}


def tiny(depth: int = 2) -> MultiTokenDecoder:
    torch.manual_seed(0)
    model = MultiTokenDecoder(ModernDecoder(ModernConfig(**TINY)), depth).eval()
    stir(model)
    return model


def test_it_answers_as_the_decoder_inside():
    model = tiny()
    ids = random_ids(model, 2, 9)
    assert torch.equal(model(ids), model.model(ids))
    torch.testing.assert_close(model.ahead(ids)[0], model(ids))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_each_depth_has_one_position_less(depth):
    shapes = [tuple(logits.shape) for logits in tiny(depth).ahead(torch.zeros(2, 7, dtype=torch.long))]
    assert shapes == [(2, 7 - k, 31) for k in range(depth + 1)]


def test_a_position_of_depth_k_depends_on_the_tokens_up_to_k_after_it_and_on_no_later_one():
    model = tiny(depth=2)
    ids = random_ids(model, 1, 10)
    expected = model.ahead(ids)
    for changed in range(10):
        other = ids.clone()
        other[0, changed] = (other[0, changed] + 7) % 31
        for k, (before, after) in enumerate(zip(expected, model.ahead(other), strict=True)):
            moved = (after - before).abs().amax(-1)[0] > 1e-6
            assert not moved[: max(changed - k, 0)].any()
            assert moved[max(changed - k, 0) :].all()


def test_a_module_computes_what_its_equations_say():
    model = tiny(depth=1)
    ids, module, body = random_ids(model, 1, 5), model.ahead_modules[0], model.model
    states = body.states(ids)

    def normed(x, norm):
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight

    rows = []
    for i in range(4):  # one position after the other, each with its own pair
        pair = torch.cat(
            [
                normed(states[0, i], module.state_norm),
                normed(body.token_embedding.weight[ids[0, i + 1]], module.token_norm),
            ]
        )
        rows.append(module.join.weight @ pair)
    rotation = body.rotations(torch.arange(4)[None])[0]
    further = module.block(torch.stack(rows)[None], rotation)
    expected = normed(further, module.final_norm) @ body.token_embedding.weight.T
    torch.testing.assert_close(model.ahead(ids)[1], expected)


def test_embedding_and_output_are_the_decoders():
    model = tiny()
    names = [name for name, _ in model.named_parameters()]
    assert sum(name.endswith("token_embedding.weight") for name in names) == 1
    assert not any("unembedding" in name for name in names)


def test_the_decoder_keeps_its_weights():
    body = ModernDecoder(ModernConfig(**TINY))
    before = [p.clone() for p in body.parameters()]
    MultiTokenDecoder(body, depth=1)
    assert all(torch.equal(p, q) for p, q in zip(body.parameters(), before, strict=True))


def test_a_depth_below_one_and_a_text_too_short_for_it_are_refused():
    with pytest.raises(ValueError, match="depth must be at least 1; got 0"):
        MultiTokenDecoder(ModernDecoder(ModernConfig(**TINY)), depth=0)
    with pytest.raises(ValueError, match=r"ids must be longer than the depth, 2; got \(1, 2\)"):
        tiny(depth=2).ahead(torch.zeros(1, 2, dtype=torch.long))
