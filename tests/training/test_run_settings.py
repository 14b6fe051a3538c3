"""A resumed run is told from one with other settings, whatever they belong to; the same settings are the same."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT, tiny_bert, tiny_gpt

from companion.finetuning.heads import SequenceClassifier
from companion.losses import causal_loss
from companion.training import Checkpoint, Evaluation, Optimization, Runtime, fit
from companion.training.run_settings import described, differences, fingerprint, settings_of

BATCHES = [torch.randint(31, (2, 6), generator=torch.Generator().manual_seed(seed)) for seed in range(4)]


def weighted(model, ids, weight=1.0):
    return weight * causal_loss(model, ids)


def closed(weight):
    return lambda model, ids: weight * causal_loss(model, ids)


def frozen_gpt():
    model = tiny_gpt()
    model.token_embedding.weight.requires_grad_(False)
    return model


def run(path, steps=2, model=tiny_gpt, batches=BATCHES, loss=causal_loss, **optimization):
    optimization = Optimization(**optimization)
    saved = {"checkpoint": Checkpoint(path), "runtime": Runtime(device="cpu"), "progress": False}
    return fit(model(), batches, steps=steps, loss=loss, optimization=optimization, **saved)


CHANGES = {
    "heads": ({"model": lambda: tiny_gpt(n_heads=3)}, r"config.n_heads 2 .here 3"),
    "dropout": ({"model": lambda: tiny_gpt(dropout=0.3)}, r"config.dropout 0.0 .here 0.3"),
    "eps": ({"model": lambda: tiny_gpt(norm_eps=0.01)}, r"config.norm_eps 1e-05 .here 0.01"),
    "activation": ({"model": lambda: tiny_gpt(activation="relu")}, r"config.activation 'gelu.* .here 'relu'"),
    "frozen": ({"model": frozen_gpt}, r"frozen \[\] .here \['token_embedding.weight'"),
    "numbers": ({"model": lambda: tiny_gpt().double()}, r"dtype \['float32'\] .here \['float64'"),
    "another order": ({"batches": BATCHES[::-1]}, "other batches: the first is not the same"),
    "fewer rows": ({"batches": [ids[:1] for ids in BATCHES]}, "other batches"),
    "shorter rows": ({"batches": [ids[:, :4] for ids in BATCHES]}, "other batches"),
    "partial": ({"loss": functools.partial(weighted, weight=2.0)}, r"loss 'causal_loss' .here 'weighted.*weight=2.0"),
    "targets": ({"targets": lambda batch: 2.0}, r"targets None .here '.*lambda.*2.0'"),
    "multiplier": ({"lr_multiplier": lambda name, step: 0.5}, r"lr_multiplier False .here True"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_what_changed_is_said(tmp_path, change, words):
    run(tmp_path / "run")
    with pytest.raises(ValueError, match=f"run is of a run with .*{words}.*; delete it, or give another"):
        run(tmp_path / "run", 4, **change)


def test_other_values_of_a_multiplier_are_told_and_later_ones_may_change(tmp_path):
    run(tmp_path / "run", lr_multiplier=lambda name, step: 1.0)
    with pytest.raises(ValueError, match="other values of lr_multiplier"):
        run(tmp_path / "run", 4, lr_multiplier=lambda name, step: 0.5)
    assert len(run(tmp_path / "run", 4, lr_multiplier=lambda name, step: 1.0 if step < 3 else 0.5).loss) == 4


def test_the_same_run_goes_on(tmp_path):
    run(tmp_path / "run", loss=closed(2.0))
    assert len(run(tmp_path / "run", 4, loss=closed(2.0)).loss) == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda model, ids: causal_loss(model, ids), lambda model, ids: 2 * causal_loss(model, ids)),
        (closed(1.0), closed(2.0)),
        (functools.partial(weighted, weight=1.0), functools.partial(weighted, weight=2.0)),
        (functools.partial(weighted), weighted),
        (lambda model, ids: model(ids).sum(), lambda model, ids: model(ids).mean()),
        (causal_loss, weighted),
    ],
    ids=["constant", "closure", "partial", "wrapped", "method", "name"],
)
def test_functions_that_are_made_otherwise_are_described_otherwise(one, other):
    assert described(one) != described(other)
    assert described(one) == described(one)


def test_a_function_of_the_package_is_described_by_its_name():
    assert described(causal_loss) == "causal_loss"


SOME = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2))


@settings(PATIENT, max_examples=50)
@given(SOME, SOME)
def test_settings_differ_in_what_differs(one, other):
    names = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    assert {said.split()[0] for said in differences(one, other)} == names


@settings(PATIENT, max_examples=50)
@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=6), st.integers(0, 5))
def test_a_fingerprint_is_of_the_numbers_the_shape_and_the_type(numbers, place):
    batch = torch.tensor(numbers)
    changed = batch.clone()
    changed[place % len(numbers)] += 1
    found = {fingerprint(one) for one in (batch, changed, batch[None], batch.double(), (batch, batch))}
    assert len(found) == 5
    assert fingerprint({"x": batch}) == fingerprint((batch,)) == fingerprint([batch.clone()]) == fingerprint(batch)


def test_the_model_inside_a_head_counts():
    one, other = (SequenceClassifier(tiny_bert(n_heads=heads), ["no", "yes"]) for heads in (2, 3))
    found = [settings_of(model, causal_loss, 1e-3, Optimization(), Runtime()) for model in (one, other)]
    assert differences(*found) == ["config.n_heads 2 (here 3)"]


def evaluated(path, steps, function, model=tiny_gpt):
    evaluation = None if function is None else Evaluation(function, every=1)
    saved = {"checkpoint": Checkpoint(path), "runtime": Runtime(device="cpu"), "progress": False}
    return fit(model(), BATCHES, steps=steps, evaluation=evaluation, **saved)


def nats(model):
    return causal_loss(model, BATCHES[0]).item()


def bits(model):
    return nats(model) / 0.693


def test_values_of_another_evaluation_are_not_set_beside_those_of_the_first(tmp_path):
    evaluated(tmp_path / "run", 2, nats)
    with pytest.raises(ValueError, match="evaluation 'nats' .here 'bits'"):
        evaluated(tmp_path / "run", 4, bits)
    assert len(evaluated(tmp_path / "run", 4, nats).evaluations) == 5


def test_an_evaluation_may_begin_later_or_end_sooner(tmp_path):
    evaluated(tmp_path / "run", 2, None)
    assert [step for step, _ in evaluated(tmp_path / "run", 4, nats).evaluations] == [3, 4]
    evaluated(tmp_path / "run", 5, None)


def test_where_an_object_lies_in_memory_makes_no_other_run():
    one, other = (described(functools.partial(weighted, weight=object())) for _ in range(2))
    assert one == other
