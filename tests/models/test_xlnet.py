"""XLNet predicts each target from what comes before it in the order, from where it stands, and from nothing else."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT, TINY_XLNET, random_ids, tiny_xlnet

from companion.metrics.language_model import excess_nll
from companion.models.xlnet import LeftToRight, XLNet, XLNetConfig
from companion.nn.capture import ablate, capture
from companion.nn.masks import order_mask
from companion.storyworld import World, rows
from companion.training.optimizers import make_optimizers

LENGTH = 7
MODEL = tiny_xlnet()
IDS = random_ids(MODEL, 2, LENGTH)
ORDER = torch.stack([torch.tensor([3, 0, 6, 2, 5, 1, 4]), torch.arange(LENGTH)])
EVERY = torch.arange(LENGTH).expand(2, -1)  # each position is a target

permutations = st.permutations(range(LENGTH)).map(torch.tensor)


def predictions(ids=IDS, order=ORDER, targets=EVERY, **given):
    with torch.no_grad():
        return MODEL(ids, order=order, targets=targets, **given)


def changed(ids, place):
    """The same texts with another token at one place."""
    other = ids.clone()
    other[:, place] = (other[:, place] + 1) % TINY_XLNET["vocab_size"]
    return other


def moved(before, after, limit=1e-6):
    """Which positions' logits moved: (batch, positions)."""
    return (before - after).abs().amax(-1) > limit


# What the query stream sees


def test_a_target_does_not_see_itself():
    for place in range(LENGTH):
        assert not moved(predictions(), predictions(changed(IDS, place)))[:, place].any()


@PATIENT
@given(permutations, st.integers(0, LENGTH - 1))
def test_a_changed_token_moves_the_predictions_of_later_rank_and_no_other(order, place):
    order = order.expand(2, -1)
    seen = moved(predictions(order=order), predictions(changed(IDS, place), order=order))
    assert torch.equal(seen, order > order[:, place : place + 1])


@PATIENT
@given(permutations, st.integers(0, LENGTH - 1))
def test_the_gradient_reaches_a_target_from_lower_ranks_alone(order, place):
    with capture(MODEL, detach=False) as record:
        logits = MODEL(IDS[:1], order=order[None], targets=torch.tensor([[place]]))
    if order[place] == 0:
        return
    (gradient,) = torch.autograd.grad(logits[0, 0].square().sum(), record.hidden[0])
    reached = gradient[0, :LENGTH].abs().amax(-1) > 0  # exactly
    assert torch.equal(reached, order < order[place])


def test_the_order_from_left_to_right_is_the_causal_one():
    order = torch.arange(LENGTH).expand(2, -1)
    for place in range(LENGTH):
        seen = moved(predictions(order=order), predictions(changed(IDS, place), order=order))
        assert torch.equal(seen, (torch.arange(LENGTH) > place).expand(2, -1))


def test_the_first_of_the_order_is_predicted_from_nothing():
    first = ORDER.argmin(1, keepdim=True)
    logits = predictions(targets=first)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits, predictions(random_ids(MODEL, 2, LENGTH, seed=1), targets=first))
    torch.testing.assert_close(logits[0], logits[1])


def test_two_targets_that_see_the_same_differ_by_where_they_stand():
    order = torch.tensor([[0, 1, 2, 3, 4, 4, 4]])
    logits = predictions(IDS[:1], order, torch.tensor([[4, 5, 6]]))
    assert not torch.allclose(logits[0, 0], logits[0, 1], atol=1e-3)
    assert not torch.allclose(logits[0, 1], logits[0, 2], atol=1e-3)


def test_positions_of_one_rank_are_predicted_without_each_other():
    order = torch.tensor([[0, 1, 1, 0, 0, 1, 0]])
    targets = torch.tensor([[1, 2, 5]])
    before = predictions(IDS[:1], order, targets)
    for place in (1, 2, 5):
        assert not moved(before, predictions(changed(IDS[:1], place), order, targets)).any()


