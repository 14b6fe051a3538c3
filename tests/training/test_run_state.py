"""A checkpoint is taken up only by the run that it is of, and only whole."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import random_ids, tiny_gpt
from torch import nn

from companion.training import Checkpoint, Optimization, Runtime, fit
from companion.training.run_file import read_header


def run(path, steps=2, *, model=None, learning_rate=1e-2, optimization=None, seed=0, **options):
    model = tiny_gpt() if model is None else model
    history = fit(
        model,
        [random_ids(tiny_gpt(), 2, 6)],
        steps=steps,
        learning_rate=learning_rate,
        optimization=optimization or Optimization(),
        checkpoint=Checkpoint(path),
        runtime=Runtime(device="cpu", seed=seed),
        **{"progress": False} | options,
    )
    return model, history


def weights(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def rewritten(path, tensors=lambda all: None, texts=lambda all: None):
    """Change what a checkpoint holds, and leave it a sound file."""
    held, said = load_file(path), read_header(path)[1]
    tensors(held)
    texts(said)
    save_file(held, path, metadata=said)


# Other settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 1.0}, r"learning_rate 0.01 \(here 1.0\)"),
        ({"seed": 9}, r"seed 0 \(here 9\)"),
        ({"optimization": Optimization(schedule="constant")}, r"schedule 'cosine' \(here 'constant'\)"),
        ({"optimization": Optimization(weight_decay=0.0)}, r"weight_decay 0.1 \(here 0.0\)"),
        ({"optimization": Optimization(max_grad_norm=0.1)}, r"max_grad_norm 1.0 \(here 0.1\)"),
        ({"optimization": Optimization(warmup=1)}, r"warmup None \(here 1\)"),
        ({"optimization": Optimization(lr_multiplier=lambda n, s: 1)}, r"lr_multiplier False \(here True\)"),
        ({"loss": lambda m, ids: m(ids).mean()}, r"loss 'causal_loss' \(here '.*lambda> of mean'\)"),
        ({"seed": 9, "learning_rate": 1.0}, r"learning_rate 0.01 \(here 1.0\), seed 0 \(here 9\)"),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, dict) else "",
)
def test_a_run_is_not_resumed_with_other_settings(tmp_path, options, message):
    run(tmp_path / "run")
    model = tiny_gpt()
    before = weights(model)
    with pytest.raises(ValueError, match=f"run is of a run with {message}; delete it, or give another"):
        run(tmp_path / "run", model=model, **options)
    assert all(map(torch.equal, weights(model), before))


def test_more_steps_may_follow(tmp_path):
    run(tmp_path / "run", steps=2)
    assert len(run(tmp_path / "run", steps=4)[1].loss) == 4


def test_a_finished_run_that_is_read_back_says_so(tmp_path, capsys):
    run(tmp_path / "run", progress=True)
    assert "is done" not in capsys.readouterr().out
    run(tmp_path / "run", progress=True)
    assert "run is done, at step 2: it is read back, and nothing is trained." in capsys.readouterr().out


# Saves


def test_a_place_where_nothing_can_be_saved_is_found_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    model = tiny_gpt()
    before = weights(model)
    with pytest.raises(OSError, match="run could not be saved"):
        run(tmp_path / "file" / "run", model=model)
    assert all(map(torch.equal, weights(model), before))


class Transposed(nn.Module):
    """A model with a weight that is a view, as those that come from other libraries."""

    def __init__(self):
        super().__init__()
        self.gpt = tiny_gpt()
        self.extra = nn.Parameter(torch.ones(4, 5).T)

    def forward(self, ids):
        return self.gpt(ids) + self.extra.sum()


def test_a_weight_that_is_a_view_is_saved_and_resumed(tmp_path):
    constant = Optimization(schedule="constant")
    run(tmp_path / "run", 2, model=Transposed(), optimization=constant)
    resumed, _ = run(tmp_path / "run", 4, model=Transposed(), optimization=constant)
    whole, _ = run(tmp_path / "whole", 4, model=Transposed(), optimization=constant)
    assert all(map(torch.equal, weights(resumed), weights(whole)))


def compiled(model):
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize(("first", "second"), [(compiled, tiny_gpt), (tiny_gpt, compiled)], ids=["to", "from"])
def test_a_compiled_model_and_a_plain_one_resume_each_other(tmp_path, first, second):
    def made(how):
        return compiled(tiny_gpt()) if how is compiled else tiny_gpt()

    constant = Optimization(schedule="constant")
    run(tmp_path / "run", 2, model=made(first), optimization=constant)
    resumed, _ = run(tmp_path / "run", 4, model=made(second), optimization=constant)
    whole, _ = run(tmp_path / "whole", 4, optimization=constant)
    torch.testing.assert_close(weights(resumed), weights(whole))


# Damage

NAME = "final_norm.weight"


def lacking(name):
    return lambda tensors: tensors.pop(name)


def renamed(name, other):
    return lambda tensors: tensors.update({other: tensors.pop(name)})


def shaped(name, *shape):
    return lambda tensors: tensors.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    "change",
    [
        lacking("random.cpu"),
        lacking(f"optimizer.{NAME}.exp_avg"),
        lacking(f"optimizer.{NAME}.step"),
        renamed(f"optimizer.{NAME}.exp_avg", f"optimizer.{NAME}.exp_avf"),
        renamed(f"optimizer.{NAME}.exp_avg", "optimizer.nobody.exp_avg"),
        shaped(f"optimizer.{NAME}.exp_avg", 3),
        shaped(f"optimizer.{NAME}.step", 3),
        shaped("random.cpu", 5),
        shaped("random.dice", 5),
        shaped("stranger", 1),
    ],
)
def test_a_tensor_that_is_missing_misnamed_or_misshapen_is_refused(tmp_path, change):
    run(tmp_path / "run")
    rewritten(tmp_path / "run", tensors=change)
    model = tiny_gpt()
    before = weights(model)
    with pytest.raises(ValueError, match="run is damaged, or no checkpoint of a training run"):
        run(tmp_path / "run", model=model)
    assert all(map(torch.equal, weights(model), before))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        '{"history": {}}',
        '{"history": [], "batches": 1}',
        '{"history": {"loss": "x"}, "batches": 1}',
        '{"history": {"loss": [1.0]}, "batches": 1}',
        '{"history": {"evaluations": [1]}, "batches": 1}',
        '{"history": {"luck": 7}, "batches": 1}',
        '{"history": {}, "batches": null}',
    ],
)
@pytest.mark.parametrize("place", ["done", "settings"])
def test_a_text_that_is_not_the_run_s_is_refused(tmp_path, place, text):
    run(tmp_path / "run")
    rewritten(tmp_path / "run", texts=lambda texts: texts.update({place: text}))
    with pytest.raises(ValueError, match=r"run is (damaged, or no checkpoint|of a run with)"):
        run(tmp_path / "run")


def test_what_is_said_of_a_sound_checkpoint_is_json(tmp_path):
    run(tmp_path / "run")
    assert json.loads(read_header(tmp_path / "run")[1]["settings"])["learning_rate"] == 1e-2
