"""Checkpoints of seven families go both ways; old and new forms load; what cannot be used is refused by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import random_ids, stir

from companion.checkpoints import WEIGHTS, CheckpointError
from companion.generation import GREEDY, generate
from companion.models.gpt import GPT, GPTConfig
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.positions import RopeScaling, YarnScaling, yarn_amplitude

SIZES = {"vocab_size": 31, "context_length": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 16}
KINDS = {
    "llama": {"tied": False},
    "llama, stretched as in 3.1": {"rope_scaling": RopeScaling(8.0, 8, 1.0, 4.0), "rope_base": 5e5},
    "llama, stretched in all": {"rope_scaling": RopeScaling(2.0)},
    "llama, YaRN": {"rope_scaling": YarnScaling(4.0, 8), "rope_base": 1e6},
    "qwen2, YaRN between pairs": {
        "family": "qwen2",
        "rope_scaling": YarnScaling(8.0, 8, 0.1, 2.0, attention_factor=1.5, truncate=False),
    },
    "qwen2": {"family": "qwen2"},
    "qwen2, windows in some layers": {"family": "qwen2", "window": 3, "full_layers": (0,)},
    "qwen3": {"family": "qwen3", "d_head": 6, "window": 5},
    "mistral": {"family": "mistral", "window": 4, "dropout": 0.1},
    "mistral without window": {"family": "mistral", "d_head": 2},
    "mixtral": {"family": "mixtral", "n_experts": 3, "experts_per_token": 1, "d_ff": 8, "tied": False},
    "stablelm": {"family": "stablelm", "rotary_fraction": 0.5, "norm_eps": 1e-3},
    "stablelm with biases, YaRN": {
        "family": "stablelm",
        "d_model": 32,
        "rotary_fraction": 0.75,
        "qkv_bias": True,
        "rope_scaling": YarnScaling(4.0, 8),
        "tied": False,
    },
    "gemma 3": {
        "family": "gemma3_text",
        "d_head": 6,
        "window": 3,
        "full_layers": (1,),
        "rope_base": 1e6,
        "local_rope_base": 1e4,
        "rope_scaling": RopeScaling(8.0),
        "query_pre_attn_scalar": 9,
        "final_softcap": 30.0,
    },
    "gemma 3, all layers full": {"family": "gemma3_text", "local_rope_base": 50.0, "tied": False},
}

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def tiny(**sizes):
    torch.manual_seed(0)
    model = ModernDecoder(ModernConfig(**SIZES | sizes)).eval()
    stir(model)
    return model


@pytest.fixture
def folder(tmp_path):
    tiny(tied=False).save_pretrained(tmp_path)
    return tmp_path


def edit_config(folder, *removed, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in config.items() if name not in removed}))


def edit_weights(folder, edit):
    tensors = load_file(folder / WEIGHTS)
    save_file(edit(tensors) or tensors, folder / WEIGHTS)


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


# There and back


@each_kind
def test_what_is_saved_is_loaded_again(tmp_path, kind):
    model = tiny(**kind)
    model.save_pretrained(tmp_path)
    again = ModernDecoder.from_pretrained(tmp_path)
    assert again.config == model.config
    assert same_weights(again, model)


@each_kind
def test_transformers_finds_the_class_by_itself_and_says_the_same(tmp_path, kind):
    from transformers import AutoModelForCausalLM

    ours = tiny(**kind)
    ours.save_pretrained(tmp_path)
    theirs, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    ids = random_ids(ours, 2, 12)
    torch.testing.assert_close(ours(ids), theirs.eval()(ids).logits, rtol=0, atol=1e-5)


def test_half_precision_files_load_as_float32(tmp_path):
    tiny().save_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in ModernDecoder.from_pretrained(tmp_path).parameters()} == {torch.float32}


# Files as they are found in the world


def test_old_files_carry_the_rotary_frequencies_of_each_layer(folder):
    expected = ModernDecoder.from_pretrained(folder)
    names = (f"model.layers.{layer}.self_attn.rotary_emb.inv_freq" for layer in range(2))
    edit_weights(folder, lambda tensors: tensors | {name: torch.rand(2) for name in names})
    assert same_weights(ModernDecoder.from_pretrained(folder), expected)


def test_a_bare_body_loads_when_the_output_is_tied(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    edit_weights(tmp_path, lambda tensors: {name.removeprefix("model."): t for name, t in tensors.items()})
    assert same_weights(ModernDecoder.from_pretrained(tmp_path), model)


def test_a_tied_file_may_store_its_output_matrix_again(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    edit_weights(tmp_path, lambda t: t | {"lm_head.weight": t["model.embed_tokens.weight"].clone()})
    assert same_weights(ModernDecoder.from_pretrained(tmp_path), model)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}
ROPE = {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 2.0, "original_max_position_embeddings": 8}


@pytest.mark.parametrize(
    ("form", "base", "scaling"),
    [
        ({}, 10_000.0, None),
        ({"rope_theta": 500000}, 5e5, None),
        ({"rope_theta": 1e6, "rope_scaling": None}, 1e6, None),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, 10_000.0, RopeScaling(2.0)),
        ({"rope_theta": 5e5, "rope_scaling": ROPE | {"rope_type": "llama3"}}, 5e5, RopeScaling(4.0, 8, 1.0, 2.0)),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, 1e6, None),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 7.0, "factor": 3.0}}, 7.0, RopeScaling(3.0)),
        (
            {"rope_parameters": ROPE | {"rope_type": "llama3", "rope_theta": 5e5}},
            5e5,
            RopeScaling(4.0, 8, 1.0, 2.0),
        ),
        ({"rope_theta": 5e5, "rope_scaling": YARN | {"beta_fast": None}}, 5e5, YarnScaling(4.0, 8)),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, 10_000.0, YarnScaling(4.0, 16)),
        ({"rope_scaling": YARN | {"factor": None}}, 10_000.0, YarnScaling(2.0, 8)),
        ({"original_max_position_embeddings": 4, "rope_scaling": YARN}, 10_000.0, YarnScaling(4.0, 4)),
        (
            {"rope_parameters": YARN | {"rope_theta": 7.0, "beta_fast": 2, "beta_slow": 0.5, "truncate": False}},
            7.0,
            YarnScaling(4.0, 8, 0.5, 2, truncate=False),
        ),
        (
            {"rope_parameters": YARN | {"rope_theta": 7.0, "attention_factor": 1.25, "mscale": 1.0}},
            7.0,
            YarnScaling(4.0, 8, attention_factor=1.25),
        ),
        (
            {"rope_parameters": YARN | {"rope_theta": 7.0, "mscale": 2.0, "mscale_all_dim": 1.0}},
            7.0,
            YarnScaling(4.0, 8, attention_factor=yarn_amplitude(4.0, 2.0) / yarn_amplitude(4.0)),
        ),
        ({"rope_parameters": YARN | {"rope_theta": 7.0, "mscale": 2.0}}, 7.0, YarnScaling(4.0, 8)),
    ],
    ids=str,
)
def test_rotary_parameters_are_read_where_each_version_put_them(folder, form, base, scaling):
    from transformers import AutoModelForCausalLM

    edit_config(folder, "rope_theta", "rope_scaling")
    edit_config(folder, **form)
    model = ModernDecoder.from_pretrained(folder)
    assert (model.config.rope_base, model.config.rope_scaling) == (base, scaling)
    ids = random_ids(model, 1, 16)
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=0, atol=1e-5)


def test_the_first_llamas_say_nothing_of_key_value_heads_or_of_the_width_of_a_head(tmp_path):
    model = tiny(n_kv_heads=4)
    model.save_pretrained(tmp_path)
    edit_config(tmp_path, "num_key_value_heads", "head_dim", "rope_theta", "rope_scaling", "attention_dropout")
    again = ModernDecoder.from_pretrained(tmp_path)
    assert again.config == model.config
    assert same_weights(again, model)


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
@pytest.mark.parametrize(
    ("fields", "window", "full_layers"),
    [
        ({"use_sliding_window": False, "sliding_window": 3, "max_window_layers": 1}, None, ()),
        ({"sliding_window": 3}, None, ()),
        ({"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}, 3, (0,)),
        ({"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 0}, 3, ()),
        ({"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 9}, None, ()),
        (
            {"use_sliding_window": True, "sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]},
            3,
            (1,),
        ),
    ],
)
def test_qwen_says_in_several_ways_which_layers_have_a_window(tmp_path, family, fields, window, full_layers):
    from transformers import AutoModelForCausalLM

    tiny(family=family).save_pretrained(tmp_path)
    edit_config(tmp_path, "use_sliding_window", "sliding_window", "layer_types")
    edit_config(tmp_path, **fields)
    model = ModernDecoder.from_pretrained(tmp_path)
    assert (model.config.window, model.config.full_layers) == (window, full_layers)
    ids = random_ids(model, 1, 12)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=0, atol=1e-5)


# What is refused


def test_another_family_is_refused_by_its_name(tmp_path):
    GPT(GPTConfig(31, 16, 1, 2, 8)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="of the family 'gpt2'; this class loads 'llama', 'qwen2', 'qwen3', "):
        ModernDecoder.from_pretrained(tmp_path)


def test_a_llama_is_refused_by_gpt(folder):
    with pytest.raises(CheckpointError, match="of the family 'llama'; this class loads 'gpt2'"):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("name", ["vocab_size", "hidden_size", "max_position_embeddings", "intermediate_size"])
def test_a_missing_size_is_named(folder, name):
    edit_config(folder, name)
    with pytest.raises(CheckpointError, match=f"lacks the field '{name}'"):
        ModernDecoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"attention_bias": True}, "sets attention_bias, which this decoder does not have"),
        ({"mlp_bias": True}, "sets mlp_bias, which this decoder does not have"),
        ({"quantization_config": {"quant_method": "fp8"}}, "sets quantization_config; only weights in F64, F32"),
        ({"hidden_act": "gelu"}, "hidden_act must be silu; got 'gelu'"),
        ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, "may be default, linear, llama3, yarn.*; got 'dynamic'"),
        ({"rope_scaling": YARN | {"beta_slow": 64}}, "describes no yarn scaling: .*low < high; got 64 and 32"),
        ({"rope_scaling": {"rope_type": "yarn"}}, r"describes no yarn scaling: KeyError\('factor'\)"),
        (
            {"partial_rotary_factor": 0.5},
            "rotary_fraction must be 1, or between 0 and 1 in the family stablelm; got 0.5 in 'llama'",
        ),
        ({"rope_scaling": {"type": "linear"}}, r"describes no linear scaling: KeyError\('factor'\)"),
        ({"rope_scaling": {"type": "linear", "factor": 0.5}}, "factor must be at least 1; got 0.5"),
        ({"num_attention_heads": 3}, "n_heads must be a multiple of n_kv_heads; got 3 and 2"),
        ({"num_hidden_layers": "two"}, "config.json"),
    ],
    ids=str,
)
def test_variants_that_would_compute_something_else_are_refused(folder, variant, words):
    edit_config(folder, **variant)
    with pytest.raises(CheckpointError, match=words):
        ModernDecoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("fields", "fraction"),
    [
        ({}, 0.25),  # what transformers assumes
        ({"partial_rotary_factor": 0.5}, 0.5),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75}}, 0.75),
        ({"partial_rotary_factor": 1.0}, 1.0),
    ],
)
def test_the_rotary_fraction_is_read_where_each_version_put_it(tmp_path, fields, fraction):
    from transformers import AutoModelForCausalLM

    tiny(family="stablelm", d_model=32).save_pretrained(tmp_path)
    edit_config(tmp_path, "partial_rotary_factor", "rope_scaling")
    edit_config(tmp_path, **fields)
    model = ModernDecoder.from_pretrained(tmp_path)
    assert model.config.rotary_fraction == fraction
    ids = random_ids(model, 1, 16)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["qk_layernorm", "use_parallel_residual", "hidden_dropout"])
def test_what_this_stablelm_lacks_is_refused(tmp_path, name):
    tiny(family="stablelm").save_pretrained(tmp_path)
    edit_config(tmp_path, **{name: 0.5 if name == "hidden_dropout" else True})
    with pytest.raises(CheckpointError, match=f"sets {name}, which this decoder does not have"):
        ModernDecoder.from_pretrained(tmp_path)


def gemma_folder(tmp_path):
    tiny(family="gemma3_text", d_head=6, window=3, full_layers=(1,), local_rope_base=50.0).save_pretrained(tmp_path)
    return tmp_path


ROPES = {  # as transformers 5 writes it
    "full_attention": {"rope_type": "linear", "rope_theta": 300.0, "factor": 2.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 70.0},
}


@pytest.mark.parametrize(
    ("removed", "fields", "expected"),
    [
        ((), {}, {"full_layers": (1,), "rope_base": 1e4, "local_rope_base": 50.0}),
        (("rope_theta", "rope_local_base_freq"), {}, {"rope_base": 1e6, "local_rope_base": 1e4}),
        (
            ("rope_theta", "rope_local_base_freq"),
            {"rope_parameters": ROPES},
            {"rope_base": 300.0, "local_rope_base": 70.0},
        ),
        ((), {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}, {"rope_scaling": RopeScaling(8.0)}),
        (("layer_types",), {}, {"full_layers": ()}),  # every sixth
        (("layer_types",), {"sliding_window_pattern": 2}, {"full_layers": (1,)}),
        ((), {"layer_types": ["full_attention", "sliding_attention"]}, {"full_layers": (0,)}),
    ],
    ids=str,
)
def test_gemma_is_read_as_each_version_wrote_it(tmp_path, removed, fields, expected):
    from transformers import AutoModelForCausalLM

    folder = gemma_folder(tmp_path)
    edit_config(folder, *removed, **fields)
    model = ModernDecoder.from_pretrained(folder)
    assert {name: getattr(model.config, name) for name in expected} == expected
    ids = random_ids(model, 1, 12)
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=0, atol=1e-5)


def test_gemma_writes_greedily_what_transformers_writes(tmp_path):
    from transformers import AutoModelForCausalLM

    folder = gemma_folder(tmp_path)
    model, theirs = ModernDecoder.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = random_ids(model, 1, 4)
    expected = theirs.generate(ids, max_new_tokens=12, do_sample=False)
    assert torch.equal(generate(model, ids, 12, decoding=GREEDY), expected)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"use_bidirectional_attention": True}, "sets use_bidirectional_attention, which this decoder does not have"),
        ({"attn_logit_softcapping": 50.0}, "sets attn_logit_softcapping, which this decoder does not have"),
        ({"hidden_activation": "silu"}, "hidden_activation must be gelu_pytorch_tanh; got 'silu'"),
        (
            {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
            "sliding_attention must be",
        ),
        ({"rope_parameters": {"full_attention": 3}}, "rope_parameters.full_attention must be"),
        ({"rope_parameters": {"sliding_attention": {"rope_theta": -1}}}, "sliding_attention.rope_theta must be"),
    ],
    ids=str,
)
def test_what_this_gemma_lacks_is_refused(tmp_path, fields, words):
    folder = gemma_folder(tmp_path)
    edit_config(folder, **fields)
    with pytest.raises(CheckpointError, match=words):
        ModernDecoder.from_pretrained(folder)


def test_noise_in_the_router_is_refused(tmp_path):
    tiny(family="mixtral", n_experts=3).save_pretrained(tmp_path)
    edit_config(tmp_path, router_jitter_noise=0.1)
    with pytest.raises(CheckpointError, match="sets router_jitter_noise"):
        ModernDecoder.from_pretrained(tmp_path)


@pytest.mark.parametrize("types", [["full_attention"], ["full_attention", "chunked_attention"]])
def test_kinds_of_layers_that_are_not_there_are_refused(tmp_path, types):
    tiny(family="qwen3", window=3).save_pretrained(tmp_path)
    edit_config(tmp_path, layer_types=types)
    with pytest.raises(CheckpointError, match="layer_types must be 2 times 'full_attention' or 'sliding_attention'"):
        ModernDecoder.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ({}, "layers.1.mlp.up_proj.weight"),
        ({"tied": False}, "lm_head.weight"),
        ({"family": "qwen2"}, "layers.0.self_attn.k_proj.bias"),
        ({"family": "qwen3"}, "layers.1.self_attn.q_norm.weight"),
        ({"family": "mixtral", "n_experts": 3}, "layers.0.block_sparse_moe.experts.2.w3.weight"),
        ({"family": "mixtral", "n_experts": 3}, "layers.1.block_sparse_moe.gate.weight"),
        ({"family": "stablelm", "rotary_fraction": 0.5}, "layers.1.input_layernorm.bias"),
        ({"family": "gemma3_text"}, "layers.0.post_feedforward_layernorm.weight"),
        ({"family": "stablelm", "qkv_bias": True}, "layers.0.self_attn.v_proj.bias"),
    ],
    ids=str,
)
def test_a_missing_tensor_is_named(tmp_path, kind, name):
    tiny(**kind).save_pretrained(tmp_path)
    edit_weights(tmp_path, lambda tensors: {n: t for n, t in tensors.items() if not n.endswith(name)})
    with pytest.raises(CheckpointError, match=f"lacks the tensor '{name}'"):
        ModernDecoder.from_pretrained(tmp_path)


def test_biases_that_the_config_does_not_speak_of_are_unexpected(folder):
    edit_weights(folder, lambda tensors: tensors | {"model.layers.0.self_attn.q_proj.bias": torch.ones(16)})
    with pytest.raises(CheckpointError, match=r"unexpected tensors: 'layers\.0\.self_attn\.q_proj\.bias"):
        ModernDecoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"vocab_size": 40}, r"'embed_tokens.weight' in .* is of shape \(31, 16\); config.json asks for \(40, 16\)"),
        ({"num_key_value_heads": 1}, r"k_proj.weight' in .* is of shape \(8, 16\); config.json asks for \(4, 16\)"),
        ({"intermediate_size": 9}, r"gate_proj.weight' in .* is of shape \(48, 16\); config.json asks for \(9, 16\)"),
    ],
    ids=str,
)
def test_a_size_mismatch_shows_both_shapes(folder, sizes, words):
    edit_config(folder, **sizes)
    with pytest.raises(CheckpointError, match=words):
        ModernDecoder.from_pretrained(folder)