def test_targets_may_be_asked_for_in_any_number_and_order():
    some = torch.tensor([[5, 2, 2], [6, 0, 3]])
    expected = predictions().gather(1, some[..., None].expand(-1, -1, TINY_XLNET["vocab_size"]))
    torch.testing.assert_close(predictions(targets=some), expected)


def test_asking_leaves_the_content_stream_alone():
    with capture(MODEL) as asked:
        predictions()
    with capture(MODEL) as alone, torch.no_grad():
        MODEL(IDS, order=ORDER)
    for with_query, without in zip(asked.hidden, alone.hidden, strict=True):
        torch.testing.assert_close(with_query[:, :LENGTH], without)


# What the content stream sees


@PATIENT
@given(permutations, st.integers(0, LENGTH - 1))
def test_the_content_stream_sees_its_own_token_too(order, place):
    order = order.expand(2, -1)
    with torch.no_grad():
        seen = moved(MODEL(IDS, order=order), MODEL(changed(IDS, place), order=order))
    assert torch.equal(seen, order >= order[:, place : place + 1])


def test_without_an_order_every_position_sees_every_other():
    with torch.no_grad():
        assert moved(MODEL(IDS), MODEL(changed(IDS, 3))).all()


def test_only_distance_is_known_of_a_position():
    """The same words, moved three places by padding before them, say the same."""
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), IDS], dim=1)
    real = torch.arange(3 + LENGTH).expand(2, -1) >= 3
    with torch.no_grad():
        torch.testing.assert_close(MODEL(padded, real)[:, 3:], MODEL(IDS))


def test_segments_matter_and_their_numbers_do_not():
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1]]).expand(2, -1)
    with torch.no_grad():
        plain, two = MODEL(IDS), MODEL(IDS, token_type_ids=types)
        torch.testing.assert_close(MODEL(IDS, token_type_ids=3 - 2 * types), two)
        torch.testing.assert_close(MODEL(IDS, token_type_ids=torch.ones_like(types)), plain)
    assert not torch.allclose(plain, two, atol=1e-3)


# From left to right


def test_left_to_right_is_the_identity_order():
    with torch.no_grad():
        logits = LeftToRight(MODEL)(IDS[:, :-1])
    torch.testing.assert_close(logits, predictions(order=EVERY)[:, 1:])


def test_left_to_right_each_position_is_blind_to_later_ones():
    causal = LeftToRight(MODEL)
    for place in range(LENGTH):
        with torch.no_grad():
            seen = moved(causal(IDS), causal(changed(IDS, place)))
        assert torch.equal(seen, (torch.arange(LENGTH) >= place).expand(2, -1))


def test_left_to_right_no_model_is_below_the_floor_of_the_world():
    world = World("tiny")
    stories = world.stories(20)
    causal = LeftToRight(XLNet(XLNetConfig(len(world.vocabulary), 1, 2, 8))).eval()
    assert excess_nll(causal, rows(stories), [story.log_probs for story in stories]).value > 0


# Padding


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_has_no_influence_on_either_stream(side):
    real = torch.arange(LENGTH).expand(2, -1)
    real = real >= 2 if side == "left" else real < LENGTH - 2
    targets = real.nonzero()[:, 1].view(2, -1)
    other = torch.where(real, IDS, (IDS + 7) % TINY_XLNET["vocab_size"])
    asked = predictions(attention_mask=real, targets=targets)
    torch.testing.assert_close(predictions(other, attention_mask=real, targets=targets), asked)
    with torch.no_grad():
        before, after = MODEL(IDS, real), MODEL(other, real)
    torch.testing.assert_close(before[real], after[real])


def test_padding_reads_itself_and_nothing_is_undefined():
    real = torch.zeros(2, LENGTH, dtype=torch.bool)
    with capture(MODEL) as record:
        logits = predictions(attention_mask=real)
    assert logits.isfinite().all()
    for content, query in zip(record.attention, record.query_attention, strict=True):
        torch.testing.assert_close(content, torch.eye(LENGTH).expand_as(content))
        assert (query == 0).all()


# Looking inside


