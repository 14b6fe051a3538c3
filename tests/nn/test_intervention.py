"""An intervention replaces what it names, where it names it, and leaves no trace; errors name what was given."""

import pytest
import torch
from small_models import random_ids, tiny_gpt

from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.models.transformer import Transformer, TransformerConfig
from companion.nn.capture import ablate, capture
from companion.nn.intervention import intervene


@pytest.fixture
def model():
    return tiny_gpt(n_layers=3, d_model=12, n_heads=3)


@pytest.fixture
def ids(model):
    return random_ids(model, 2, 5)


def same(x):
    return x


def test_an_edit_that_changes_nothing_changes_nothing(model, ids):
    expected = model(ids)
    with intervene(model, hidden=dict.fromkeys(range(4), same), heads=dict.fromkeys(range(3), same)):
        torch.testing.assert_close(model(ids), expected)


def test_the_model_is_as_before_afterwards(model, ids):
    expected = model(ids)
    with intervene(model, hidden={0: torch.zeros_like}, heads={1: torch.zeros_like}):
        assert not torch.allclose(model(ids), expected)
    torch.testing.assert_close(model(ids), expected)


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_hidden_states_of_another_text_give_its_logits(model, ids, layer):
    with capture(model) as record:
        expected = model(ids)
    other = (ids + 1) % model.config.vocab_size
    with intervene(model, hidden={layer: lambda hidden: record.hidden[layer]}):
        torch.testing.assert_close(model(other), expected)


def test_head_outputs_are_those_that_the_output_matrix_mixes(model, ids):
    with capture(model) as record:
        model(ids)
    block = model.blocks[1]
    mixed = block.attention.output(record.heads[1].transpose(1, 2).flatten(2))
    torch.testing.assert_close(mixed, block.attention(block.attention_norm(record.hidden[1]), causal=True))


def test_zeros_in_the_place_of_a_head_are_its_ablation(model, ids):
    def without_the_second(outputs):
        return outputs * torch.tensor([1.0, 0.0, 1.0])[:, None, None]

    with ablate(model, [(2, 1)]):
        expected = model(ids)
    with intervene(model, heads={2: without_the_second}):
        torch.testing.assert_close(model(ids), expected)


def test_a_patch_at_one_position_does_not_reach_back(model, ids):
    expected = model(ids)

    def third_exchanged(hidden):
        return torch.cat([hidden[:, :2], -hidden[:, 2:3], hidden[:, 3:]], dim=1)

    with intervene(model, hidden={1: third_exchanged}):
        found = model(ids)
    torch.testing.assert_close(found[:, :2], expected[:, :2])
    assert not torch.allclose(found[:, 2:], expected[:, 2:])


def test_what_is_recorded_inside_is_what_is_used(model, ids):
    with intervene(model, hidden={2: torch.zeros_like}, heads={0: torch.ones_like}), capture(model) as record:
        model(ids)
    assert not record.hidden[2].any()
    assert record.heads[0].eq(1).all()


def test_heads_that_share_keys_are_replaced_one_by_one():
    sizes = {"vocab_size": 10, "context_length": 8, "n_layers": 2, "n_heads": 4, "d_model": 16, "n_kv_heads": 2}
    model = ModernDecoder(ModernConfig(**sizes)).eval()
    ids = torch.tensor([[1, 2, 3]])
    with intervene(model, heads={1: torch.zeros_like}), capture(model) as record:
        model(ids)
    assert record.heads[1].shape == (1, 4, 3, 4)
    assert not record.heads[1].any()


@pytest.mark.parametrize("where", [{"hidden": {4: same}}, {"heads": {3: same}}, {"hidden": {-1: same}}])
def test_a_layer_that_is_not_there_is_refused(model, where):
    with pytest.raises(ValueError, match=r"must be 0 to \d; got"), intervene(model, **where):
        pass


def test_an_edit_of_another_shape_is_refused(model, ids):
    with (
        intervene(model, hidden={1: lambda hidden: hidden[:, :1]}),
        pytest.raises(ValueError, match=r"keep the shape \(2, 5, 12\); got \(2, 1, 12\)"),
    ):
        model(ids)


def test_a_model_of_two_stacks_is_refused():
    model = Transformer(TransformerConfig(vocab_size=9, context_length=6, n_layers=1, n_heads=2, d_model=8))
    with pytest.raises(ValueError, match="one stack of blocks"), intervene(model, hidden={0: same}):
        pass


def test_an_edit_that_returns_nothing_is_named():
    def in_place(hidden):
        hidden[:] = 0

    model = tiny_gpt()
    with (
        intervene(model, hidden={1: in_place}),
        pytest.raises(ValueError, match="an edit must return a tensor .* got None"),
    ):
        model(random_ids(model, 1, 6))


@pytest.mark.parametrize("layer", [0.5, True, "1"])
def test_half_a_layer_is_none(layer):
    with pytest.raises(ValueError, match="a layer of hidden must be 0 to "), intervene(tiny_gpt(), hidden={layer: abs}):
        pass
