"""GPT is GPT-2: with the same weights it gives the same logits, attention, loss and gradients as ``transformers``."""

import pytest
import torch
from small_models import gpt2, random_ids, tiny_gpt

from companion.checkpoints.gpt2 import layout
from companion.losses import causal_loss
from companion.models.gpt import GPT, GPTConfig
from companion.nn.capture import capture

SHAPES = {
    "three heads": {},
    "one head, one layer": {"n_head": 1, "n_embd": 10, "n_layer": 1},
    "five heads, three layers": {"n_head": 5, "n_embd": 20, "n_layer": 3},
    "untied": {"tie_word_embeddings": False},
    "narrow feed-forward": {"n_inner": 7},
    "exact gelu": {"activation_function": "gelu"},
    "relu, larger epsilon": {"activation_function": "relu", "layer_norm_epsilon": 1e-2},
}


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def twins(request, tmp_path, dtype):
    """A random GPT-2 of ``transformers``, and what ``companion`` loads from the folder that it saved."""
    theirs = gpt2(**request.param)
    theirs.save_pretrained(tmp_path)
    return GPT.from_pretrained(tmp_path).to(dtype), theirs.to(dtype)


@pytest.fixture
def ids(twins):
    return random_ids(twins[0], 3, 11)


def error(ours, theirs):
    return (ours - theirs).abs().max().item()


def test_logits_equal_those_of_transformers(twins, ids):
    ours, theirs = twins
    assert error(ours(ids), theirs(ids).logits) < 1e-5


def test_every_attention_map_equals_that_of_transformers(twins, ids):
    ours, theirs = twins
    with capture(ours) as record:
        ours(ids)
    expected = theirs(ids, output_attentions=True).attentions
    assert len(record.attention) == len(expected)
    assert max(map(error, record.attention, expected)) < 1e-5


def test_every_hidden_state_equals_that_of_transformers(twins, ids):
    ours, theirs = twins
    with capture(ours) as record:
        ours(ids)
    expected = theirs(ids, output_hidden_states=True).hidden_states
    hidden = [*record.hidden[:-1], ours.final_norm(record.hidden[-1])]  # theirs are normalised at the end
    assert len(hidden) == len(expected)
    assert max(map(error, hidden, expected)) < 1e-5


def test_loss_and_every_gradient_equal_those_of_transformers(twins, ids):
    ours, theirs = twins
    our_loss, their_loss = causal_loss(ours, ids), theirs(ids, labels=ids).loss
    assert error(our_loss, their_loss) < 1e-6
    our_loss.backward()
    their_loss.backward()
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    expected = {name.removeprefix("transformer."): p.grad for name, p in theirs.named_parameters()}
    rules = layout(ours.config).rules
    assert {rule.theirs for rule in rules} == set(expected)
    assert max(error(rule.join(gradients), expected[rule.theirs]) for rule in rules) < 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_treated_as_transformers_treats_it(twins, ids, side):
    ours, theirs = twins
    real = torch.ones(3, 11, dtype=torch.bool)
    real[1, slice(0, 4) if side == "left" else slice(7, 11)] = False
    with capture(ours) as record:
        logits = ours(ids, attention_mask=real)
    positions = (real.cumsum(-1) - 1).clamp(min=0)  # as its own generate() counts them
    expected = theirs(ids, attention_mask=real.long(), position_ids=positions, output_attentions=True)
    assert error(logits[real], expected.logits[real]) < 1e-5
    rows = real[:, None, :, None]  # a padded query's row is nobody's business
    for weights, theirs_weights in zip(record.attention, expected.attentions, strict=True):
        assert error(weights * rows, theirs_weights * rows) < 1e-5


def test_later_tokens_never_change_earlier_logits():
    model = tiny_gpt()
    ids = random_ids(model, 4, 16)
    expected = model(ids)
    for first_changed in range(1, 16):
        changed = torch.cat([ids[:, :first_changed], (ids[:, first_changed:] + 7) % 31], dim=1)
        assert error(model(changed)[:, :first_changed], expected[:, :first_changed]) < 1e-6


def test_no_gradient_flows_back_from_earlier_logits_to_later_tokens():
    model = tiny_gpt()
    with capture(model, detach=False) as record:
        logits = model(random_ids(model, 1, 8))
    (gradient,) = torch.autograd.grad(logits[:, :5].square().sum(), record.hidden[0])
    assert (gradient[:, 5:] == 0).all()
    assert (gradient[:, :5] != 0).any()


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_has_no_influence(side):
    model = tiny_gpt()
    ids = random_ids(model, 2, 10)
    real = torch.ones(2, 10, dtype=torch.bool)
    real[1, slice(0, 3) if side == "left" else slice(7, 10)] = False
    changed = torch.where(real, ids, (ids + 5) % 31)
    assert torch.equal(model(ids, attention_mask=real)[real], model(changed, attention_mask=real)[real])


