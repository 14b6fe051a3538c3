"""Looking into a model changes nothing; silencing a head changes exactly that head."""

import numpy as np
import pytest
import torch
from small_models import random_ids, tiny_gpt
from torch import nn

from companion.models.bert import Bert, BertConfig
from companion.models.transformer import EncoderBlock, Transformer, TransformerConfig
from companion.nn.capture import ablate, attention_layers, capture


@pytest.fixture
def model():
    return tiny_gpt(n_layers=3, d_model=12, n_heads=3)


@pytest.fixture
def ids(model):
    return random_ids(model, 2, 5)


def untouched(model):
    hooks = [h for m in model.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]
    return not hooks and not any(layer.observers for layer in attention_layers(model))


def test_one_attention_tensor_a_layer_and_one_hidden_state_more(model, ids):
    with capture(model) as record:
        model(ids)
    assert [tuple(weights.shape) for weights in record.attention] == [(2, 3, 5, 5)] * 3
    assert [tuple(hidden.shape) for hidden in record.hidden] == [(2, 5, 12)] * 4


def test_the_logits_are_the_same_with_and_without(model, ids):
    expected = model(ids)
    with capture(model):
        torch.testing.assert_close(model(ids), expected)


def test_weights_are_causal_distributions(model, ids):
    with capture(model) as record:
        model(ids)
    for weights in record.attention:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5))
        assert (weights.triu(1) == 0).all()


def test_layers_are_in_the_order_of_the_model(model, ids):
    with capture(model) as record:
        model(ids)
    for layer, block in enumerate(model.blocks):
        torch.testing.assert_close(block(record.hidden[layer]), record.hidden[layer + 1])
    torch.testing.assert_close(model.unembedding(model.final_norm(record.hidden[-1])), model(ids))


def test_the_first_hidden_state_is_the_embedding(model, ids):
    with capture(model) as record:
        model(ids)
    expected = model.token_embedding(ids) + model.position_embedding.weight[:5]
    assert torch.equal(record.hidden[0], expected)


def test_a_cached_step_records_the_new_rows(model, ids):
    with capture(model) as record:
        model(ids)
        whole = record.attention[1]
        cache = model.new_cache()
        model(ids[:, :4], cache=cache)
        model(ids[:, 4:], cache=cache)
    torch.testing.assert_close(record.attention[1], whole[:, :, 4:])


def test_records_are_detached(model, ids):
    with capture(model) as record:
        model(ids)
    assert not any(t.requires_grad for t in record.attention + record.hidden)


def test_records_keep_the_graph_when_asked(model, ids):
    with capture(model, detach=False) as record:
        logits = model(ids)
    gradients = torch.autograd.grad(logits.sum(), record.attention + record.hidden)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_second_run_replaces_the_first(model, ids):
    with capture(model) as record:
        model(ids)
        model(ids[:, :3])
    assert [weights.size(-1) for weights in record.attention] == [3, 3, 3]
    assert len(record.hidden) == 4


def test_nothing_is_left_behind(model, ids):
    with capture(model), ablate(model, {(0, 0)}):
        model(ids)
    assert untouched(model)


def test_nothing_is_left_behind_by_an_exception(model):
    with pytest.raises(RuntimeError, match="stop"), capture(model), ablate(model, {(0, 0), (2, 1)}):
        raise RuntimeError("stop")
    assert untouched(model)


def test_two_captures_record_independently(model, ids):
    with capture(model) as outer:
        with capture(model) as inner:
            model(ids)
        model(ids[:, :2])
    assert inner.attention[0].size(-1) == 5
    assert outer.attention[0].size(-1) == 2


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (1, 2), (2, 1)])
def test_ablating_a_head_equals_zeroing_its_slice_of_the_output_matrix(model, ids, layer, head):
    with ablate(model, {(layer, head)}):
        ablated = model(ids)
    d_head = 12 // 3
    with torch.no_grad():
        model.blocks[layer].attention.output.weight[:, head * d_head : (head + 1) * d_head] = 0
    torch.testing.assert_close(ablated, model(ids))


def test_ablation_ends_with_the_block(model, ids):
    expected = model(ids)
    with ablate(model, {(0, 1)}):
        assert not torch.allclose(model(ids), expected)
    assert torch.equal(model(ids), expected)


def test_several_heads_of_several_layers_are_silenced_together(model, ids):
    with ablate(model, [(0, 0), (0, 2), (1, 1)]), capture(model) as record:
        model(ids)
    silent = [
        (layer, head)
        for layer, weights in enumerate(record.attention)
        for head in range(3)
        if not weights[:, head].any()
    ]
    assert silent == [(0, 0), (0, 2), (1, 1)]


def test_what_is_recorded_is_what_was_used_whichever_came_first(model, ids):
    with capture(model) as record, ablate(model, {(1, 0)}):
        model(ids)
    assert not record.attention[1][:, 0].any()


