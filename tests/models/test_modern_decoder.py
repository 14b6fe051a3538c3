"""Today's decoder: grouped heads, rotary positions, windows and experts do what the chapter says, and no more."""

import pytest
import torch
import torch.nn.functional as F
from small_models import random_ids, stir

from companion.generation import GREEDY, generate
from companion.generation.sampling import left_padded
from companion.losses import causal_loss
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.capture import ablate, capture
from companion.nn.positions import RopeScaling, YarnScaling, rotary, rotary_frequencies

TINY = {"vocab_size": 31, "context_length": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 16}
KINDS = {
    "llama": {},
    "qwen2, window in one layer": {"family": "qwen2", "window": 3, "full_layers": (0,)},
    "qwen3": {"family": "qwen3", "d_head": 6, "tied": False},
    "mistral, one key-value head": {"family": "mistral", "window": 4, "n_kv_heads": 1},
    "mixtral": {"family": "mixtral", "n_experts": 3, "d_ff": 8},
    "stretched": {"rope_scaling": RopeScaling(3.0, 8)},
    "YaRN": {"rope_scaling": YarnScaling(3.0, 8)},
    "stablelm, half of each head rotates": {"family": "stablelm", "rotary_fraction": 0.5, "qkv_bias": True},
    "gemma 3": {
        "family": "gemma3_text",
        "window": 3,
        "full_layers": (1,),
        "local_rope_base": 50.0,
        "rope_scaling": RopeScaling(3.0, 8),
        "query_pre_attn_scalar": 9,
        "final_softcap": 3.0,
    },
}

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def tiny(seed: int = 0, **sizes) -> ModernDecoder:
    """A decoder with weights large enough that every one of them shows in the logits."""
    torch.manual_seed(seed)
    model = ModernDecoder(ModernConfig(**TINY | sizes)).eval()
    stir(model)
    return model


def error(ours, theirs):
    return (ours - theirs).abs().max().item()


# What a position may know


@each_kind
def test_later_tokens_never_change_earlier_logits(kind):
    model = tiny(**kind)
    ids = random_ids(model, 3, 12)
    expected = model(ids)
    for first_changed in range(1, 12):
        changed = torch.cat([ids[:, :first_changed], (ids[:, first_changed:] + 7) % 31], dim=1)
        assert error(model(changed)[:, :first_changed], expected[:, :first_changed]) < 1e-6


@each_kind
def test_no_gradient_flows_back_from_earlier_logits_to_later_tokens(kind):
    model = tiny(**kind)
    with capture(model, detach=False) as record:
        logits = model(random_ids(model, 1, 8))
    (gradient,) = torch.autograd.grad(logits[:, :5].square().sum(), record.hidden[0])
    assert (gradient[:, 5:] == 0).all()
    assert (gradient[:, :5] != 0).any()


def reach(model, length=12):
    """Which tokens each position's logits depend on: boolean (position, token)."""
    with capture(model, detach=False) as record:
        logits = model(random_ids(model, 1, length))
    rows = [torch.autograd.grad(row.square().sum(), record.hidden[0], retain_graph=True)[0] for row in logits[0]]
    return torch.stack([row[0].abs().sum(-1) > 0 for row in rows])


def band(length, width):
    """The last ``width`` tokens up to each position."""
    return torch.ones(length, length, dtype=torch.bool).tril().triu(1 - width)


@pytest.mark.parametrize("window", [1, 2, 3, 5, 12])
def test_one_layer_sees_the_window_and_nothing_else(window):
    model = tiny(family="mistral", window=window, n_layers=1)
    assert torch.equal(reach(model), band(12, window))


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_each_layer_adds_a_window_less_one_to_the_reach(n_layers):
    model = tiny(family="mistral", window=3, n_layers=n_layers)
    assert torch.equal(reach(model), band(12, 1 + 2 * n_layers))


def test_a_layer_without_the_window_sees_all():
    model = tiny(family="qwen2", window=2, full_layers=(1,), n_layers=2)
    assert torch.equal(reach(model), band(12, 12))
    with capture(model) as record:
        model(random_ids(model, 1, 12))
    near, full = ((weights[0, 0] > 0) for weights in record.attention)
    assert torch.equal(near, band(12, 2))
    assert torch.equal(full, band(12, 12))


def test_a_window_as_long_as_the_text_changes_nothing():
    windowed, plain = (tiny(family="mistral", window=window) for window in (9, None))
    ids = random_ids(plain, 2, 9)
    assert torch.equal(windowed(ids), plain(ids))