def test_both_streams_are_recorded_under_their_own_names():
    with capture(MODEL) as record:
        predictions(targets=EVERY[:, :3])
    assert [tuple(maps.shape) for maps in record.attention] == [(2, 2, LENGTH, LENGTH)] * 2
    assert [tuple(maps.shape) for maps in record.query_attention] == [(2, 2, 3, LENGTH)] * 2
    assert len(record.hidden) == 3


def test_the_recorded_maps_are_zero_where_the_order_forbids():
    with capture(MODEL) as record:
        predictions()
    content, query = order_mask(ORDER, own=True), order_mask(ORDER)
    for layer in range(2):
        assert torch.equal(record.attention[layer] > 0, content[:, None].expand(-1, 2, -1, -1))
        assert torch.equal(record.query_attention[layer] > 0, query[:, None].expand(-1, 2, -1, -1))


def test_watching_changes_nothing():
    unwatched = predictions()
    with capture(MODEL):
        torch.testing.assert_close(predictions(), unwatched)


def test_a_silenced_head_shows():
    with ablate(MODEL, [(0, 1)]):
        silenced = predictions()
    assert not torch.allclose(silenced, predictions(), atol=1e-4)


def test_muon_takes_the_projections_and_leaves_biases_and_embeddings():
    muon = make_optimizers(MODEL, "muon", 1e-3, 0.1)[1]
    taken = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name.split(".", 2)[2] for name, p in MODEL.named_parameters() if id(p) in taken}
    projections = {f"attention.{name}.weight" for name in ("query", "key", "value", "position", "output")}
    assert names == projections | {"feed_forward.expand.weight", "feed_forward.contract.weight"}


# Bad input


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ids": IDS[0]}, r"ids must be \(batch, length\)"),
        ({"ids": IDS[:, :0]}, r"neither of them 0; got shape \(2, 0\)"),
        ({"ids": IDS + 31}, "outside the vocabulary, 0 to 30"),
        ({"attention_mask": torch.ones(2, 3, dtype=torch.bool)}, r"attention_mask must be .* \(2, 7\); got \(2, 3\)"),
        ({"token_type_ids": torch.zeros(2, 3, dtype=torch.long)}, r"token_type_ids must be of shape \(2, 7\)"),
        ({"order": ORDER[0]}, r"order must be of shape \(2, 7\); got \(7,\)"),
        ({"order": ORDER[:1]}, r"order must be of shape \(2, 7\); got \(1, 7\)"),
        ({"targets": EVERY[:1]}, r"targets must be of shape \(2, at least 1\); got \(1, 7\)"),
        ({"targets": EVERY[:, :0]}, r"targets must be of shape \(2, at least 1\); got \(2, 0\)"),
        ({"targets": EVERY + 1}, "targets must be positions, 0 to 6; got 7"),
        ({"targets": EVERY - 1}, "targets must be positions, 0 to 6; got -1"),
        ({"order": None}, "targets need an order"),
    ],
    ids=str,
)
def test_a_bad_value_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        predictions(**given)


@pytest.mark.parametrize("name", ["order", "targets", "token_type_ids"])
def test_numbers_that_are_no_integers_are_refused(name):
    with pytest.raises(TypeError, match=f"{name} must be integers; got torch.float32"):
        predictions(**{name: EVERY.float()})


def test_a_mask_that_is_not_boolean_is_refused():
    with pytest.raises(TypeError, match="attention_mask must be boolean"):
        predictions(attention_mask=torch.ones(2, LENGTH))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"d_model": 9, "n_heads": 3}, "d_model must be even, for sines and cosines; got 9"),
        ({"n_heads": 5}, "d_model must be a multiple of n_heads; got 12 and 5"),
        ({"n_layers": 0}, "n_layers must be at least 1; got 0"),
        ({"d_ff": 0}, "d_ff must be at least 1; got 0"),
        ({"activation": "swish"}, "activation must be one of .*gelu.*; got 'swish'"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
    ],
    ids=str,
)
def test_a_bad_size_is_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        XLNetConfig(**TINY_XLNET | sizes)
