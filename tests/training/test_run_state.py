"""A checkpoint is taken up only by the run that it is of, and only whole."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import random_ids, tiny_gpt
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

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


class Own(nn.Module):
    """A model of one's own beside a GPT, whatever its weights are like."""

    def __init__(self, extra):
        super().__init__()
        torch.manual_seed(1)
        self.gpt = tiny_gpt()
        extra(self)

    def forward(self, ids):
        own = [parameter.sum() for name, parameter in self.named_parameters() if not name.startswith("gpt.")]
        return self.gpt(ids) * (1 + 0.01 * sum(own, torch.zeros(())).real.float())


def parameter(make):
    return lambda model: model.register_parameter("extra", nn.Parameter(make()))


def buffer(make):
    return lambda model: model.register_buffer("extra", make())


def module(make):
    return lambda model: model.add_module("extra", make())


def views(model):
    block = torch.ones(10)
    model.one, model.other = nn.Parameter(block[:6]), nn.Parameter(block[4:])


def shared(model):
    model.extra = model.gpt.token_embedding.weight


EXTRA = {
    "channels last": parameter(lambda: torch.ones(1, 2, 3, 4).to(memory_format=torch.channels_last)),
    "every second row": parameter(lambda: torch.ones(9, 9)[2:8:2, ::3]),
    "permuted": parameter(lambda: torch.ones(2, 3, 4).permute(2, 0, 1)),
    "of one number": parameter(lambda: torch.tensor(2.0)),
    "without a number": parameter(lambda: torch.zeros(0, 3)),
    "views that overlap": views,
    "shared with another": shared,
    "double": parameter(lambda: torch.ones(3, dtype=torch.float64)),
    "bfloat16": parameter(lambda: torch.ones(3, dtype=torch.bfloat16)),
    "a transposed buffer": buffer(lambda: torch.ones(2, 3).T),
    "a conjugate buffer": buffer(lambda: torch.ones(3, dtype=torch.complex64).conj()),
    "a buffer of integers": buffer(lambda: torch.arange(6).view(2, 3).T),
    "batch norm": module(lambda: nn.BatchNorm1d(2)),
    "recurrent": module(lambda: nn.LSTM(2, 3)),
    "weight norm": module(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
    "a name with a space": module(lambda: nn.ParameterDict({"a b": nn.Parameter(torch.ones(2))})),
}


@pytest.mark.parametrize("extra", EXTRA.values(), ids=EXTRA)
def test_weights_of_any_kind_are_saved_and_resumed(tmp_path, extra):
    constant = Optimization(schedule="constant")
    run(tmp_path / "run", 2, model=Own(extra), optimization=constant)
    resumed, history = run(tmp_path / "run", 3, model=Own(extra), optimization=constant)
    whole, _ = run(tmp_path / "whole", 3, model=Own(extra), optimization=constant)
    assert len(history.loss) == 3
    assert all(map(torch.equal, weights(resumed), weights(whole)))


@pytest.mark.parametrize(
    "extra", [parameter(lambda: torch.ones(4).expand(3, 4)), buffer(lambda: torch.ones(2, 1).expand(2, 3))]
)
def test_weights_that_share_their_numbers_are_refused_before_the_first_step(tmp_path, extra):
    with pytest.raises(ValueError, match="model.extra cannot be saved: it is expanded, .* clone it before"):
        run(tmp_path / "run", model=Own(extra))
    assert not list(tmp_path.iterdir())


def compiled(model):
    return torch.compile(model, backend="eager")


def with_a_block(wrap):
    def wrapped(model):
        model.blocks[0] = wrap(model.blocks[0])
        return model

    return wrapped


WRAPS = {
    "on several devices": nn.DataParallel,
    "compiled on several devices": lambda model: nn.DataParallel(compiled(model)),
    "a block compiled": with_a_block(compiled),
    "a block that is computed again": with_a_block(checkpoint_wrapper),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("turned", [False, True], ids=["to plain", "from plain"])
def test_a_wrapped_model_and_a_plain_one_resume_each_other(tmp_path, wrap, turned):
    constant = Optimization(schedule="constant")
    first, second = (tiny_gpt(), wrap(tiny_gpt())) if turned else (wrap(tiny_gpt()), tiny_gpt())
    run(tmp_path / "run", 2, model=first, optimization=constant)
    resumed, _ = run(tmp_path / "run", 4, model=second, optimization=constant)
    whole, _ = run(tmp_path / "whole", 4, optimization=constant)
    torch.testing.assert_close(weights(resumed), weights(whole))


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


def filled(name, value, dtype):
    return lambda tensors: tensors.update({name: torch.full_like(tensors[name], value, dtype=dtype)})


@pytest.mark.parametrize(
    "change",
    [
        filled("random.cpu", 0, torch.uint8),
        filled("random.cpu", 255, torch.uint8),
        filled("random.cpu", 1, torch.float32),
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
def test_a_tensor_that_is_missing_misnamed_misshapen_or_no_state_is_refused(tmp_path, change):
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
