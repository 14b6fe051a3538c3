"""The loop learns, repeats itself bit for bit, and goes on after any interruption as if there had been none."""

import itertools
import random
import signal
import subprocess
import sys
from collections import namedtuple
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from small_models import random_ids, tiny_gpt
from torch import nn

from companion.data.batch import IGNORED
from companion.data.prose import random_windows
from companion.losses import causal_loss
from companion.metrics.language_model import cross_entropy
from companion.training import Checkpoint, Evaluation, Optimization, Runtime, fit
from companion.training.optimizers import NAMES
from companion.training.schedules import SCHEDULES, multipliers

STREAM = torch.randint(31, (200,), generator=torch.Generator().manual_seed(0))
STEPS = 9
PEAKS = {"sgd": 1.0, "momentum": 0.3, "adam": 1e-2, "adamw": 1e-2, "muon": 1e-2}


def train(path=None, on_step=False, optimizer="muon", steps=STEPS):
    """A run with everything that has a state: dropout, drawn batches, momentum, evaluations that draw numbers."""
    model = tiny_gpt(dropout=0.2)

    def evaluate(m):
        torch.rand(1)
        return cross_entropy(m, STREAM[:60])

    history = fit(
        model,
        random_windows(STREAM, batch_size=2, length=8),
        steps=steps,
        optimization=Optimization(optimizer),
        evaluation=Evaluation(evaluate, every=4),
        checkpoint=path and Checkpoint(path, every=2),
        runtime=Runtime(device="cpu"),
        progress=on_step,
    )
    return model, history


def quick(model, batches, steps=1, **options):
    """A run on the CPU; settings of its optimization are given by their own names."""
    names = {field.name for field in fields(Optimization)} & options.keys()
    optimization = Optimization(**{name: options.pop(name) for name in names})
    quiet = {"runtime": Runtime(device="cpu"), "progress": False}
    return fit(model, batches, steps=steps, optimization=optimization, **quiet | options)


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one) and set(one) == set(other)


# Learning


@pytest.mark.parametrize(("optimizer", "rate"), PEAKS.items())
def test_a_small_batch_is_learned_by_heart(optimizer, rate):
    model = tiny_gpt()
    history = quick(model, [random_ids(model, 2, 12)], steps=80, optimizer=optimizer, learning_rate=rate)
    assert history.loss[0] > 3
    assert history.loss[-1] < 0.3


def test_the_model_is_left_in_evaluation_mode():
    model = tiny_gpt().train()
    quick(model, [random_ids(model, 1, 5)])
    assert not model.training


def test_gradients_from_before_do_not_count():
    fresh, used = tiny_gpt(), tiny_gpt()
    used(random_ids(used, 2, 8, seed=9)).square().sum().backward()
    for model in (fresh, used):
        quick(model, [random_ids(model, 2, 8)], steps=3)
    assert same(weights(fresh), weights(used))


def test_frozen_parameters_stay():
    model = tiny_gpt()
    model.token_embedding.requires_grad_(False)
    before = weights(model)
    quick(model, [random_ids(model, 2, 8)], steps=2)
    after = weights(model)
    assert torch.equal(before["token_embedding.weight"], after["token_embedding.weight"])
    assert not torch.equal(before["position_embedding.weight"], after["position_embedding.weight"])


# The same again


@pytest.mark.parametrize("optimizer", NAMES)
def test_the_same_seed_gives_the_same_run_bit_for_bit(optimizer):
    (one, history), (other, again) = train(optimizer=optimizer), train(optimizer=optimizer)
    assert same(weights(one), weights(other))
    assert history.loss == again.loss
    assert history.evaluations == again.evaluations


def test_the_seed_decides_dropout():
    losses = []
    for seed in (0, 1):
        model = tiny_gpt(dropout=0.5)
        losses.append(quick(model, [random_ids(model, 2, 8)], runtime=Runtime(device="cpu", seed=seed)).loss)
    assert losses[0] != losses[1]


class Interrupted(Exception):
    pass


