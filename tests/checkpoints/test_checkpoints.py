"""Checkpoints go both ways between ``companion`` and ``transformers``; what cannot be used is refused by name."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from small_models import gpt2, random_ids, saved_gpt2, tiny_gpt
from transformers import BertConfig, BertModel, GPT2LMHeadModel

from companion.checkpoints import INDEX, WEIGHTS, CheckpointError
from companion.models.gpt import GPT


@pytest.fixture
def folder(tmp_path):
    return saved_gpt2(tmp_path / "gpt2")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No test asks the network; the hub's cache is an empty folder."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, edit):
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)


# There and back


@pytest.mark.parametrize("sizes", [{}, {"tied": False}, {"d_ff": 5}, {"activation": "relu", "norm_eps": 1e-3}], ids=str)
def test_transformers_loads_what_we_save(tmp_path, sizes):
    ours = tiny_gpt(**sizes)
    ours.save_pretrained(tmp_path)
    theirs, report = GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    ids = random_ids(ours, 2, 9)
    torch.testing.assert_close(ours(ids), theirs.eval()(ids).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("sizes", [{}, {"tied": False}, {"d_ff": 5}, {"dropout": 0.2}], ids=str)
def test_what_is_saved_is_loaded_again(tmp_path, sizes):
    model = tiny_gpt(**sizes)
    model.save_pretrained(tmp_path)
    again = GPT.from_pretrained(tmp_path)
    assert again.config == model.config
    assert same_weights(again, model)


def test_a_loaded_model_is_in_evaluation_mode(folder):
    assert not GPT.from_pretrained(folder).training


def test_a_path_may_be_a_string(folder):
    assert same_weights(GPT.from_pretrained(str(folder)), GPT.from_pretrained(folder))


def test_half_precision_files_halve_the_size_and_load_as_float32(tmp_path):
    model = tiny_gpt()
    model.save_pretrained(tmp_path / "full")
    model.save_pretrained(tmp_path / "half", dtype=torch.float16)
    assert {t.dtype for t in load_file(tmp_path / "half" / WEIGHTS).values()} == {torch.float16}
    again = GPT.from_pretrained(tmp_path / "half")
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    torch.testing.assert_close(again.token_embedding.weight, model.token_embedding.weight.half().float())


def test_saving_leaves_nothing_but_config_and_weights(tmp_path):
    tiny_gpt().save_pretrained(tmp_path / "new" / "folder")
    assert sorted(os.listdir(tmp_path / "new" / "folder")) == ["config.json", WEIGHTS]


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    old = tiny_gpt(seed=1)
    old.save_pretrained(tmp_path)

    def full_disk(path, content):
        path.open("wb").write(content[:9])
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full_disk)
        with pytest.raises(OSError, match="no space left"):
            tiny_gpt(seed=2, n_layers=1).save_pretrained(tmp_path)
    assert same_weights(GPT.from_pretrained(tmp_path), old)


# Files as they are found in the world


def test_sharded_checkpoints_are_put_together(tmp_path, folder):
    gpt2().save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    shards = list((tmp_path / "shards").glob("model-*.safetensors"))
    assert len(shards) > 1
    assert same_weights(GPT.from_pretrained(tmp_path / "shards"), GPT.from_pretrained(folder))


def test_saving_over_a_sharded_checkpoint_replaces_it(tmp_path):
    gpt2().save_pretrained(tmp_path, max_shard_size="10KB")
    model = tiny_gpt()
    model.save_pretrained(tmp_path)
    assert same_weights(GPT.from_pretrained(tmp_path), model)


def test_published_files_have_no_prefix_and_carry_causal_masks(folder):
    expected = GPT.from_pretrained(folder)
    tensors = {name.removeprefix("transformer."): t for name, t in load_file(folder / WEIGHTS).items()}
    for layer in range(2):
        tensors[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 24, 24).tril()
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(tensors, folder / WEIGHTS)
    assert same_weights(GPT.from_pretrained(folder), expected)


@pytest.mark.parametrize("wrapper", ["_orig_mod.", "module.", "module._orig_mod."])
def test_what_compile_or_data_parallel_put_before_the_names_is_taken_off(folder, wrapper):
    expected = GPT.from_pretrained(folder)
    save_file({wrapper + name: t for name, t in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    assert same_weights(GPT.from_pretrained(folder), expected)


def test_one_tensor_under_two_names_is_refused(folder):
    edit_weights(folder, lambda t: t.update({"wte.weight": t["transformer.wte.weight"] + 1}))
    with pytest.raises(CheckpointError, match=r"one tensor under two names, '(transformer\.)?wte\.weight' and"):
        GPT.from_pretrained(folder)


def test_a_tied_file_may_store_its_output_matrix_again(folder):
    expected = GPT.from_pretrained(folder)
    edit_weights(folder, lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"].clone()}))
    assert same_weights(GPT.from_pretrained(folder), expected)


def test_old_configs_without_the_newer_fields_load(folder):
    expected = GPT.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    kept = ("model_type", "vocab_size", "n_positions", "n_layer", "n_head", "n_embd", "layer_norm_epsilon")
    (folder / "config.json").write_text(json.dumps({name: config[name] for name in kept}))
    assert same_weights(GPT.from_pretrained(folder), expected)


def cache_of_the_hub(root, name, folder):
    """Lay a folder out as the hub's client does: blobs, a snapshot that links to them, and a ref to the snapshot."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = root / f"models--{name.replace('/', '--')}"
    snapshot, blobs, refs = repository / "snapshots" / commit, repository / "blobs", repository / "refs"
    for made in (snapshot, blobs, refs):
        made.mkdir(parents=True)
    (refs / "main").write_text(commit)
    for file in folder.iterdir():
        shutil.copy(file, blobs / file.name)
        (snapshot / file.name).symlink_to(blobs / file.name)


