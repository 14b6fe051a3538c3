"""T5 reads without its padding, writes without looking ahead, and goes by distances alone."""

import pytest
import torch
from small_models import T5_1_1, TINY, random_ids, tiny_t5

from companion.models.t5 import T5, T5Config

KINDS = pytest.mark.parametrize("sizes", [{}, T5_1_1], ids=["T5", "T5 1.1"])


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
        ({"norm_eps": -1.0}, "norm_eps must be at least 0 and below 1; got -1.0"),
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