def stop_at(last):
    def on_step(step, _):
        torch.rand(1)
        if step == last:
            raise Interrupted

    return on_step


@pytest.mark.parametrize("optimizer", NAMES)
@pytest.mark.parametrize("last", [1, 2, 5, 8])
def test_a_run_that_was_interrupted_ends_with_the_same_weights(tmp_path, last, optimizer):
    expected, history = train(on_step=stop_at(None), optimizer=optimizer)
    with pytest.raises(Interrupted):
        train(tmp_path / "run", stop_at(last), optimizer)
    model, resumed = train(tmp_path / "run", stop_at(None), optimizer)
    assert same(weights(model), weights(expected))
    assert resumed.loss == history.loss
    assert resumed.gradient_norm == history.gradient_norm
    assert resumed.evaluations == history.evaluations


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path):
    step = random.randint(2, STEPS)
    program = (
        f"import sys, os, signal; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
        "from test_loop import train\n"
        f"train({str(tmp_path / 'run')!r}, lambda step, _: step == {step} and os.kill(os.getpid(), signal.SIGKILL))"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert same(weights(train(tmp_path / "run")[0]), weights(train()[0])), f"killed at step {step}"


def test_a_run_that_died_while_it_was_saved_goes_on_from_the_save_before(tmp_path, monkeypatch):
    import companion.training.run_file as run

    saves = itertools.count(1)
    save = run.save_file

    def power_cut(tensors, path, metadata):
        if next(saves) == 3:
            Path(path).write_bytes(b"half a file")
            raise Interrupted
        save(tensors, path, metadata)

    monkeypatch.setattr(run, "save_file", power_cut)
    with pytest.raises(Interrupted):
        train(tmp_path / "run")
    assert same(weights(train(tmp_path / "run")[0]), weights(train()[0]))


def test_a_finished_run_is_not_trained_again(tmp_path):
    model, history = train(tmp_path / "run")
    seen = []
    again, resumed = train(tmp_path / "run", lambda step, _: seen.append(step))
    assert seen == []
    assert same(weights(again), weights(model))
    assert resumed.loss == history.loss


def test_a_checkpoint_beyond_the_last_step_is_refused(tmp_path):
    train(tmp_path / "run")
    with pytest.raises(ValueError, match="is at step 9 already; steps must be at least that, got 5"):
        train(tmp_path / "run", steps=5)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    train(tmp_path / "run")
    model = tiny_gpt(n_layers=1)
    with pytest.raises(ValueError, match="run is of a run with another model"):
        quick(model, [random_ids(model, 1, 4)], steps=STEPS, checkpoint=Checkpoint(tmp_path / "run"), optimizer="muon")


@pytest.mark.parametrize(("one", "other"), [*itertools.permutations(NAMES, 2)])
def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path, one, other):
    train(tmp_path / "run", optimizer=one, steps=1)
    with pytest.raises(ValueError, match=f"run is of a run with .*optimizer '{one}' .here '{other}'."):
        train(tmp_path / "run", optimizer=other, steps=1)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train(tmp_path / "run")
    whole = (tmp_path / "run").read_bytes()
    (tmp_path / "run").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="run is truncated, or no checkpoint of a training run"):
        train(tmp_path / "run")


def test_a_model_file_is_no_checkpoint_of_a_run(tmp_path):
    tiny_gpt().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no checkpoint of a training run"):
        train(tmp_path / "model.safetensors")


# Steps