@pytest.mark.parametrize("name", ["someone/small-gpt2", "gpt2"])
@pytest.mark.parametrize("sharded", [False, True])
def test_a_hub_id_loads_from_the_local_cache(tmp_path, name, sharded):
    gpt2().save_pretrained(tmp_path / "made", max_shard_size="10KB" if sharded else "1GB")
    cache_of_the_hub(tmp_path / "hub", name, tmp_path / "made")
    assert same_weights(GPT.from_pretrained(name), GPT.from_pretrained(tmp_path / "made"))


# What is refused


def test_a_hub_id_that_is_not_there_is_refused_by_name():
    with pytest.raises(CheckpointError, match="there is no folder 'someone/nothing', and the hub did not give"):
        GPT.from_pretrained("someone/nothing")


@pytest.mark.parametrize("name", ["/no/such/folder", "three/part/name", "a name with spaces"])
def test_what_is_neither_a_folder_nor_an_id_is_refused(name):
    with pytest.raises(CheckpointError, match=f"there is no folder '{name}', and it is no model id"):
        GPT.from_pretrained(name)


def test_a_file_instead_of_a_folder_is_refused(folder):
    with pytest.raises(
        CheckpointError, match="is a file; give the folder that holds config.json and model.safetensors"
    ):
        GPT.from_pretrained(folder / WEIGHTS)


def test_a_folder_without_config_is_refused(folder):
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="has no config.json"):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("text", ["{", "", "not json"])
def test_a_config_that_is_not_json_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="config.json is not valid JSON"):
        GPT.from_pretrained(folder)


def test_another_family_is_refused_by_its_name(tmp_path):
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(**sizes, intermediate_size=8)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="of the family 'bert'; this class loads 'gpt2'"):
        GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize("config", ["{}", "[1, 2]", '"gpt2"'])
def test_a_config_of_no_family_is_refused(folder, config):
    (folder / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match="of the family None; this class loads 'gpt2'"):
        GPT.from_pretrained(folder)


def test_a_missing_size_is_named(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["n_embd"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="lacks the field 'n_embd'"):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx, which this GPT does not have"),
        ({"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn, which this GPT does not have"),
        ({"add_cross_attention": True}, "add_cross_attention, which this GPT does not have"),
        ({"scale_attn_weights": False}, "turns scale_attn_weights off"),
        (
            {"activation_function": "silu"},
            "activation_function must be one of 'gelu_new', .*; got 'silu'",
        ),
        ({"n_head": 4}, "d_model must be a multiple of n_heads; got 18 and 4"),
        ({"n_layer": "two"}, "config.json"),
        ({"quantization_config": {"load_in_8bit": True}}, "sets quantization_config; only weights in F64, F32"),
    ],
    ids=str,
)
def test_variants_that_would_compute_something_else_are_refused(folder, variant, words):
    edit_config(folder, **variant)
    with pytest.raises(CheckpointError, match=words):
        GPT.from_pretrained(folder)


