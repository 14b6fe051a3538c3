"""The Transformer of 2017 is what torch computes with the same weights, and sees only what it may see."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT, random_ids, stir, tiny_transformer
from torch import nn

from companion.models.transformer import DecoderBlock, EncoderBlock, Transformer, TransformerConfig
from companion.nn.attention import MultiHeadAttention
from companion.nn.capture import capture
from companion.nn.positions import sinusoidal_positions

SHAPES = {
    "three heads, relu": {"n_heads": 3, "n_layers": 2},
    "one head, one layer, gelu": {"n_heads": 1, "n_layers": 1, "d_model": 10, "activation": "gelu"},
    "five heads, three layers": {"n_heads": 5, "n_layers": 3, "d_model": 20, "norm_eps": 1e-2},
    "narrow feed-forward": {"n_heads": 2, "n_layers": 2, "d_ff": 7},
}


def packed(attention: MultiHeadAttention, part: str):
    """The weight or bias of queries, keys and values side by side, as torch keeps them."""
    return torch.cat([getattr(getattr(attention, name), part) for name in ("query", "key", "value")])


def pairs(ours, theirs):
    """Each tensor of one of our blocks beside torch's, as functions of the parameters (or of their gradients)."""
    attentions = [(ours.attention, theirs.self_attn)]
    norms = [ours.attention_norm, ours.feed_forward_norm]
    if isinstance(ours, DecoderBlock):
        attentions.append((ours.cross_attention, theirs.multihead_attn))
        norms.insert(1, ours.cross_attention_norm)
    for mine, torchs in attentions:
        yield [mine.query.weight, mine.key.weight, mine.value.weight], torchs.in_proj_weight
        yield [mine.query.bias, mine.key.bias, mine.value.bias], torchs.in_proj_bias
        yield [mine.output.weight], torchs.out_proj.weight
        yield [mine.output.bias], torchs.out_proj.bias
    layers = [(ours.feed_forward.expand, theirs.linear1), (ours.feed_forward.contract, theirs.linear2)]
    layers += [(norm, getattr(theirs, f"norm{number}")) for number, norm in enumerate(norms, start=1)]
    for mine, torchs in layers:
        yield [mine.weight], torchs.weight
        yield [mine.bias], torchs.bias


def all_pairs(ours, theirs):
    for mine, torchs in ((ours.encoder, theirs.encoder), (ours.decoder, theirs.decoder)):
        for block, layer in zip(mine.blocks, torchs.layers, strict=True):
            yield from pairs(block, layer)


@torch.no_grad()
def twin(model: Transformer) -> nn.Transformer:
    """torch's own Transformer with the weights of ``model``, without the norm that it adds after each stack."""
    c = model.config
    sizes = {"d_model": c.d_model, "nhead": c.n_heads, "dim_feedforward": c.d_ff or 4 * c.d_model, "dropout": 0.0}
    how = {"activation": c.activation, "layer_norm_eps": c.norm_eps, "batch_first": True}
    encoder_layer = nn.TransformerEncoderLayer(**sizes, **how)
    encoder = nn.TransformerEncoder(encoder_layer, c.n_layers, enable_nested_tensor=False)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**sizes, **how), c.n_layers)
    theirs = nn.Transformer(**sizes, **how, custom_encoder=encoder, custom_decoder=decoder).eval()
    theirs.to(model.token_embedding.weight.dtype)
    for mine, torchs in all_pairs(model, theirs):
        torchs.copy_(torch.cat(mine))
    return theirs


def embedded(model, ids, positions=None):
    places = torch.arange(ids.size(1)) if positions is None else positions
    return model.token_embedding(ids) * model.config.d_model**0.5 + model.positions[places]


def their_logits(model, theirs, source, target, real=None, positions=None):
    padding = None if real is None else ~real
    hidden = theirs(
        embedded(model, source, positions),
        embedded(model, target),
        tgt_mask=torch.ones(target.size(1), target.size(1), dtype=torch.bool).triu(1),
        src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )
    return F.linear(hidden, model.token_embedding.weight)


def error(ours, theirs):
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def model(request, dtype):
    return tiny_transformer(**{"d_model": 12} | request.param).to(dtype)


@pytest.fixture
def small():
    return tiny_transformer()


REAL = torch.tensor([[True] * 7, [True] * 4 + [False] * 3, [False] * 5 + [True] * 2])


# Parity with torch