def test_ablating_nothing_changes_nothing(model, ids):
    with ablate(model, set()):
        assert torch.equal(model(ids), model(ids))


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((3, 0), "layer must be 0 to 2; got 3"),
        ((-1, 0), "layer must be 0 to 2; got -1"),
        ((0, 3), "head must be 0 to 2; got 3"),
        ((0, -1), "head must be 0 to 2; got -1"),
    ],
)
def test_an_unknown_layer_or_head_is_refused_and_nothing_is_left_behind(model, pair, words):
    with pytest.raises(ValueError, match=words), ablate(model, [(0, 0), pair]):
        pass
    assert untouched(model)


@pytest.mark.parametrize("look", [capture, lambda model: ablate(model, {(0, 0)})])
def test_a_model_without_attention_is_refused_by_name(look):
    with pytest.raises(ValueError, match="Sequential has no companion attention layer"), look(nn.Sequential()):
        pass


# Encoders, decoders, and layers that are shared


def translator():
    torch.manual_seed(0)
    config = TransformerConfig(vocab_size=11, context_length=8, n_layers=2, n_heads=3, d_model=12)
    return Transformer(config).eval()


def test_an_encoder_and_a_decoder_are_recorded_one_after_the_other_and_cross_attention_apart():
    model = translator()
    with capture(model) as record:
        model(torch.ones(2, 5, dtype=torch.long), torch.ones(2, 4, dtype=torch.long))
    assert [tuple(w.shape) for w in record.attention] == [(2, 3, 5, 5)] * 2 + [(2, 3, 4, 4)] * 2
    assert [tuple(w.shape) for w in record.cross_attention] == [(2, 3, 4, 5)] * 2
    assert [tuple(h.shape) for h in record.hidden] == [(2, 5, 12)] * 3 + [(2, 4, 12)] * 3


class Shared(nn.Module):
    """One block, used three times."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([EncoderBlock(12, 3, 24, "gelu")] * 3)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_a_shared_block_is_recorded_each_time_it_is_used():
    torch.manual_seed(0)
    model, x = Shared().eval(), torch.randn(2, 5, 12)
    with capture(model) as record:
        output = model(x)
    assert len(record.attention) == 3
    assert len(record.hidden) == 4
    assert torch.equal(record.hidden[0], x)
    assert torch.equal(record.hidden[-1], output)
    assert len(attention_layers(model)) == 3


def test_one_use_of_a_shared_block_is_silenced_alone():
    torch.manual_seed(0)
    model, x = Shared().eval(), torch.randn(2, 5, 12)
    for _ in range(2):  # each run counts anew
        with ablate(model, [(1, 2)]), capture(model) as record:
            model(x)
        silent = [[bool((w[:, head] == 0).all()) for head in range(3)] for w in record.attention]
        assert silent == [[False] * 3, [False, False, True], [False] * 3]


@pytest.mark.parametrize("heads", [["00"], [(0,)], [(0, 1, 2)], "00", ["a"]], ids=str)
def test_heads_that_are_no_pairs_are_refused(model, heads):
    with pytest.raises(ValueError, match=r"heads must be pairs \(layer, head\); got"), ablate(model, heads):
        pass


@torch.no_grad()
@pytest.mark.parametrize("kind", [torch.tensor, np.array, lambda pairs: [tuple(torch.tensor(pair)) for pair in pairs]])
def test_pairs_may_be_of_torch_or_numpy(kind):
    model = tiny_gpt()
    ids = random_ids(model, 2, 6)
    pairs = [(0, 1), (1, 0)]
    with ablate(model, pairs):
        expected = model(ids)
    with ablate(model, kind(pairs)):
        assert torch.equal(model(ids), expected)
    assert not torch.equal(model(ids), expected)


@pytest.mark.parametrize(
    "pair", [(0, 0.5), (True, 0), ("0", "1"), 0, torch.tensor([0.0, 1.0]), torch.tensor([True, False])]
)
def test_half_a_head_is_none(pair):
    with pytest.raises(ValueError, match=r"heads must be pairs \(layer, head\); got"), ablate(tiny_gpt(), [pair]):
        pass


@torch.no_grad()
def test_after_an_interrupted_run_a_shared_block_is_silenced_where_it_was_asked():
    config = BertConfig.albert(vocab_size=14, context_length=8, n_layers=4, n_heads=2, d_model=8)
    torch.manual_seed(0)
    model, ids = Bert(config).eval(), torch.tensor([[3, 1, 4, 1, 5]])

    def interrupt(*_):
        raise KeyboardInterrupt

    with ablate(model, [(0, 0)]):
        expected = model(ids)
        hook = attention_layers(model)[0].register_forward_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            model(ids)
        hook.remove()
        assert torch.equal(model(ids), expected)
    assert not model._forward_pre_hooks