@each_kind
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_has_no_influence(kind, side):
    model = tiny(**kind)
    ids = random_ids(model, 2, 10)
    real = torch.ones(2, 10, dtype=torch.bool)
    real[1, slice(0, 3) if side == "left" else slice(7, 10)] = False
    changed = torch.where(real, ids, (ids + 5) % 31)
    assert error(model(ids, attention_mask=real)[real], model(changed, attention_mask=real)[real]) < 1e-6


@each_kind
def test_a_padded_text_gets_the_logits_that_it_gets_alone(kind):
    model = tiny(**kind)
    ids = random_ids(model, 1, 7)
    for before, after in ((3, 0), (0, 4), (2, 2)):
        padded = F.pad(ids, (before, after), value=5)
        real = F.pad(torch.ones(1, 7, dtype=torch.bool), (before, after))
        assert error(model(padded, attention_mask=real)[real], model(ids)[0]) < 1e-5


@each_kind
def test_a_row_of_nothing_but_padding_gives_finite_logits_and_gradients(kind):
    model = tiny(**kind)
    real = torch.ones(2, 6, dtype=torch.bool)
    real[1] = False
    logits = model(random_ids(model, 2, 6), attention_mask=real)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Qwen3", "Mistral", "Mixtral", "Gemma3"])
def test_padding_on_the_left_is_treated_as_transformers_treats_it(name, tmp_path):
    import transformers

    torch.manual_seed(0)
    sizes = {"vocab_size": 31, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 16}
    sizes |= {"bos_token_id": None, "eos_token_id": None, "attn_implementation": "eager"}
    if name != "Llama":
        sizes |= {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": 1}
    if name == "Gemma3":
        sizes |= {"head_dim": 4, "sliding_window_pattern": 2}
    config = "Gemma3TextConfig" if name == "Gemma3" else f"{name}Config"
    theirs = getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, config)(**sizes)).eval()
    stir(theirs)
    theirs.save_pretrained(tmp_path)
    ours = ModernDecoder.from_pretrained(tmp_path)
    real = torch.arange(11) >= torch.tensor([[0], [3], [6]])
    ids = random_ids(ours, 3, 11)
    with capture(ours) as record:
        logits = ours(ids, attention_mask=real)
    expected = theirs(ids, attention_mask=real.long(), output_attentions=True)
    assert error(logits[real], expected.logits[real]) < 1e-5
    rows = real[:, None, :, None]  # a padded query's row is nobody's business
    for weights, theirs_weights in zip(record.attention, expected.attentions, strict=True):
        assert error(weights * rows, theirs_weights * rows) < 1e-5


# The cache


@each_kind
@pytest.mark.parametrize("chunks", [(1,) * 12, (5, 7), (5, 1, 1, 4, 1), (12,)], ids=str)
def test_cached_logits_equal_uncached_ones(kind, chunks):
    model = tiny(**kind)
    ids = random_ids(model, 3, 12)
    cache = model.new_cache()
    logits = torch.cat([model(chunk, cache=cache) for chunk in ids.split(chunks, dim=1)], dim=1)
    assert error(logits, model(ids)) < 1e-5
    assert {layer.length for layer in cache} == {12}


@each_kind
def test_cache_and_padding_work_together(kind):
    model = tiny(**kind)
    ids = random_ids(model, 2, 9)
    real = torch.ones(2, 9, dtype=torch.bool)
    real[0, :3] = False
    cache = model.new_cache()
    logits = [model(ids[:, :5], attention_mask=real[:, :5], cache=cache)]
    logits += [model(ids[:, t : t + 1], attention_mask=real[:, : t + 1], cache=cache) for t in range(5, 9)]
    assert error(torch.cat(logits, dim=1)[real], model(ids, attention_mask=real)[real]) < 1e-5


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_a_cache_holds_the_key_value_heads_and_no_others(n_kv_heads):
    model = tiny(n_kv_heads=n_kv_heads)
    cache = model.new_cache()
    model(random_ids(model, 3, 5), cache=cache)
    assert [tuple(part.shape) for part in cache[0].filled()] == [(3, n_kv_heads, 5, 4)] * 2