@pytest.mark.parametrize("real", [None, REAL], ids=["whole", "padded"])
def test_logits_and_gradients_are_those_of_torch(model, real):
    source, target = random_ids(model, 3, 7), random_ids(model, 3, 5, seed=1)
    positions = None if real is None else (real.cumsum(-1) - 1).clamp(min=0)
    theirs = twin(model)
    ours = model(source, target, real)
    expected = their_logits(model, theirs, source, target, real, positions)
    assert error(ours, expected) < 1e-5
    weights = torch.randn_like(ours)  # a loss that every logit has a part in
    (expected * weights).sum().backward()
    embedding = model.token_embedding.weight.grad.clone()
    model.zero_grad()
    (ours * weights).sum().backward()
    scale = embedding.abs().max().item()
    assert error(model.token_embedding.weight.grad, embedding) < 1e-5 * scale
    for mine, torchs in all_pairs(model, theirs):
        assert error(torch.cat([p.grad for p in mine]), torchs.grad) < 1e-5 * scale


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_an_encoder_block_is_that_of_torch(activation, dtype):
    torch.manual_seed(0)
    ours = EncoderBlock(12, 3, 20, activation, norm_eps=1e-3).to(dtype)
    stir(ours)
    theirs = nn.TransformerEncoderLayer(12, 3, 20, 0.0, activation, 1e-3, batch_first=True).to(dtype)
    with torch.no_grad():
        for mine, torchs in pairs(ours, theirs):
            torchs.copy_(torch.cat(mine))
    x = torch.randn(3, 7, 12, dtype=dtype, requires_grad=True)
    found, expected = ours(x, REAL[:, None, None, :]), theirs(x, src_key_padding_mask=~REAL)
    assert error(found, expected) < 1e-5
    gradients = [torch.autograd.grad((y**3).sum(), x)[0] for y in (found, expected)]
    assert error(*gradients) < 1e-5 * gradients[1].abs().max().item()


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_decoder_block_is_that_of_torch(activation, dtype):
    torch.manual_seed(0)
    ours = DecoderBlock(12, 3, 20, activation, norm_eps=1e-3).to(dtype)
    stir(ours)
    theirs = nn.TransformerDecoderLayer(12, 3, 20, 0.0, activation, 1e-3, batch_first=True).to(dtype)
    with torch.no_grad():
        for mine, torchs in pairs(ours, theirs):
            torchs.copy_(torch.cat(mine))
    x = torch.randn(3, 5, 12, dtype=dtype, requires_grad=True)
    memory = torch.randn(3, 7, 12, dtype=dtype, requires_grad=True)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    found = ours(x, memory, REAL[:, None, None, :])
    expected = theirs(x, memory, tgt_mask=later, memory_key_padding_mask=~REAL)
    assert error(found, expected) < 1e-5
    for read in (x, memory):
        gradients = [torch.autograd.grad((y**3).sum(), read, retain_graph=True)[0] for y in (found, expected)]
        assert error(*gradients) < 1e-5 * gradients[1].abs().max().item()


def test_attention_maps_are_those_of_torch(model, monkeypatch):
    source, target = random_ids(model, 2, 7), random_ids(model, 2, 5, seed=1)
    theirs, maps = twin(model), []
    plain = nn.MultiheadAttention.forward

    def recording(self, *arguments, **how):
        output, weights = plain(self, *arguments, **how | {"need_weights": True, "average_attn_weights": False})
        maps.append(weights)
        return output, weights

    monkeypatch.setattr(nn.MultiheadAttention, "forward", recording)
    their_logits(model, theirs, source, target)
    with capture(model) as record:
        model(source, target)
    layers = model.config.n_layers
    expected_self = maps[:layers] + maps[layers::2]  # the encoder's, then the decoder's, which take turns with cross
    assert max(map(error, record.attention, expected_self)) < 1e-5
    assert max(map(error, record.cross_attention, maps[layers + 1 :: 2])) < 1e-5


def test_capture_names_each_map_and_each_hidden_state(small):
    source, target = random_ids(small, 2, 7), random_ids(small, 2, 5)
    with capture(small) as record:
        small(source, target)
    assert [w.shape[-2:] for w in record.attention] == [(7, 7)] * 2 + [(5, 5)] * 2
    assert [w.shape for w in record.cross_attention] == [(2, 2, 5, 7)] * 2
    assert [h.size(1) for h in record.hidden] == [7] * 3 + [5] * 3
    torch.testing.assert_close(record.hidden[2], small.encode(source))
    for weights in record.attention + record.cross_attention:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not any(weights.triu(1).any() for weights in record.attention[2:])


# What may be seen