class Scalar(nn.Module):
    """One number, whose gradient is the batch."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))


def trace(batches, steps, **options):
    """How far each step moves; under a constant gradient AdamW moves by its learning rate."""
    model, places = Scalar(), [0.0]
    quick(
        model,
        batches,
        steps,
        loss=lambda m, batch: (m.w * batch).sum(),
        progress=lambda *_: places.append(model.w.item()),
        **options,
    )
    return [a - b for a, b in itertools.pairwise(places)]


ONE = torch.ones(1, dtype=torch.float64)


def test_the_rate_rises_linearly_and_falls_along_a_half_cosine():
    moves = trace([ONE], 12, learning_rate=0.1, warmup=4)
    assert moves[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1], rel=1e-5)
    falling = [0.05 * (1 + torch.cos(torch.tensor(torch.pi * t / 8)).item()) for t in range(1, 9)]
    assert moves[4:] == pytest.approx(falling, abs=1e-6)
    assert moves[-1] == pytest.approx(0, abs=1e-9)


def test_a_twentieth_of_all_steps_is_warm_up():
    moves = trace([ONE], 60, learning_rate=0.1)
    assert moves[:3] == pytest.approx([0.1 / 3, 0.2 / 3, 0.1], rel=1e-5)
    assert moves[3] < 0.1


def test_without_warm_up_the_rate_only_falls():
    moves = trace([ONE], 5, warmup=0)
    assert moves == sorted(moves, reverse=True)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rate_follows_the_schedule_that_is_named(schedule):
    moves = trace([ONE], 12, learning_rate=0.1, warmup=4, schedule=schedule)
    assert moves == pytest.approx([0.1 * factor for factor in multipliers(schedule, 12, 4)], rel=1e-5, abs=1e-8)


def test_plain_sgd_moves_by_the_rate_times_the_gradient():
    moves = trace([2 * ONE], 3, learning_rate=0.1, optimizer="sgd", schedule="constant", warmup=0, max_grad_norm=9.0)
    assert moves == pytest.approx([0.2, 0.2, 0.2])


def test_clipping_bounds_what_one_batch_can_do():
    usual, wild = [ONE, ONE, ONE], [ONE, 1000 * ONE, ONE]
    assert trace(wild, 3, max_grad_norm=1.0) == pytest.approx(trace(usual, 3, max_grad_norm=1.0), rel=1e-5)
    assert trace(wild, 3, max_grad_norm=1e9) != pytest.approx(trace(usual, 3, max_grad_norm=1e9), rel=0.1)


def test_the_history_keeps_the_norm_that_the_gradient_had_before_it_was_cut():
    history = quick(
        Scalar(), [ONE, 1000 * ONE, -3 * ONE], 3, loss=lambda m, batch: (m.w * batch).sum(), max_grad_norm=1.0
    )
    assert history.gradient_norm == pytest.approx([1, 1000, 3])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_weights(bad):
    model, before = Scalar(), []
    with pytest.raises(FloatingPointError, match=f"the loss is {bad} at step 3; each weight .* finite; try a smaller"):
        quick(
            model,
            [ONE, ONE, bad * ONE],
            9,
            loss=lambda m, batch: (m.w * 0 + 1).sum() * batch.sum(),
            progress=lambda *_: before.append(model.w.item()),
        )
    assert len(before) == 2
    assert model.w.item() == before[-1]


def test_a_gradient_that_is_no_number_stops_the_run_and_keeps_the_weights():
    model = Scalar()
    with pytest.raises(FloatingPointError, match="norm is inf at step 1; the gradient of w is not finite"):
        quick(model, [ONE], 3, loss=lambda m, _: m.w.sqrt().sum())
    assert model.w.item() == 0


# Batches


def test_batches_start_anew_when_they_run_out():
    seen = []
    batches = [n * ONE for n in (1, 2, 3)]
    quick(Scalar(), batches, 7, loss=lambda m, batch: seen.append(batch.item()) or m.w.sum())
    assert seen == [1, 2, 3, 1, 2, 3, 1]


@pytest.mark.parametrize("wrap", [lambda x: {"x": x, "y": 2 * x}, lambda x: (x, 2 * x), lambda x: [x, 2 * x]])
def test_batches_may_be_dicts_tuples_or_lists_of_tensors(wrap):
    seen = []
    quick(Scalar(), [wrap(ONE)], loss=lambda m, batch: seen.append(batch) or m.w.sum())
    assert seen == [wrap(ONE)]


@pytest.mark.parametrize("batches", [[], iter([]), iter([ONE, ONE])], ids=["empty", "empty iterator", "two only"])
def test_batches_that_run_out_are_refused(batches):
    with pytest.raises(ValueError, match="batches ran out; give a list, a loader, or a generator that does not end"):
        quick(Scalar(), batches, 3, loss=lambda m, batch: (m.w * batch).sum())


def test_a_named_tuple_stays_one():
    Pair = namedtuple("Pair", "x y")
    seen = []
    quick(Scalar(), [Pair(ONE, 2 * ONE)], loss=lambda m, batch: seen.append(batch) or m.w.sum())
    assert seen == [Pair(ONE, 2 * ONE)]


# Several batches a step, and half precision


def test_batches_that_are_accumulated_act_as_one_large_batch():
    ids = random_ids(tiny_gpt(), 8, 12)
    halves = [ids[:4], ids[4:]]
    large, small = tiny_gpt(), tiny_gpt()
    one = quick(large, [ids], 4, optimizer="sgd", learning_rate=0.1)
    two = quick(small, halves, 4, optimizer="sgd", learning_rate=0.1, gradient_accumulation_steps=2)
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    torch.testing.assert_close(weights(small), weights(large), rtol=1e-4, atol=1e-6)


def padded_after(ids, length):
    return torch.where(torch.arange(ids.size(1)) < length, ids, IGNORED)


def test_batches_with_fewer_targets_weigh_less():
    ids = random_ids(tiny_gpt(), 2, 9)
    long, short = ids[:1], padded_after(ids[1:], 3)
    large, small = tiny_gpt(), tiny_gpt()
    one = quick(large, [torch.cat([long, short])], optimizer="sgd", learning_rate=0.5)
    two = quick(small, [long, short], optimizer="sgd", learning_rate=0.5, gradient_accumulation_steps=2)
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    torch.testing.assert_close(weights(small), weights(large), rtol=1e-4, atol=1e-6)


def test_a_loss_of_one_s_own_weighs_by_the_targets_that_one_counts():
    batches, targets = [ONE, 4 * ONE], {1.0: 3, 4.0: 1}
    options = {"loss": lambda m, batch: (m.w * batch).sum(), "gradient_accumulation_steps": 2}
    alike = quick(Scalar(), batches, **options)
    counted = quick(Scalar(), batches, targets=lambda batch: targets[batch.item()], **options)
    assert alike.gradient_norm == pytest.approx([2.5])
    assert counted.gradient_norm == pytest.approx([(3 * 1 + 1 * 4) / 4])


@pytest.mark.parametrize("count", [0, -1, torch.nan])
def test_a_number_of_targets_that_cannot_be_is_refused(count):
    with pytest.raises(ValueError, match="number of targets must be finite and above 0; got"):
        quick(Scalar(), [ONE], loss=lambda m, b: m.w.sum(), targets=lambda b: count, gradient_accumulation_steps=2)


def test_an_interrupted_run_that_accumulates_goes_on_with_the_right_batch(tmp_path):
    def run(steps):
        seen = []
        quick(
            tiny_gpt(),
            [random_ids(tiny_gpt(), 1, 5, seed=i) for i in range(7)],
            steps,
            loss=lambda m, batch: seen.append(batch) or causal_loss(m, batch),
            gradient_accumulation_steps=3,
            checkpoint=Checkpoint(tmp_path / "run", every=1),
        )
        return seen

    first, rest = run(2), run(4)
    expected = [random_ids(tiny_gpt(), 1, 5, seed=i % 7) for i in range(12)]
    assert all(map(torch.equal, [*first, *rest], expected))


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1), (3, 2)])
def test_a_run_that_goes_on_with_another_accumulation_goes_on_with_the_next_batch(tmp_path, first, second):
    seen = []
    for steps, size in ((2, first), (4, second)):
        quick(
            Scalar(),
            [n * ONE for n in range(10)],
            steps,
            loss=lambda m, batch: seen.append(batch.item()) or (m.w * batch).sum(),
            gradient_accumulation_steps=size,
            checkpoint=Checkpoint(tmp_path / "run"),
        )
    assert seen == list(range(2 * first + 2 * second))


def test_half_precision_computes_in_it_and_keeps_the_weights_whole():
    seen, model = [], tiny_gpt()
    model.unembedding.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    quick(model, [random_ids(model, 2, 9)], runtime=Runtime(device="cpu", precision="bfloat16"))
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_run_without_a_step_is_refused():
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        quick(Scalar(), [ONE], steps=0)


@pytest.mark.parametrize("rate", [0.0, -1e-3, torch.nan, torch.inf])
def test_a_learning_rate_that_would_not_learn_is_refused(rate):
    with pytest.raises(ValueError, match=f"learning_rate must be finite and above 0; got {rate}"):
        quick(Scalar(), [ONE], learning_rate=rate)


def test_a_weight_decay_that_would_turn_the_weights_round_is_refused():
    with pytest.raises(ValueError, match="learning_rate times weight_decay must be below 1; got 0.5 x 2.0"):
        quick(Scalar(), [ONE], learning_rate=0.5, weight_decay=2.0)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_run_whose_only_step_has_no_rate_is_refused(schedule):
    with pytest.raises(ValueError, match="the learning rate is 0 at the only step; give more steps or a warm-up"):
        quick(Scalar(), [ONE], 1, schedule=schedule, warmup=0)


# What is told on the way


def test_it_evaluates_first_last_and_in_between():
    model, modes = tiny_gpt(dropout=0.1), []

    def evaluate(m):
        modes.append((m.training, torch.is_grad_enabled()))
        return len(modes)

    history = quick(model, [random_ids(model, 1, 5)], 10, evaluation=Evaluation(evaluate, every=4))
    assert history.evaluations == [(0, 1), (4, 2), (8, 3), (10, 4)]
    assert set(modes) == {(False, False)}


def test_training_goes_on_in_training_mode_after_an_evaluation():
    model, modes = tiny_gpt(), []

    def loss(m, batch):
        modes.append(m.training)
        return m(batch).sum()

    quick(model, [random_ids(model, 1, 5)], 3, loss=loss, evaluation=Evaluation(lambda _: 0.0, every=1))
    assert modes == [True, True, True]


def test_a_function_in_the_place_of_the_bar_is_called_with_each_step_and_its_history():
    told = []
    quick(Scalar(), [ONE], 3, loss=lambda m, _: m.w.sum(), progress=lambda step, h: told.append((step, len(h.loss))))
    assert told == [(1, 1), (2, 2), (3, 3)]


def test_the_bar_is_shown_when_asked_for(capsys):
    quick(Scalar(), [ONE], 2, loss=lambda m, _: m.w.sum())
    assert capsys.readouterr() == ("", "")
    quick(Scalar(), [ONE], 2, loss=lambda m, _: m.w.sum(), progress=True)
    output, errors = capsys.readouterr()
    assert "2/2" in output
    assert errors == ""


# Early stopping


def trained_until(values, steps=20, patience=2, **options):
    """A run whose evaluations are given, one a step; the weight moves by 1 a step."""
    model, left = Scalar(), iter(values)
    history = quick(
        model,
        [ONE],
        steps,
        loss=lambda m, batch: (m.w * batch).sum(),
        optimizer="sgd",
        schedule="constant",
        warmup=0,
        learning_rate=1.0,
        max_grad_norm=9.0,
        evaluation=Evaluation(lambda _: next(left), every=1, patience=patience),
        **options,
    )
    return model.w.item(), history


def test_a_run_stops_after_so_many_evaluations_without_a_new_lowest():
    _, history = trained_until([5, 4, 3, 3.5, 3.2, 1])
    assert history.evaluations == [(0, 5), (1, 4), (2, 3), (3, 3.5), (4, 3.2)]
    assert len(history.loss) == 4


def test_the_model_has_the_weights_of_the_lowest_evaluation():
    assert trained_until([5, 4, 3, 3.5, 3.2])[0] == -2


def test_it_has_them_too_when_the_run_was_not_stopped():
    weight, history = trained_until([5, 4, 3, 3.5], steps=3)
    assert (weight, len(history.loss)) == (-2, 3)


def test_without_patience_the_last_weights_stay():
    assert trained_until([5, 4, 6, 7, 8], steps=4, patience=None)[0] == -4


def test_as_low_as_before_is_no_improvement():
    weight, history = trained_until([5, 4, 4, 4, 0])
    assert (weight, len(history.loss)) == (-1, 3)


def test_a_start_that_is_never_beaten_is_what_comes_back():
    assert trained_until([1, 2, 3])[0] == 0


def stopped_early(path=None, on_step=False):
    """A run that is stopped as its loss has passed a number; dropout, momentum and drawn batches have a state."""
    model = tiny_gpt(dropout=0.2)
    history = fit(
        model,
        random_windows(STREAM[:30], batch_size=2, length=8),
        steps=60,
        learning_rate=2e-2,
        optimization=Optimization("muon"),
        evaluation=Evaluation(lambda m: abs(cross_entropy(m, STREAM[:30]) - 2.9), every=2, patience=3),
        checkpoint=path and Checkpoint(path, every=3),
        runtime=Runtime(device="cpu"),
        progress=on_step,
    )
    return weights(model), history


def test_the_run_of_the_next_tests_stops_early_and_after_its_best():
    _, history = stopped_early()
    values = [value for _, value in history.evaluations]
    assert 0 < values.index(min(values)) == len(values) - 4
    assert len(history.loss) < 40


@pytest.mark.parametrize("last", [1, 4, 13, 19])
def test_a_run_that_was_interrupted_stops_at_the_same_step_with_the_same_weights(tmp_path, last):
    expected, history = stopped_early(on_step=stop_at(None))
    with pytest.raises(Interrupted):
        stopped_early(tmp_path / "run", stop_at(last))
    found, resumed = stopped_early(tmp_path / "run", stop_at(None))
    assert same(found, expected)
    assert resumed.loss == history.loss
    assert resumed.evaluations == history.evaluations


@pytest.mark.slow
def test_a_run_that_was_killed_stops_at_the_same_step_with_the_same_weights(tmp_path):
    expected, history = stopped_early()
    step = random.randint(1, len(history.loss))
    program = (
        f"import sys, os, signal; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
        "from test_loop import stopped_early\n"
        f"stopped_early({str(tmp_path / 'run')!r}, lambda n, _: n == {step} and os.kill(os.getpid(), signal.SIGKILL))"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    found, resumed = stopped_early(tmp_path / "run")
    assert same(found, expected), f"killed at step {step}"
    assert resumed.evaluations == history.evaluations, f"killed at step {step}"


def test_a_run_that_was_stopped_early_is_not_trained_again(tmp_path):
    expected, history = stopped_early(tmp_path / "run")
    seen = []
    again, resumed = stopped_early(tmp_path / "run", lambda step, _: seen.append(step))
    assert seen == []
    assert same(again, expected)
    assert resumed.evaluations == history.evaluations


def test_an_evaluation_that_is_no_number_is_refused_where_the_lowest_is_looked_for():
    with pytest.raises(FloatingPointError, match="the evaluation is nan at step 1; it must be a number"):
        trained_until([5, torch.nan])
    assert len(trained_until([5, torch.nan], steps=1, patience=None)[1].evaluations) == 2


def test_a_run_that_goes_on_without_patience_ends_with_its_last_weights(tmp_path):
    trained_until([5, 4, 6], steps=2, checkpoint=Checkpoint(tmp_path / "run"))
    weight, history = trained_until([7, 8], steps=4, patience=None, checkpoint=Checkpoint(tmp_path / "run"))
    assert (weight, len(history.loss)) == (-4, 4)


def test_a_checkpoint_that_kept_no_best_weights_is_refused(tmp_path):
    trained_until([5, 4], steps=1, patience=None, checkpoint=Checkpoint(tmp_path / "run"))
    with pytest.raises(
        ValueError, match="run is of a run that kept no best weights; patience must be given from the start"
    ):
        trained_until([5, 4], steps=1, checkpoint=Checkpoint(tmp_path / "run"))
