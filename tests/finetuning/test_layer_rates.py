"""A schedule of layers touches exactly those that it names; what is frozen stays the same bit for bit."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT, random_ids, tiny_bert, tiny_gpt, tiny_transformer
from torch import nn

from companion.finetuning.heads import SequenceClassifier
from companion.finetuning.layer_rates import (
    combined,
    discriminative_rates,
    frozen_features,
    gradual_unfreezing,
    layers,
    unfreezing,
)
from companion.training import Checkpoint, Optimization, Runtime, fit
from companion.training.optimizers import NAMES

QUICK = {"learning_rate": 1e-2, "runtime": Runtime(device="cpu"), "progress": False}
STEADY = Optimization(schedule="constant", warmup=0)


def classifier(family="bert", **sizes):
    model = SequenceClassifier(tiny_bert(family=family, **{"dropout": 0.1} | sizes), ["no", "yes"], pooling="cls")
    model.bert.pooler = None  # so that every parameter has a gradient
    return model


def train(model, lr_multiplier=None, steps=6, optimizer="adamw", weight_decay=0.1, **options):
    ids = random_ids(model, 4, 7)

    def loss(m, batch):
        return nn.functional.cross_entropy(m(batch), torch.tensor([0, 1, 1, 0]))

    optimization = replace(STEADY, optimizer=optimizer, weight_decay=weight_decay, lr_multiplier=lr_multiplier)
    return fit(model, [ids], steps=steps, loss=loss, optimization=optimization, **QUICK | options)


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def touched(model, lr_multiplier, steps=6, **options):
    """The layers that each step changes, and the layers whose parameters all change."""
    before, steps_seen = [weights(model)], []
    numbers = layers(model)
    movable = {name for name in numbers if not name.endswith("key.bias")}  # the softmax does not see it

    def note(_, __):
        changed = {name for name, p in weights(model).items() if not torch.equal(p, before[0][name])}
        some = {numbers[name] for name in changed}
        whole = {number for number in some if {n for n in movable if numbers[n] == number} <= changed}
        steps_seen.append((some, whole))
        before[0] = weights(model)

    train(model, lr_multiplier, steps, progress=note, **options)
    return steps_seen


# Numbers of layers


def of(model, part):
    return {number for name, number in layers(model).items() if part in name}


def test_embeddings_are_layer_0_blocks_are_counted_and_the_head_is_last():
    model = SequenceClassifier(tiny_bert(n_layers=3), ["no", "yes"])
    assert of(model, "embedding") == {0}
    assert [of(model, f"blocks.{i}.") for i in range(3)] == [{1}, {2}, {3}]
    assert of(model, "pooler") == of(model, "classifier") == {4}


def test_the_final_norm_of_a_gpt_comes_after_its_blocks():
    model = tiny_gpt(tied=False)
    assert of(model, "_embedding") == {0}
    assert of(model, "final_norm") == of(model, "unembedding") == {3}


def test_a_block_that_is_used_again_and_again_is_one_layer():
    model = classifier("albert", n_layers=4, d_embedding=6)
    assert set(layers(model).values()) == {0, 1, 2}
    assert of(model, "widen") == {0}


def test_the_blocks_of_a_decoder_are_counted_on():
    model = tiny_transformer()
    assert [of(model, f"{side}.blocks.{i}.") for side in ("encoder", "decoder") for i in (0, 1)] == [{1}, {2}, {3}, {4}]


def test_a_model_without_blocks_is_refused():
    with pytest.raises(ValueError, match="Linear has no blocks, so its parameters belong to no layers"):
        layers(nn.Linear(2, 2))


# The schedule touches exactly the layers it names


@settings(PATIENT, max_examples=8)
@given(st.dictionaries(st.integers(0, 3), st.integers(1, 4), min_size=1), st.sampled_from(NAMES))
def test_each_step_touches_exactly_the_layers_that_are_named(first_steps, optimizer):
    first_steps |= {min(first_steps): 1}  # one of them trains from the start
    model = classifier()
    for step, (some, whole) in enumerate(touched(model, unfreezing(model, first_steps), 4, optimizer=optimizer), 1):
        assert some == whole == {layer for layer, first in first_steps.items() if step >= first}


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "distilbert"])
def test_gradual_unfreezing_goes_down_one_layer_at_a_time(family):
    model = classifier(family)
    top = max(layers(model).values())
    seen = [some for some, _ in touched(model, gradual_unfreezing(model, every=2), 2 * top + 3)]
    assert seen == [set(range(max(0, top - (step - 1) // 2), top + 1)) for step in range(1, 2 * top + 4)]


def test_frozen_features_train_the_head_alone():
    model = classifier()
    assert touched(model, frozen_features(model), 3) == [({3}, {3})] * 3


# Frozen is frozen


@pytest.mark.parametrize("optimizer", NAMES)
def test_frozen_parameters_are_the_same_bit_for_bit(optimizer):
    model = classifier()
    before = weights(model)
    train(model, frozen_features(model), optimizer=optimizer, weight_decay=0.5)
    after = weights(model)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if not name.startswith("classifier.")}


@pytest.mark.parametrize("optimizer", NAMES)
def test_a_layer_that_is_frozen_on_the_way_does_not_drift_on(optimizer):
    model = classifier()
    numbers = layers(model)
    seen = touched(model, lambda name, step: float(numbers[name] == 3 or step <= 2), 5, optimizer=optimizer)
    assert [some for some, _ in seen] == [{0, 1, 2, 3}] * 2 + [{3}] * 3


def test_what_is_frozen_gets_no_gradient_and_does_not_count_in_the_norm():
    model, seen = classifier(dropout=0.0), []

    def keep(*_):
        seen.append({name for name, p in model.named_parameters() if p.requires_grad})

    model.register_forward_hook(keep)
    history = train(model, frozen_features(model), 1)
    assert seen == [{"classifier.weight", "classifier.bias"}]
    head = classifier(dropout=0.0)
    head.bert.requires_grad_(False)
    assert history.gradient_norm == train(head, None, 1).gradient_norm


def test_afterwards_everything_may_train_again():
    model = classifier()
    train(model, frozen_features(model))
    assert all(p.requires_grad for p in model.parameters())


def test_after_an_error_too():
    model = classifier()
    with pytest.raises(FloatingPointError):
        fit(
            model,
            [random_ids(model, 1, 3)],
            steps=1,
            loss=lambda m, b: m(b).sum() * torch.nan,
            optimization=replace(STEADY, lr_multiplier=frozen_features(model)),
            **QUICK,
        )
    assert all(p.requires_grad for p in model.parameters())


def test_what_was_frozen_by_hand_is_never_asked_about():
    model = classifier()
    model.bert.requires_grad_(False)
    asked = set()
    train(model, lambda name, step: asked.add(name) or 1.0)
    assert asked == {"classifier.weight", "classifier.bias"}
    assert not any(p.requires_grad for p in model.bert.parameters())


# Shares


@pytest.mark.parametrize("optimizer", NAMES)
def test_a_multiplier_of_one_for_all_changes_nothing(optimizer):
    one, other = classifier(), classifier()
    train(one, optimizer=optimizer)
    train(other, lambda name, step: 1.0, optimizer=optimizer)
    assert all(map(torch.equal, weights(one).values(), weights(other).values()))


@pytest.mark.parametrize("optimizer", NAMES)
def test_a_step_is_as_long_as_its_multiplier(optimizer):
    def first_step(lr_multiplier):
        model = classifier()
        before = weights(model)
        train(model, lr_multiplier(model), 1, optimizer=optimizer, weight_decay=0.0)
        return {name: p - before[name] for name, p in weights(model).items()}

    plain, scaled = first_step(lambda _: None), first_step(discriminative_rates)
    numbers = layers(classifier())
    for name, change in plain.items():
        torch.testing.assert_close(scaled[name], change * 2.6 ** (numbers[name] - 3), rtol=1e-3, atol=1e-6)


def test_rates_fall_by_the_factor_from_layer_to_layer():
    model = classifier()
    lr_multiplier = discriminative_rates(model, 2.0)
    factors = {number: lr_multiplier(name, 1) for name, number in layers(model).items()}
    assert factors == {0: 1 / 8, 1: 1 / 4, 2: 1 / 2, 3: 1}


def test_two_of_them_are_multiplied():
    model = classifier()
    both = combined(gradual_unfreezing(model, 3), discriminative_rates(model))
    name = next(name for name, number in layers(model).items() if number == 2)
    assert [both(name, step) for step in (1, 3, 4)] == [0, 0, pytest.approx(1 / 2.6)]


def test_multipliers_go_with_the_schedule_and_its_warm_up():
    class Scalar(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    model, places = Scalar(), [0.0]
    fit(
        model,
        [torch.ones(1)],
        steps=4,
        loss=lambda m, _: m.w.sum(),
        learning_rate=1.0,
        optimization=Optimization("sgd", schedule="linear", warmup=1, lr_multiplier=lambda _, step: 1 / step),
        runtime=Runtime(device="cpu"),
        progress=lambda *_: places.append(model.w.item()),
    )
    moves = [a - b for a, b in itertools.pairwise(places)]
    assert moves == pytest.approx([1, 2 / 3 / 2, 1 / 3 / 3, 0])


# Exact resume


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("optimizer", NAMES)
@pytest.mark.parametrize("last", [1, 3, 4, 6])
def test_a_run_that_was_interrupted_ends_with_the_same_weights(tmp_path, last, optimizer):
    def run(path=None, stop=None):
        def on_step(step, _):
            if step == stop:
                raise Interrupted

        model = classifier(dropout=0.2)
        lr_multiplier = combined(gradual_unfreezing(model, 2), discriminative_rates(model))
        checkpoint = path and Checkpoint(path, every=1)
        train(model, lr_multiplier, 7, optimizer, progress=on_step, checkpoint=checkpoint)
        return weights(model)

    expected = run()
    with pytest.raises(Interrupted):
        run(tmp_path / "run", last)
    resumed = run(tmp_path / "run")
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


# What makes no sense


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: unfreezing(m, {}), "at least one layer must train; name some of 0 to 3"),
        (lambda m: unfreezing(m, {4: 1}), "a layer's number is 0 .* to 3 .*; got 4"),
        (lambda m: unfreezing(m, {-1: 1}), "got -1"),
        (lambda m: unfreezing(m, {1: 0}), "steps are counted from 1; got 0 for layer 1"),
        (lambda m: gradual_unfreezing(m, 0), "every must be at least 1 step; got 0"),
        (lambda m: discriminative_rates(m, 0.5), "factor must be at least 1.*; got 0.5"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(classifier())


@pytest.mark.parametrize("multiplier", [-0.1, float("nan"), float("inf")])
def test_a_multiplier_out_of_range_is_refused_with_its_parameter_and_step(multiplier):
    model, before = classifier(), weights(classifier())
    with pytest.raises(ValueError, match=f"at least 0; got {multiplier} for classifier.bias at step 2"):
        train(model, lambda name, step: multiplier if (name, step) == ("classifier.bias", 2) else 1.0)
    assert all(map(torch.equal, weights(model).values(), before.values()))


def test_a_step_at_which_nothing_trains_is_refused():
    model = classifier()
    with pytest.raises(ValueError, match="at each step a parameter must train; at step 1 lr_multiplier is 0 for all"):
        train(model, unfreezing(model, {3: 2}))


def test_a_model_that_is_frozen_whole_is_refused():
    model = classifier()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter of the SequenceClassifier requires a gradient"):
        train(model)