@settings(PATIENT, max_examples=20)
@given(seed=st.integers(0, 1000), position=st.integers(1, 7))
def test_the_decoder_sees_no_later_position(seed, position):
    model = tiny_transformer()
    source, target = random_ids(model, 2, 6, seed), random_ids(model, 2, 8, seed + 1)
    other = target.clone()
    other[:, position:] = random_ids(model, 2, 8 - position, seed + 2)
    torch.testing.assert_close(model(source, target)[:, :position], model(source, other)[:, :position])


def test_the_decoder_sees_earlier_positions_and_the_whole_source(small):
    source, target = random_ids(small, 1, 6), random_ids(small, 1, 8)
    before = small(source, target)[0, -1]
    for which, ids in (("source", source), ("target", target)):
        for place in range(ids.size(1)):
            changed = ids.clone()
            changed[0, place] = (changed[0, place] + 1) % small.config.vocab_size
            after = small(changed, target) if which == "source" else small(source, changed)
            assert error(after[0, -1], before) > 1e-3, (which, place)


def test_the_encoder_sees_both_ways(small):
    source = random_ids(small, 1, 6)
    other = source.clone()
    other[0, -1] = (other[0, -1] + 1) % small.config.vocab_size
    assert error(small.encode(source)[0, 0], small.encode(other)[0, 0]) > 1e-3


@settings(PATIENT, max_examples=20)
@given(seed=st.integers(0, 1000), left=st.integers(0, 3), right=st.integers(0, 3))
def test_padding_has_no_influence_wherever_it_stands(seed, left, right):
    model = tiny_transformer()
    source, target = random_ids(model, 2, 5, seed), random_ids(model, 2, 6, seed + 1)
    noise = random_ids(model, 2, left + right, seed + 2)
    padded = torch.cat([noise[:, :left], source, noise[:, left:]], dim=1)
    real = torch.tensor([False] * left + [True] * 5 + [False] * right).expand(2, -1)
    torch.testing.assert_close(model(padded, target, real), model(source, target), atol=1e-5, rtol=1e-4)


def test_a_source_without_a_real_token_gives_numbers(small):
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    assert small(random_ids(small, 2, 5), random_ids(small, 2, 3), nothing).isfinite().all()


# The cache


@pytest.mark.parametrize("cuts", [[1] * 6, [2, 3, 1], [6]], ids=str)
@pytest.mark.parametrize("real", [None, REAL], ids=["whole", "padded"])
def test_decoding_with_a_cache_gives_the_same(small, cuts, real):
    source, target = random_ids(small, 3, 7), random_ids(small, 3, 6)
    memory, cache = small.encode(source, real), small.new_cache(7)
    steps = [small.decode(part, memory, real, cache=cache) for part in target.split(cuts, dim=1)]
    torch.testing.assert_close(torch.cat(steps, dim=1), small(source, target, real), atol=1e-5, rtol=1e-4)


def test_the_encoders_output_is_projected_once(small):
    source, target = random_ids(small, 2, 7), random_ids(small, 2, 2)
    runs = []
    small.decoder.blocks[0].cross_attention.key.register_forward_hook(lambda *_: runs.append(1))
    memory, cache = small.encode(source), small.new_cache(7)
    for part in target.split(1, dim=1):
        small.decode(part, memory, cache=cache)
    assert len(runs) == 1


def test_reordered_caches_go_on_with_other_rows(small):
    source, target = random_ids(small, 3, 7), random_ids(small, 3, 4)
    memory, cache, rows = small.encode(source), small.new_cache(7), torch.tensor([2, 0, 0, 1])
    small.decode(target[:, :3], memory, cache=cache)
    for layer in cache:
        layer.reorder(rows)
    found = small.decode(target[rows, 3:], memory[rows], cache=cache)[:, -1]
    torch.testing.assert_close(found, small(source, target)[rows, -1], atol=1e-5, rtol=1e-4)


# What it is made of


def test_source_and_target_share_one_embedding_times_the_root_of_d_model(small):
    source = random_ids(small, 1, 4)
    with capture(small) as record:
        small(source, source)
    expected = small.token_embedding(source) * 12**0.5 + sinusoidal_positions(4, 12)
    torch.testing.assert_close(record.hidden[0], expected)
    torch.testing.assert_close(record.hidden[3], expected)


def test_the_output_of_each_block_is_normalised(small):
    for block in (*small.encoder.blocks, *small.decoder.blocks):
        nn.init.ones_(block.feed_forward_norm.weight)
        nn.init.zeros_(block.feed_forward_norm.bias)
    with capture(small) as record:
        small(random_ids(small, 2, 7), random_ids(small, 2, 5))
    for hidden in (record.hidden[1], record.hidden[2], record.hidden[4], record.hidden[5]):
        torch.testing.assert_close(hidden.mean(-1), torch.zeros_like(hidden[..., 0]), atol=1e-5, rtol=0)
        torch.testing.assert_close(hidden.var(-1, correction=0), torch.ones_like(hidden[..., 0]), atol=1e-3, rtol=0)