@each_kind
def test_generation_writes_the_same_with_and_without_a_cache_alone_and_in_a_batch(kind):
    model = tiny(**kind)
    prompts = [[3, 1, 4, 1, 5, 9], [2, 6], [5]]
    ids, mask = left_padded(prompts)
    cached = generate(model, ids, 8, attention_mask=mask, decoding=GREEDY)
    uncached = generate(model, ids, 8, attention_mask=mask, decoding=GREEDY, use_cache=False)
    alone = [generate(model, torch.tensor([prompt]), 8, decoding=GREEDY)[0, -8:] for prompt in prompts]
    assert torch.equal(cached, uncached)
    assert torch.equal(cached[:, -8:], torch.stack(alone))


def test_half_precision_leaves_the_angles_alone():
    model = tiny(context_length=5000, n_layers=1)
    seen = []
    model.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1][0]))
    ids = torch.zeros(1, 4500, dtype=torch.long)
    model(ids)
    model.to(torch.bfloat16)(ids)
    assert torch.equal(*seen)


# Looking inside


def test_a_bound_of_the_logits_bounds_them_and_keeps_their_order():
    bounded, free = (tiny(family="gemma3_text", final_softcap=cap) for cap in (0.5, None))
    ids = random_ids(free, 2, 6)
    logits = bounded(ids)
    assert logits.abs().max() < 0.5 < free(ids).abs().max()
    torch.testing.assert_close(logits, 0.5 * (free(ids) / 0.5).tanh())


def test_layers_with_a_window_have_the_local_base_and_no_scaling():
    far, near = tiny(**KINDS["gemma 3"]).rotations(torch.arange(9)[None])
    expected = rotary(torch.arange(9)[None], rotary_frequencies(4, 50.0))
    assert all(torch.equal(part, other) for part, other in zip(near, expected, strict=True))
    scaled = rotary(torch.arange(9)[None], rotary_frequencies(4, 10_000.0, RopeScaling(3.0, 8)))
    assert all(torch.equal(part, other) for part, other in zip(far, scaled, strict=True))


def test_every_head_can_be_watched_and_silenced():
    model = tiny()
    ids = random_ids(model, 2, 6)
    with capture(model) as record, ablate(model, {(1, 2)}):
        silenced = model(ids)
    assert [tuple(weights.shape) for weights in record.attention] == [(2, 4, 6, 6)] * 2
    assert (record.attention[1][:, 2] == 0).all()
    assert error(silenced, model(ids)) > 1e-3


def test_watching_changes_nothing():
    model = tiny(family="mistral", window=3)
    ids = random_ids(model, 2, 9)
    expected = model(ids)
    with capture(model):
        assert error(model(ids), expected) < 1e-5


# Sizes


def test_new_models_start_near_a_uniform_guess():
    torch.manual_seed(0)
    model = ModernDecoder(ModernConfig(vocab_size=512, context_length=32, n_layers=2, n_heads=2, d_model=32))
    loss = causal_loss(model, random_ids(model, 4, 32))
    assert loss.item() == pytest.approx(torch.tensor(512.0).log().item(), abs=0.1)


@pytest.mark.parametrize("tied", [True, False])
def test_only_tied_models_read_the_logits_off_the_embedding(tied):
    model = tiny(tied=tied)
    assert (model.unembedding.weight is model.token_embedding.weight) == tied
    assert ("unembedding.weight" in dict(model.named_parameters())) != tied


def test_what_is_not_given_is_filled_in():
    config = ModernConfig(vocab_size=10, context_length=8, n_layers=1, n_heads=4, d_model=64)
    assert (config.n_kv_heads, config.d_head, config.d_ff) == (4, 16, 176)
    assert config == ModernConfig(10, 8, 1, 4, 64, n_kv_heads=4, d_head=16, d_ff=176)


def test_the_last_position_of_the_context_can_be_used_and_no_other():
    model = tiny()
    assert model(random_ids(model, 1, 16)).shape == (1, 16, 31)
    with pytest.raises(ValueError, match="17 tokens do not fit into the context of 16"):
        model(random_ids(model, 1, 17))


def test_a_cache_counts_towards_the_context():
    model = tiny()
    cache = model.new_cache()
    model(random_ids(model, 1, 15), cache=cache)
    with pytest.raises(ValueError, match="17 tokens do not fit into the context of 16"):
        model(random_ids(model, 1, 2), cache=cache)
    assert cache[0].length == 15


