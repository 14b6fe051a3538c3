"""A checkpoint and a dataset in the hub's layout, tiny copies of the real ones, go the whole way without a network."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hub_copies import (
    FEELINGS,
    KINDS,
    own_tokenizer,
)
from hub_runs import CONLL, QUICK, SST2, command

from companion.checkpoints import CheckpointError
from companion.data import hub
from companion.finetuning import __main__ as finetuning
from companion.finetuning import run as runs
from companion.finetuning.predictions import predict
from companion.finetuning.run import Settings, finetune
from companion.finetuning.tasks import PUBLIC_TASKS
from companion.training import fit

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture
def tuned(bert, tmp_path):
    """A function that fine-tunes, quickly, and says where the model is kept."""

    def run(task, data, out="out", **options):
        held = finetune(task, tmp_path / out, model=bert, data=data, **{"settings": QUICK} | options)
        return held, tmp_path / out

    return run


# The whole way


def test_a_tuned_classifier_knows_held_out_texts(school):
    _, held, _ = school
    assert held.report.micro.f1 > 0.8
    assert held.parameters == sum(p.numel() for p in held.model.parameters())


def test_a_tuned_tagger_knows_held_out_sentences(tuned, conll):
    held, _ = tuned(CONLL, conll)
    assert held.report.micro.f1 > 0.8
    assert held.model.bert.pooler is None


def test_transformers_loads_what_was_kept_and_says_the_same_of_texts(school):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    _, held, out = school
    theirs = AutoModelForSequenceClassification.from_pretrained(out)
    tokens = AutoTokenizer.from_pretrained(out)("her song is a mess", return_tensors="pt")
    rows = hub.Texts(["her song is a mess"], ["negative"], FEELINGS)
    rows = rows.rows(hub.encode(own_tokenizer(), rows.texts, 16))
    assert torch.equal(tokens["input_ids"], rows.inputs)
    assert theirs.config.id2label == dict(enumerate(FEELINGS))
    assert torch.allclose(theirs(**tokens).logits, predict(held.model, rows), atol=1e-5)


def test_transformers_loads_what_was_kept_and_says_the_same_of_words(tuned, conll):
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    held, out = tuned(CONLL, conll, limit=8)
    theirs = AutoModelForTokenClassification.from_pretrained(out)
    words = ["Anna", "nearmet", "New", "York"]
    tokens = AutoTokenizer.from_pretrained(out)(words, is_split_into_words=True, return_tensors="pt")
    rows = hub.Sentences([words], [["O"] * 4], KINDS)
    rows = rows.rows(hub.encode(own_tokenizer(), rows.texts, 16))
    assert torch.equal(tokens["input_ids"], rows.inputs)
    assert theirs.config.id2label == dict(enumerate(KINDS))
    assert torch.allclose(theirs(**tokens).logits, predict(held.model, rows), atol=1e-5)


def test_the_tokenizer_is_kept_as_it_was(tuned, bert, sst2):
    _, out = tuned(SST2, sst2, limit=8)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (out / name).read_bytes() == (bert / name).read_bytes()


def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(tuned, sst2, monkeypatch):
    whole, _ = tuned(SST2, sst2, "whole", limit=16)
    monkeypatch.setattr(runs, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        tuned(SST2, sst2, limit=16)
    monkeypatch.undo()
    resumed, _ = tuned(SST2, sst2, limit=16)
    pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def stopped(*rest, checkpoint, **options):
    """A training run that saves each step and is interrupted after the fifth."""

    def stop(step, history):
        if step == 5:
            raise KeyboardInterrupt

    return fit(*rest, checkpoint=replace(checkpoint, every=1), progress=stop, **options)


def test_a_run_with_other_settings_is_not_gone_on_with(tuned, bert, sst2):
    _, out = tuned(SST2, sst2, limit=24)
    with pytest.raises(SystemExit, match="^error: .* holds a run with epochs 4, not 2"):
        command(finetuning, "--task", "sst2", "--data", sst2, "--model", bert, "--out", out)


@pytest.mark.slow
def test_the_package_runs_as_a_program(bert, sst2, tmp_path):
    words = ["--task", "sst2", "--data", sst2, "--model", bert, "--out", tmp_path / "out", "--epochs", "1"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    program = [sys.executable, "-m", "companion.finetuning", *map(str, words)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "accuracy" in done.stdout


# What is refused


def test_a_model_that_the_hub_cannot_give_is_told_so(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder 'google-bert/bert-base-uncased', and the hub"):
        finetune(SST2, tmp_path / "out")


@pytest.mark.parametrize("name", PUBLIC_TASKS)
def test_a_dataset_that_the_hub_cannot_give_is_told_so(name, bert, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"dataset '{PUBLIC_TASKS[name].data}' cannot be loaded"):
        finetune(PUBLIC_TASKS[name], tmp_path / "out", model=bert)


def test_without_the_library_it_says_what_to_install(bert, sst2, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match="pip install 'datasets>=4'"):
        finetune(SST2, tmp_path / "out", model=bert, data=sst2)


def test_a_checkpoint_without_a_tokenizer_is_refused(bert, sst2, tmp_path):
    (bert / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="bert-tiny has no tokenizer.json"):
        finetune(SST2, tmp_path / "out", model=bert, data=sst2)


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_a_run_without_a_step_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1; got 0"):
        Settings(**{name: 0})