def test_a_missing_tensor_is_named(folder):
    edit_weights(folder, lambda t: t.pop("transformer.h.1.mlp.c_fc.bias"))
    with pytest.raises(CheckpointError, match="lacks the tensor 'h.1.mlp.c_fc.bias'"):
        GPT.from_pretrained(folder)


def test_unexpected_tensors_are_named(folder):
    edit_weights(folder, lambda t: t.update({"transformer.h.0.adapter.weight": torch.ones(2)}))
    with pytest.raises(CheckpointError, match=r"unexpected tensors: 'h\.0\.adapter\.weight"):
        GPT.from_pretrained(folder)


def test_more_layers_than_the_config_says_are_refused(folder):
    edit_config(folder, n_layer=1)
    with pytest.raises(CheckpointError, match=r"unexpected tensors: 'h\.1\.attn"):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"vocab_size": 40}, r"'wte.weight' in .* is of shape \(41, 18\); config.json asks for \(40, 18\)"),
        ({"n_positions": 30}, r"'wpe.weight' in .* is of shape \(24, 18\); config.json asks for \(30, 18\)"),
        ({"n_inner": 9}, r"'h.0.mlp.c_fc.weight' in .* is of shape \(18, 72\); config.json asks for \(18, 9\)"),
    ],
    ids=str,
)
def test_a_size_mismatch_shows_both_shapes(folder, sizes, words):
    edit_config(folder, **sizes)
    with pytest.raises(CheckpointError, match=words):
        GPT.from_pretrained(folder)


def test_an_untied_checkpoint_without_output_matrix_is_refused(folder):
    edit_config(folder, tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match="lacks the tensor 'lm_head.weight'"):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("left", [0, 5, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(folder, left):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: left if isinstance(left, int) else int(left * len(whole))])
    with pytest.raises(CheckpointError, match="model.safetensors is truncated or not a safetensors file"):
        GPT.from_pretrained(folder)


def test_a_pointer_of_git_lfs_is_refused(folder):
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        GPT.from_pretrained(folder)


class Trap:
    """A pickle that, opened, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_a_pickle_is_named_and_never_opened(folder, tmp_path, name):
    sprung = tmp_path / "sprung"
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(CheckpointError, match=f"{name} is a pickle, which can run code and is never opened"):
        GPT.from_pretrained(folder)
    assert not sprung.exists()
    pickle.loads((folder / name).read_bytes())
    assert sprung.exists()  # the trap was armed


def test_a_pickle_under_the_name_of_the_weights_is_never_opened(folder, tmp_path):
    sprung = tmp_path / "sprung"
    (folder / WEIGHTS).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        GPT.from_pretrained(folder)
    assert not sprung.exists()


@pytest.fixture
def sharded(tmp_path):
    gpt2().save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    return tmp_path / "shards"


def edit_index(folder, shard):
    index = json.loads((folder / INDEX).read_text())
    first = next(iter(index["weight_map"]))
    index["weight_map"][first] = shard
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize("place", ["../x.safetensors", "sub/x.safetensors", "{absolute}"])
def test_a_shard_outside_the_folder_is_refused_though_it_exists(sharded, place):
    outside = sharded.parent / "x.safetensors"
    (sharded / "sub").mkdir()
    for path in (outside, sharded / "sub" / "x.safetensors"):
        save_file({"wte.weight": torch.ones(41, 18)}, path)
    edit_index(sharded, place.format(absolute=outside))
    with pytest.raises(CheckpointError, match=r"names the shard '.*x.safetensors', which is not in"):
        GPT.from_pretrained(sharded)


def test_a_missing_shard_is_named(sharded):
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"names the shard '{shard.name}', which is not in"):
        GPT.from_pretrained(sharded)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"weight_map": 3}', '{"weight_map": {"a": 1, "b": "x"}}'])
def test_an_index_that_is_none_is_refused(sharded, text):
    (sharded / INDEX).write_text(text)
    with pytest.raises(CheckpointError, match="is no index of shards|is not valid JSON"):
        GPT.from_pretrained(sharded)


@pytest.mark.parametrize("place", [None, 3, b"gpt2", ["gpt2"]], ids=str)
def test_what_is_no_place_of_a_checkpoint_is_named(place):
    with pytest.raises(TypeError, match="folder_or_hub_id must be a string or a Path; got"):
        GPT.from_pretrained(place)
