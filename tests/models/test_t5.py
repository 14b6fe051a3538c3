"""T5 reads without its padding, writes without looking ahead, and goes by distances alone."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import random_ids, stir

from companion.checkpoints import WEIGHTS, CheckpointError
from companion.models.t5 import T5, T5Config

TINY = {"vocab_size": 31, "n_layers": 2, "n_heads": 2, "d_model": 12, "context_length": 16}
T5_1_1 = {"gated": True, "tied": False, "d_head": 5, "n_decoder_layers": 1}
KINDS = pytest.mark.parametrize("sizes", [{}, T5_1_1], ids=["T5", "T5 1.1"])


def tiny_t5(seed: int = 0, **sizes) -> T5:
    torch.manual_seed(seed)
    model = T5(T5Config(**TINY | sizes)).eval()
    stir(model)
    return model


def error(ours, theirs):
    return (ours - theirs).abs().max().item()


# What has no influence


@KINDS
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_of_the_source_has_no_influence(sizes, side):
    model = tiny_t5(**sizes)
    ids, target = random_ids(model, 2, 10), random_ids(model, 2, 6, seed=1)
    real = torch.ones(2, 10, dtype=torch.bool)
    real[1, slice(0, 3) if side == "left" else slice(7, 10)] = False
    changed = torch.where(real, ids, (ids + 5) % 31)
    assert torch.equal(model(ids, target, real), model(changed, target, real))


@KINDS
def test_a_padded_source_gives_the_same_scores_as_without_padding(sizes):
    model = tiny_t5(**sizes)
    ids, target = random_ids(model, 1, 7), random_ids(model, 1, 6, seed=1)
    expected = model(ids, target)
    filler = random_ids(model, 1, 4, seed=2)
    mask = torch.ones(1, 7, dtype=torch.bool), torch.zeros(1, 4, dtype=torch.bool)
    after = model(torch.cat([ids, filler], 1), target, torch.cat(mask, 1))
    before = model(torch.cat([filler, ids], 1), target, torch.cat(mask[::-1], 1))
    assert max(error(after, expected), error(before, expected)) < 1e-5


@KINDS
def test_later_tokens_of_the_target_never_change_earlier_logits(sizes):
    model = tiny_t5(**sizes)
    ids, target = random_ids(model, 3, 8), random_ids(model, 3, 9, seed=1)
    expected = model(ids, target)
    for first_changed in range(1, 9):
        changed = torch.cat([target[:, :first_changed], (target[:, first_changed:] + 7) % 31], dim=1)
        assert error(model(ids, changed)[:, :first_changed], expected[:, :first_changed]) < 1e-6


@KINDS
def test_every_token_of_the_source_and_every_earlier_one_of_the_target_matters(sizes):
    model = tiny_t5(**sizes)
    ids, target = random_ids(model, 1, 8), random_ids(model, 1, 5, seed=1)
    last = model(ids, target)[:, -1]
    for which, texts in enumerate((ids, target)):
        for place in range(texts.size(1)):
            changed = [ids, target]
            changed[which] = texts.clone()
            changed[which][0, place] = (texts[0, place] + 3) % 31
            assert error(model(*changed)[:, -1], last) > 1e-4


def test_a_source_of_nothing_but_padding_gives_finite_logits_and_gradients():
    model = tiny_t5()
    real = torch.ones(2, 6, dtype=torch.bool)
    real[1] = False
    logits = model(random_ids(model, 2, 6), random_ids(model, 2, 4), real)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@KINDS
def test_every_parameter_gets_a_gradient(sizes):
    model = tiny_t5(**sizes)
    model(random_ids(model, 2, 9), random_ids(model, 2, 7)).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


# Distances; their buckets are tested in tests/nn/test_relative_bias.py


def test_a_text_longer_than_a_cache_is_read():
    model = tiny_t5()
    assert model(random_ids(model, 1, 300), random_ids(model, 1, 40)).shape == (1, 40, 31)


def test_without_its_bias_an_encoder_does_not_know_the_order_of_words():
    model = tiny_t5()
    ids, order = random_ids(model, 1, 9), torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert error(model.encode(ids)[:, order], model.encode(ids[:, order])) > 1e-2
    torch.nn.init.zeros_(model.encoder.relative_bias.table.weight)
    assert error(model.encode(ids)[:, order], model.encode(ids[:, order])) < 1e-5


# The cache


@KINDS
@pytest.mark.parametrize("padded", [False, True])
def test_writing_with_a_cache_gives_the_same_logits(sizes, padded):
    model = tiny_t5(**sizes)
    ids, target = random_ids(model, 2, 7), random_ids(model, 2, 12, seed=1)
    real = torch.ones(2, 7, dtype=torch.bool)
    real[1, 4:] = not padded
    memory = model.encode(ids, real)
    expected = model.decode(target, memory, real)
    for sizes_of_steps in ([1] * 12, [5, 1, 6], [12]):
        cache = model.new_cache(memory.size(1))
        parts = [model.decode(part, memory, real, cache) for part in target.split(sizes_of_steps, dim=1)]
        assert error(torch.cat(parts, 1), expected) < 1e-5


def test_a_cache_that_is_full_says_so():
    model = tiny_t5()
    memory = model.encode(random_ids(model, 1, 3))
    with pytest.raises(ValueError, match="the cache holds 16 positions; 17 were asked for"):
        model.decode(random_ids(model, 1, 17), memory, cache=model.new_cache(3))


# Bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long)), "ids must be .*neither of them 0"),
        ((torch.zeros(3, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long)), r"ids must be \(batch, length\)"),
        (
            (torch.full((2, 3), 31), torch.zeros(2, 3, dtype=torch.long)),
            "token id 31 is outside the vocabulary, 0 to 30",
        ),
        ((torch.zeros(2, 3, dtype=torch.long), torch.full((2, 3), -1)), "token id -1 is outside the vocabulary"),
        ((torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 0, dtype=torch.long)), "decoder_ids must be"),
        (
            (torch.zeros(2, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long)),
            "source and target must have as many rows; got 2 and 1",
        ),
        (
            (torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 4).bool()),
            r"attention_mask must be \(batch, length\) = \(2, 3\); got \(2, 4\)",
        ),
    ],
    ids=["empty source", "rank", "above", "below", "empty target", "rows", "mask"],
)
def test_what_cannot_be_read_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        tiny_t5()(*arguments)


def test_a_mask_that_is_not_boolean_is_refused():
    ids = torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(TypeError, match="attention_mask must be boolean, True = a real token; got torch.int64"):
        tiny_t5()(ids, ids, torch.ones(2, 3, dtype=torch.long))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"vocab_size": 0}, "vocab_size must be at least 1; got 0"),
        ({"n_decoder_layers": 0}, "n_decoder_layers must be at least 1; got 0"),
        ({"d_head": 0}, "d_head must be at least 1; got 0"),
        ({"d_ff": -2}, "d_ff must be at least 1; got -2"),
        ({"context_length": 0}, "context_length must be at least 1; got 0"),
        ({"n_heads": 5}, "d_model must be a multiple of n_heads; got 12 and 5"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
        ({"start_id": 31}, "start_id must be in the vocabulary, 0 to 30; got 31"),
        ({"norm_eps": -1.0}, "eps not negative; got 12 and -1.0"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        tiny_t5(**sizes)


def test_a_head_may_be_of_any_width_when_it_is_given():
    model = tiny_t5(n_heads=5, d_head=3)
    assert model.encoder.blocks[0].attention.query.weight.shape == (15, 12)


# Beginnings


@KINDS
def test_the_initial_weights_are_as_large_as_those_of_transformers(sizes):
    from transformers import T5Config as TheirConfig
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    ours = T5(T5Config(**TINY | {"d_model": 64, "n_heads": 4, "d_head": 24, "vocab_size": 99, "tied": True} | sizes))
    kind = {"feed_forward_proj": "gated-gelu"} if sizes else {}
    common = {"d_model": 64, "num_heads": 4, "d_kv": ours.config.d_head, "vocab_size": 99, "d_ff": 256}
    layers = {"num_layers": 2, "num_decoder_layers": ours.config.n_decoder_layers}
    theirs = T5ForConditionalGeneration(TheirConfig(**common, **layers, **kind))
    from companion.checkpoints.t5 import layout

    expected = dict(theirs.named_parameters())
    parameters = dict(ours.named_parameters())
    for rule in layout(ours.config).rules:
        if rule.theirs == "lm_head.weight":  # the library ties it; T5 1.1's release draws it like the embedding
            assert ours.unembedding.weight.std().item() == pytest.approx(1, rel=0.1)
        else:
            std = expected[rule.theirs].std().item()
            assert rule.join(parameters).std().item() == pytest.approx(std, rel=0.25), rule.theirs


def test_dropout_acts_in_training_only():
    model = tiny_t5(dropout=0.5)
    ids = random_ids(model, 2, 6)
    assert torch.equal(model(ids, ids), model(ids, ids))
    model.train()
    assert not torch.equal(model(ids, ids), model(ids, ids))


# Checkpoints


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
    with pytest.raises(
        CheckpointError, match=f"sets feed_forward_proj to '{kind}'; this T5 has 'relu' and 'gated-gelu'"
    ):
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


def test_an_untied_checkpoint_without_output_matrix_is_refused(folder):
    edit_config(folder, tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match="lacks the tensor 'lm_head.weight'"):
        T5.from_pretrained(folder)


def test_unexpected_tensors_are_named(folder):
    edit_weights(folder, lambda t: t.update({"encoder.block.0.layer.0.SelfAttention.q.bias": torch.ones(2)}))
    with pytest.raises(
        CheckpointError, match=r"unexpected tensors: encoder\.block\.0\.layer\.0\.SelfAttention\.q\.bias"
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
