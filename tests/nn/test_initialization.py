"""A start changes numbers only: equal tokens find each other, or heads look at their neighbours."""

import pytest
import torch
from torch import nn

from companion.models.bert import BertConfig, BertForPreTraining
from companion.models.gpt import GPT, GPTConfig
from companion.nn.capture import capture
from companion.nn.initialization import mimetic_initialization, positional_initialization, sinusoidal_initialization
from companion.nn.positions import sinusoidal_positions


def started(seed=0, **sizes):
    torch.manual_seed(seed)
    model = BertForPreTraining(BertConfig(**{"vocab_size": 31, "context_length": 16} | sizes))
    mimetic_initialization(model)
    return model


SIZES = {"n_layers": 2, "n_heads": 2, "d_model": 64}


def test_keys_begin_equal_to_queries_and_are_matrices_of_their_own():
    for block in started(**SIZES).bert.encoder.blocks:
        assert torch.equal(block.attention.key.weight, block.attention.query.weight)
        assert block.attention.key.weight is not block.attention.query.weight


def test_a_matrix_is_as_large_as_the_width_asks_for():
    block = started(**SIZES).bert.encoder.blocks[0]
    for matrix in (block.attention.value, block.feed_forward.expand, block.feed_forward.contract):
        assert matrix.weight.std().item() == pytest.approx(64**-0.5, rel=0.1)


def test_segments_begin_as_large_as_tokens_and_positions():
    assert started(**SIZES).bert.segment_embedding.weight.std().item() == pytest.approx(0.1, rel=0.3)


def test_the_tied_embedding_keeps_its_numbers():
    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig(31, 16, **SIZES))
    before = model.bert.token_embedding.weight.clone()
    mimetic_initialization(model)
    assert torch.equal(model.bert.token_embedding.weight, before)
    assert model.decoder.weight is model.bert.token_embedding.weight


def test_a_vector_scores_highest_with_itself():
    attention = started(**SIZES).bert.encoder.blocks[0].attention
    x = torch.randn(8, 64)
    scores = attention.query(x) @ attention.key(x).T
    assert torch.equal(scores.argmax(1), torch.arange(8))


def test_a_model_without_attention_is_refused():
    with pytest.raises(ValueError, match="Linear has no MultiHeadAttention layer"):
        mimetic_initialization(nn.Linear(2, 2))


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_scale_that_is_not_above_zero_is_refused(scale):
    with pytest.raises(ValueError, match=f"scale must be above 0; got {scale}"):
        mimetic_initialization(BertForPreTraining(BertConfig(31, 16, **SIZES)), scale)


def neighbourly(offsets, seed=0, **sizes):
    torch.manual_seed(seed)
    config = BertConfig(**{"vocab_size": 31, "context_length": 40} | sizes)
    model = BertForPreTraining(config).eval()
    positional_initialization(model.bert, offsets)
    return model


@pytest.mark.parametrize(("offsets", "heads"), [((1, 2, 3, 4), 4), ((-1, 7), 2), ((0,), 1)])
def test_each_head_of_the_first_layer_looks_back_by_its_offset_whatever_the_words(offsets, heads):
    model = neighbourly(offsets, n_layers=2, n_heads=heads, d_model=64)
    ids = torch.randint(31, (3, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), capture(model) as record:
        model(ids)
    for head, offset in enumerate(offsets):
        inner = torch.arange(8, 32)
        weights = record.attention[0][:, head]  # (batch, query, key)
        on_it, before, after = (weights[:, inner, inner - offset + step].mean() for step in (0, -1, 1))
        assert on_it > 2 * max(before, after)


def test_only_the_first_layer_and_the_embeddings_are_touched():
    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig(31, 40, n_layers=2, n_heads=2, d_model=32))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    positional_initialization(model.bert, (1, 2))
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    first = {f"bert.encoder.blocks.0.attention.{name}.weight" for name in ("query", "key", "value", "output")}
    tables = {f"bert.{name}_embedding.weight" for name in ("token", "position", "segment")}
    assert changed == first | tables


@pytest.mark.parametrize(
    ("offsets", "d_model", "message"),
    [((1,), 32, r"each of the 2 heads needs an offset; got \[1\]"), ((1, 2), 6, "width must be even; got 3")],
)
def test_offsets_and_widths_that_do_not_fit_are_refused(offsets, d_model, message):
    with pytest.raises(ValueError, match=message):
        neighbourly(offsets, n_layers=1, n_heads=2, d_model=d_model)


def test_a_start_changes_both_tables_and_nothing_else():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=500, context_length=16, n_layers=1, n_heads=2, d_model=32))
    before = {name: p.clone() for name, p in model.named_parameters()}
    sinusoidal_initialization(model, scale=0.2)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"token_embedding.weight", "position_embedding.weight"}
    assert torch.allclose(model.position_embedding.weight, 0.2 * sinusoidal_positions(16, 32, base=1000))
    assert model.token_embedding.weight.std().item() == pytest.approx(0.2, rel=0.05)


def test_sinusoids_of_no_size_are_refused():
    with pytest.raises(ValueError, match="scale must be above 0; got 0"):
        sinusoidal_initialization(GPT(GPTConfig(5, 4, 1, 1, 8)), scale=0)