@pytest.mark.parametrize("shape", [(5,), (1, 0), (0, 4), (1, 2, 3)])
def test_ids_of_the_wrong_rank_and_empty_texts_are_refused(shape):
    with pytest.raises(ValueError, match=r"ids must be \(batch, length\), neither of them 0; got shape"):
        tiny()(torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("bad", [-1, 31, 1000])
def test_an_id_outside_the_vocabulary_is_named(bad):
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary, 0 to 30"):
        tiny()(torch.tensor([[3, bad, 4]]))


def test_a_mask_of_the_wrong_shape_or_type_is_refused():
    ids = torch.zeros(2, 5, dtype=torch.long)
    with pytest.raises(ValueError, match=r"attention_mask must be \(batch, length\) = \(2, 5\); got \(2, 4\)"):
        tiny()(ids, attention_mask=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"attention_mask must be boolean, True = a real token; got torch.int64"):
        tiny()(ids, attention_mask=torch.ones(2, 5, dtype=torch.int64))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"vocab_size": 0}, "vocab_size must be at least 1; got 0"),
        ({"n_heads": 5, "n_kv_heads": 5}, "d_model must be a multiple of n_heads; got 16 and 5"),
        ({"n_kv_heads": 3}, "n_heads must be a multiple of n_kv_heads; got 4 and 3"),
        ({"n_kv_heads": 0}, "n_kv_heads must be at least 1; got 0"),
        ({"n_heads": 2, "n_kv_heads": 4}, "n_heads must be a multiple of n_kv_heads; got 2 and 4"),
        ({"d_head": 5}, "d_head must be even, at least 2; got 5"),
        ({"d_model": 12}, "d_head must be even, at least 2; got 3"),
        ({"d_ff": 0}, "d_ff must be at least 1; got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
        ({"rope_base": 1}, "rope_base must be finite and above 1; got 1"),
        ({"local_rope_base": 50.0}, "local_rope_base is a choice in the family gemma3_text alone; got 50.0 in 'llama'"),
        ({"family": "gemma3_text", "local_rope_base": 1.0}, "local_rope_base must be finite and above 1; got 1.0"),
        ({"final_softcap": 3.0}, "final_softcap is a choice in the family gemma3_text alone; got 3.0 in 'llama'"),
        ({"family": "gemma3_text", "final_softcap": 0.0}, "final_softcap must be finite and above 0; got 0.0"),
        ({"query_pre_attn_scalar": 9}, "query_pre_attn_scalar is a choice in the family gemma3_text alone; got 9"),
        (
            {"family": "gpt2"},
            "family must be one of llama, qwen2, qwen3, mistral, mixtral, stablelm, gemma3_text; got 'gpt2'",
        ),
        ({"window": 4}, "window is for qwen2, qwen3, mistral, mixtral, gemma3_text; got 4 in 'llama'"),
        (
            {"family": "mistral", "window": 0},
            "window must be at least 1; got 0",
        ),
        (
            {"family": "qwen2", "full_layers": (0,)},
            "full_layers need a window in qwen2, qwen3, gemma3_text; got 'qwen2', None",
        ),
        (
            {"family": "mistral", "window": 4, "full_layers": (0,)},
            "full_layers need a window in qwen2, qwen3, gemma3_text; got 'mistral', 4",
        ),
        ({"family": "qwen3", "window": 4, "full_layers": (2,)}, r"full_layers must be 0 to 1; got \(2,\)"),
        (
            {"rotary_fraction": 0.5},
            "rotary_fraction must be 1, or between 0 and 1 in the family stablelm; got 0.5 in 'llama'",
        ),
        ({"family": "stablelm", "rotary_fraction": 1.5}, "rotary_fraction must be .*; got 1.5 in 'stablelm'"),
        ({"family": "stablelm", "rotary_fraction": 0.25}, "must be even, at least 2; got 1"),
        ({"family": "stablelm", "d_head": 6}, "d_head must be d_model / n_heads in stablelm; got 6 and 16"),
        ({"qkv_bias": True}, "qkv_bias is a choice in the family stablelm alone; got it in 'llama'"),
        ({"n_experts": 4}, "mixtral, and no other family, has n_experts; got 'llama', 4"),
        ({"family": "mixtral"}, "mixtral, and no other family, has n_experts; got 'mixtral', None"),
        ({"family": "mixtral", "n_experts": 1}, "experts_per_token must be 1 to n_experts; got 2 of 1"),
    ],
    ids=str,
)
def test_impossible_sizes_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        tiny(**sizes)
