"""Checkpoints of XLNet as they are found in the world; what cannot be used is refused by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import tiny_xlnet

from companion.checkpoints import WEIGHTS, CheckpointError
from companion.models.xlnet import XLNet


@pytest.fixture
def folder(tmp_path):
    tiny_xlnet().save_pretrained(tmp_path)
    return tmp_path


def edit(folder, change=None, **fields):
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))
    if change:
        save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def same(model, other):
    return all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_a_bare_model_has_no_prefix_and_no_bias_of_the_logits(folder):
    edit(folder, lambda t: {n.removeprefix("transformer."): v for n, v in t.items() if not n.startswith("lm_loss")})
    expected = tiny_xlnet()
    torch.nn.init.zeros_(expected.unembedding.bias)
    assert same(XLNet.from_pretrained(folder), expected)


def test_a_tied_file_may_store_its_output_matrix_again(folder):
    edit(folder, lambda t: t | {"lm_loss.weight": t["transformer.word_embedding.weight"].clone()})
    assert same(XLNet.from_pretrained(folder), tiny_xlnet())


def test_the_first_configurations_called_the_vocabulary_otherwise(folder):
    edit(folder, vocab_size=..., n_token=31, untie_r=True, d_head=..., attn_type=...)
    assert same(XLNet.from_pretrained(folder), tiny_xlnet())


@pytest.mark.parametrize(
    ("field", "value"),
    [("attn_type", "uni"), ("bi_data", True), ("same_length", True), ("clamp_len", 5), ("d_head", 4)],
)
def test_a_variant_that_the_model_lacks_is_refused(folder, field, value):
    edit(folder, **{field: value})
    with pytest.raises(CheckpointError, match=f"sets {field} to {value!r}"):
        XLNet.from_pretrained(folder)


def test_an_unknown_activation_is_refused(folder):
    edit(folder, ff_activation="silu")
    with pytest.raises(CheckpointError, match="ff_activation must be one of .*; got 'silu'"):
        XLNet.from_pretrained(folder)


def test_another_family_is_refused(folder):
    edit(folder, model_type="bert")
    with pytest.raises(CheckpointError, match="is of the family 'bert'; this class loads 'xlnet'"):
        XLNet.from_pretrained(folder)


def test_a_missing_field_is_named(folder):
    edit(folder, n_layer=...)
    with pytest.raises(CheckpointError, match="lacks the field 'n_layer'"):
        XLNet.from_pretrained(folder)


def test_a_missing_tensor_is_named(folder):
    edit(folder, lambda t: {n: v for n, v in t.items() if not n.endswith("layer.1.rel_attn.r")})
    with pytest.raises(CheckpointError, match="lacks the tensor 'layer.1.rel_attn.r'"):
        XLNet.from_pretrained(folder)


def test_an_unexpected_tensor_is_named(folder):
    edit(folder, lambda t: t | {"logits_proj.bias": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="unexpected tensors: 'logits_proj.bias"):
        XLNet.from_pretrained(folder)


def test_a_tensor_of_another_size_is_told_with_both(folder):
    edit(folder, lambda t: t | {"transformer.layer.0.rel_attn.q": torch.zeros(12, 3, 4)})
    with pytest.raises(CheckpointError, match=r"rel_attn.q' .* shape \(12, 3, 4\); config.json asks for \(12, 2, 6\)"):
        XLNet.from_pretrained(folder)
