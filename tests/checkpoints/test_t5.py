"""Checkpoints of T5 and T5 1.1 as they are found in the world; what cannot be used is refused by name."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import T5_1_1, tiny_t5

from companion.checkpoints import WEIGHTS, CheckpointError
from companion.models.t5 import T5

KINDS = pytest.mark.parametrize("sizes", [{}, T5_1_1], ids=["T5", "T5 1.1"])


@pytest.fixture
def folder(tmp_path) -> Path:
    tiny_t5(d_head=6, d_ff=20, n_decoder_layers=2).save_pretrained(tmp_path)
    return tmp_path


def edit_config(folder, **changes):
    path = folder / "config.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in content.items() if value != "gone"}))


def edit_weights(folder, edit):
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@KINDS
def test_what_is_saved_is_loaded_again(tmp_path, sizes):
    model = tiny_t5(**sizes)
    model.save_pretrained(tmp_path)
    again = T5.from_pretrained(tmp_path)
    assert same_weights(again, model)
    assert (again.config.context_length, again.config.start_id) == (16, 0)


def test_published_files_hold_the_embedding_again_and_a_bias_of_no_use(folder):
    expected = T5.from_pretrained(folder)

    def as_published(tensors):
        for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = tensors["shared.weight"].clone()
        useless = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        tensors[useless] = torch.ones(32, 2)

    edit_weights(folder, as_published)
    assert same_weights(T5.from_pretrained(folder), expected)


def test_old_configs_without_the_newer_fields_load(folder):
    expected = T5.from_pretrained(folder)
    names = ("num_decoder_layers", "feed_forward_proj", "tie_word_embeddings", "relative_attention_max_distance")
    edit_config(folder, **dict.fromkeys((*names, "decoder_start_token_id", "layer_norm_epsilon"), "gone"))
    again = T5.from_pretrained(folder)
    assert same_weights(again, expected)
    assert (again.config.max_distance, again.config.tied, again.config.gated) == (128, True, False)


def test_a_recent_file_of_t5_1_1_that_calls_itself_tied_is_not(tmp_path):
    expected = tiny_t5(**T5_1_1)
    expected.save_pretrained(tmp_path)
    edit_config(tmp_path, tie_word_embeddings=True, scale_decoder_outputs=False)  # as transformers 5 writes it
    again = T5.from_pretrained(tmp_path)
    assert not again.config.tied
    assert same_weights(again, expected)


@pytest.mark.parametrize("kind", ["gated-silu", "gelu", "gated-relu"])
def test_another_feed_forward_network_is_refused(folder, kind):
    edit_config(folder, feed_forward_proj=kind)
    with pytest.raises(CheckpointError, match=f"feed_forward_proj must be one of 'relu', 'gated-gelu'; got '{kind}'"):
        T5.from_pretrained(folder)


@pytest.mark.parametrize("name", ["d_kv", "num_layers", "vocab_size"])
def test_a_missing_size_is_named(folder, name):
    edit_config(folder, **{name: "gone"})
    with pytest.raises(CheckpointError, match=f"lacks the field '{name}'"):
        T5.from_pretrained(folder)


def test_another_family_is_refused(folder):
    edit_config(folder, model_type="mt5")
    with pytest.raises(CheckpointError, match="of the family 'mt5'; this class loads 't5'"):
        T5.from_pretrained(folder)


def test_sizes_that_make_no_model_are_refused(folder):
    edit_config(folder, relative_attention_num_buckets=2)
    with pytest.raises(CheckpointError, match="n_buckets must be at least 4, .*; got 2 and 128"):
        T5.from_pretrained(folder)


@pytest.mark.parametrize(
    "name",
    [
        "shared.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "decoder.block.1.layer.1.EncDecAttention.k.weight",
        "decoder.final_layer_norm.weight",
    ],
)
def test_a_missing_tensor_is_named(folder, name):
    edit_weights(folder, lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError, match=f"lacks the tensor '{name}'"):
        T5.from_pretrained(folder)


@pytest.mark.parametrize(
    "fields", [{"tie_word_embeddings": False, "scale_decoder_outputs": "gone"}, {"scale_decoder_outputs": False}]
)
def test_a_t5_1_1_without_output_matrix_is_tied_and_not_scaled(tmp_path, fields):
    from transformers import T5ForConditionalGeneration

    model = tiny_t5(gated=True, scaled=False)
    model.save_pretrained(tmp_path)
    edit_config(tmp_path, **fields)
    again = T5.from_pretrained(tmp_path)
    assert (again.config.tied, again.config.scaled) == (True, False)
    ids, decoder_ids = torch.tensor([[3, 1, 4]]), torch.tensor([[0, 5]])
    theirs = T5ForConditionalGeneration.from_pretrained(tmp_path).eval()(ids, decoder_input_ids=decoder_ids)
    torch.testing.assert_close(again(ids, decoder_ids), theirs.logits, rtol=0, atol=1e-5)


def test_an_output_matrix_that_is_not_the_embedding_is_used_whatever_the_config_says(folder):
    edit_weights(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["shared.weight"] + 1}))
    model = T5.from_pretrained(folder)
    assert (model.config.tied, model.config.scaled) == (False, True)
    torch.testing.assert_close(model.unembedding.weight, model.token_embedding.weight + 1)


def test_unexpected_tensors_are_named(folder):
    edit_weights(folder, lambda t: t.update({"encoder.block.0.layer.0.SelfAttention.q.bias": torch.ones(2)}))
    with pytest.raises(
        CheckpointError, match=r"unexpected tensors: 'encoder\.block\.0\.layer\.0\.SelfAttention\.q\.bias"
    ):
        T5.from_pretrained(folder)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"vocab_size": 30}, r"'shared.weight' in .* is of shape \(31, 12\); config.json asks for \(30, 12\)"),
        ({"d_kv": 4}, r"SelfAttention.q.weight' in .* is of shape \(12, 12\); config.json asks for \(8, 12\)"),
        ({"d_ff": 9}, r"DenseReluDense.wi.weight' in .* is of shape \(20, 12\); config.json asks for \(9, 12\)"),
    ],
    ids=str,
)
def test_a_size_mismatch_shows_both_shapes(folder, sizes, words):
    edit_config(folder, **sizes)
    with pytest.raises(CheckpointError, match=words):
        T5.from_pretrained(folder)