def test_a_mask_without_padding_changes_nothing():
    model = tiny_gpt()
    ids = random_ids(model, 2, 10)
    assert error(model(ids, attention_mask=torch.ones(2, 10, dtype=torch.bool)), model(ids)) < 1e-6


def test_a_row_of_nothing_but_padding_gives_finite_logits_and_gradients():
    model = tiny_gpt()
    real = torch.ones(2, 6, dtype=torch.bool)
    real[1] = False
    logits = model(random_ids(model, 2, 6), attention_mask=real)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("chunks", [(1,) * 12, (5, 7), (5, 1, 1, 4, 1), (12,)], ids=str)
def test_cached_logits_equal_uncached_ones(chunks):
    model = tiny_gpt()
    ids = random_ids(model, 3, 12)
    cache = model.new_cache()
    logits = torch.cat([model(chunk, cache=cache) for chunk in ids.split(chunks, dim=1)], dim=1)
    assert error(logits, model(ids)) < 1e-5
    assert {layer.length for layer in cache} == {12}


def test_cache_and_padding_work_together():
    model = tiny_gpt()
    ids = random_ids(model, 2, 9)
    real = torch.ones(2, 9, dtype=torch.bool)
    real[0, :3] = False
    cache = model.new_cache()
    logits = [model(ids[:, :5], attention_mask=real[:, :5], cache=cache)]
    logits += [model(ids[:, t : t + 1], attention_mask=real[:, : t + 1], cache=cache) for t in range(5, 9)]
    assert error(torch.cat(logits, dim=1)[real], model(ids, attention_mask=real)[real]) < 1e-5


def test_the_last_position_of_the_context_can_be_used():
    model = tiny_gpt()
    assert model(random_ids(model, 1, 16)).shape == (1, 16, 31)


def test_new_models_start_near_a_uniform_guess():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=512, context_length=32, n_layers=2, n_heads=2, d_model=32))
    loss = causal_loss(model, random_ids(model, 4, 32))
    assert loss.item() == pytest.approx(torch.tensor(512.0).log().item(), abs=0.1)


@pytest.mark.parametrize("tied", [True, False])
def test_only_tied_models_read_the_logits_off_the_embedding(tied):
    model = tiny_gpt(tied=tied)
    assert (model.unembedding.weight is model.token_embedding.weight) == tied
    assert ("unembedding.weight" in dict(model.named_parameters())) != tied


@pytest.mark.parametrize("shape", [(5,), (1, 0), (0, 4), (1, 2, 3)])
def test_ids_of_the_wrong_rank_and_empty_texts_are_refused(shape):
    with pytest.raises(ValueError, match=r"ids must be \(batch, length\), neither of them 0; got shape") as refusal:
        tiny_gpt()(torch.zeros(shape, dtype=torch.long))
    assert str(shape) in str(refusal.value)


def test_a_text_longer_than_the_context_is_refused():
    with pytest.raises(ValueError, match="17 tokens do not fit into the context of 16"):
        tiny_gpt()(torch.zeros(1, 17, dtype=torch.long))


def test_a_cache_counts_towards_the_context():
    model = tiny_gpt()
    cache = model.new_cache()
    model(torch.zeros(1, 15, dtype=torch.long), cache=cache)
    with pytest.raises(ValueError, match="17 tokens do not fit into the context of 16"):
        model(torch.zeros(1, 2, dtype=torch.long), cache=cache)
    assert cache[0].length == 15


@pytest.mark.parametrize("bad", [-1, 31, 1000])
def test_an_id_outside_the_vocabulary_is_named(bad):
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary, 0 to 30"):
        tiny_gpt()(torch.tensor([[3, bad, 4]]))


def test_a_mask_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"attention_mask must be \(batch, length\) = \(2, 5\); got \(2, 4\)"):
        tiny_gpt()(torch.zeros(2, 5, dtype=torch.long), attention_mask=torch.ones(2, 4, dtype=torch.bool))


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_a_mask_that_is_not_boolean_is_refused(dtype):
    with pytest.raises(TypeError, match=f"attention_mask must be boolean, True = a real token; got {dtype}"):
        tiny_gpt()(torch.zeros(2, 5, dtype=torch.long), attention_mask=torch.ones(2, 5, dtype=dtype))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("vocab_size", 0, "vocab_size must be at least 1; got 0"),
        ("context_length", -3, "context_length must be at least 1; got -3"),
        ("n_layers", 0, "n_layers must be at least 1; got 0"),
        ("n_heads", 5, "d_model must be a multiple of n_heads; got 12 and 5"),
        ("d_ff", 0, "d_ff must be at least 1; got 0"),
        ("dropout", 1.0, r"dropout must be in \[0, 1\); got 1.0"),
        ("activation", "swish", "activation must be one of gelu_new, gelu_pytorch_tanh, gelu, relu; got 'swish'"),
    ],
)
def test_impossible_sizes_are_refused(field, value, words):
    with pytest.raises(ValueError, match=words):
        tiny_gpt(**{field: value})
