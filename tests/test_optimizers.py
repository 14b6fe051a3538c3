"""Each parameter has one optimizer, and only matrices decay."""

import pytest
from models import tiny_gpt

from companion.optimizers import make_optimizers


def groups(model, name):
    names = {id(p): key for key, p in model.named_parameters()}
    return [
        (type(optimizer).__name__, group["weight_decay"], {names[id(p)] for p in group["params"]})
        for optimizer in make_optimizers(model, name, 1e-3, 0.1)
        for group in optimizer.param_groups
    ]


@pytest.mark.parametrize("tied", [True, False])
def test_matrices_decay_and_embeddings_norms_and_biases_do_not(tied):
    (_, decay, decaying), (_, no_decay, rest) = groups(tiny_gpt(tied=tied), "adamw")
    assert (decay, no_decay) == (0.1, 0.0)
    assert all(name.endswith("weight") for name in decaying)
    assert ("unembedding.weight" in decaying) == (not tied)
    assert {"token_embedding.weight", "position_embedding.weight", "final_norm.weight"} <= rest
    assert "blocks.0.attention.query.bias" in rest
    assert not any("norm" in name or "embedding" in name.replace("unembedding", "") for name in decaying)


def test_muon_takes_the_matrices_inside_the_blocks():
    *_, (kind, decay, hidden) = groups(tiny_gpt(), "muon")
    assert (kind, decay) == ("Muon", 0.1)
    kinds = ("query", "key", "value", "output", "expand", "contract")
    assert {name.split(".")[-2] for name in hidden} == set(kinds)
    assert len(hidden) == 2 * len(kinds)


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_belongs_to_one_group(name, tied):
    model = tiny_gpt(tied=tied)
    members = [key for *_, keys in groups(model, name) for key in keys]
    assert sorted(members) == sorted(dict(model.named_parameters()))


def test_frozen_parameters_belong_to_none():
    model = tiny_gpt()
    model.blocks[0].requires_grad_(False)
    members = {key for *_, keys in groups(model, "muon") for key in keys}
    assert members == {name for name, p in model.named_parameters() if not name.startswith("blocks.0.")}


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer must be 'adamw' or 'muon'; got 'sgd'"):
        make_optimizers(tiny_gpt(), "sgd", 1e-3, 0.1)