def formula(vocab, layers, d, d_ff):
    attention, feed_forward, norm = 4 * (d * d + d), 2 * d * d_ff + d_ff + d, 2 * d
    return (
        vocab * d + layers * (attention + feed_forward + 2 * norm) + layers * (2 * attention + feed_forward + 3 * norm)
    )


@pytest.mark.parametrize(
    ("d_model", "d_ff", "n_heads", "millions"), [(512, 2048, 8, 65), (1024, 4096, 16, 213)], ids=["base", "big"]
)
def test_the_paper_counts_as_many_parameters(d_model, d_ff, n_heads, millions):
    """Table 3; the vocabulary is "about 37000 tokens" (section 5.1)."""
    with torch.device("meta"):
        model = Transformer(TransformerConfig(37_000, 512, 6, n_heads, d_model, d_ff))
    count = sum(p.numel() for p in model.parameters())
    assert count == formula(37_000, 6, d_model, d_ff)
    assert count / 1e6 == pytest.approx(millions, rel=0.04)


def test_weights_begin_as_glorot_and_bengio_say():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(100, 16, 1, 2, 64))
    expand = model.encoder.blocks[0].feed_forward.expand.weight
    limit = (6 / (64 + 256)) ** 0.5
    assert 0.98 * limit < expand.abs().max() <= limit
    assert expand.std().item() == pytest.approx((2 / (64 + 256)) ** 0.5, rel=0.05)
    assert model.token_embedding.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)


def test_dropout_is_on_in_training_only():
    model = tiny_transformer(dropout=0.5)
    source, target = random_ids(model, 1, 5), random_ids(model, 1, 5)
    assert torch.equal(model(source, target), model(source, target))
    model.train()
    assert not torch.equal(model(source, target), model(source, target))


def test_positions_are_no_parameters_and_follow_the_model(small):
    assert "positions" not in small.state_dict()
    assert small.double().positions.dtype == torch.float64


# What is refused


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"n_layers": 0}, "n_layers must be at least 1; got 0"),
        ({"vocab_size": -3}, "vocab_size must be at least 1; got -3"),
        ({"d_model": 13}, "d_model must be a multiple of n_heads; got 13 and 2"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
        ({"activation": "swish"}, "activation must be one of .*relu.*; got 'swish'"),
        ({"start_id": 31}, "start_id must be in the vocabulary, 0 to 30; got 31"),
        ({"start_id": -1}, "start_id must be in the vocabulary, 0 to 30; got -1"),
        ({"d_ff": 0}, "d_ff must be at least 1; got 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        tiny_transformer(**sizes)


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ([[1, 2, 31]], [[1]], "token id 31 is outside the vocabulary, 0 to 30"),
        ([[1]], [[1, -1]], "token id -1 is outside the vocabulary, 0 to 30"),
        ([[1] * 17], [[1]], "17 tokens do not fit into the context of 16"),
        ([[1]], [[1] * 17], "17 tokens do not fit into the context of 16"),
        ([1, 2], [[1]], r"ids must be \(batch, length\), neither of them 0; got shape \(2,\)"),
        ([[1]], [[]], r"decoder_ids must be \(batch, length\), neither of them 0; got shape \(1, 0\)"),
        ([[1]] * 3, [[1]], "source and target must have as many rows; got 3 and 1"),
    ],
)
def test_ids_that_cannot_be_read_are_refused(small, source, target, words):
    with pytest.raises(ValueError, match=words):
        small(torch.tensor(source), torch.tensor(target, dtype=torch.long))


def test_more_positions_than_the_context_are_refused_with_a_cache_too(small):
    memory, cache = small.encode(random_ids(small, 1, 3)), small.new_cache(3)
    small.decode(random_ids(small, 1, 16), memory, cache=cache)
    with pytest.raises(ValueError, match="17 tokens do not fit into the context of 16"):
        small.decode(random_ids(small, 1, 1), memory, cache=cache)


def test_a_mask_of_another_shape_or_type_is_refused(small):
    source, target = random_ids(small, 2, 5), random_ids(small, 2, 3)
    with pytest.raises(ValueError, match=r"attention_mask must be \(batch, length\) = \(2, 5\); got \(2, 3\)"):
        small(source, target, torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(TypeError, match="attention_mask must be boolean"):
        small(source, target, torch.ones(2, 5))
