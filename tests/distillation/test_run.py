"""A fine-tuned checkpoint is distilled on a tiny copy of its dataset, without a network."""

import shutil
from dataclasses import replace

import pytest
import torch
from hub_copies import FEELINGS, KINDS
from hub_runs import QUICK, SST2, command

from companion.checkpoints import CheckpointError
from companion.distillation import __main__ as distillation
from companion.distillation.run import METHODS, distil
from companion.finetuning import __main__ as finetuning
from companion.finetuning.heads import SequenceClassifier, TokenClassifier
from companion.finetuning.tasks import PUBLIC_TASKS
from companion.models.bert import Bert

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture
def teacher(bert, tmp_path):
    """A classifier that nobody trained."""
    SequenceClassifier(Bert.from_pretrained(bert), FEELINGS).save_pretrained(tmp_path / "teacher")
    shutil.copyfile(bert / "tokenizer.json", tmp_path / "teacher" / "tokenizer.json")
    return tmp_path / "teacher"


# The whole way


@pytest.mark.parametrize("name", PUBLIC_TASKS)
def test_a_checkpoint_is_tuned_distilled_and_kept(name, bert, sst2, conll, tmp_path, capsys):
    data, kind = (sst2, SequenceClassifier) if name == "sst2" else (conll, TokenClassifier)
    command(finetuning, "--task", name, "--data", data, "--model", bert, "--out", tmp_path / "teacher")
    told = capsys.readouterr().out
    assert PUBLIC_TASKS[name].score in told
    assert "fine-tuned       4" in told
    command(
        distillation, "--task", name, "--data", data, "--model", tmp_path / "teacher", "--out", tmp_path / "student"
    )
    told = capsys.readouterr().out
    assert "teacher          4" in told
    assert "student          2" in told
    teacher, student = (kind.from_pretrained(tmp_path / one) for one in ("teacher", "student"))
    assert teacher.labels == student.labels == (FEELINGS if name == "sst2" else KINDS)
    assert (teacher.config.n_layers, student.config.n_layers) == (4, 2)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_teaches_a_student_of_any_depth(school, method, tmp_path):
    data, teacher, folder = school
    before = [p.clone() for p in teacher.model.parameters()]
    options = {"model": folder, "method": method, "layers": 3, "data": data, "settings": replace(QUICK, epochs=1)}
    again, student = distil(SST2, tmp_path / "student", **options)
    assert student.model.config.n_layers == 3
    assert student.report.micro.f1 > 0.8
    assert student.parameters < again.parameters
    assert all(torch.equal(p, q) for p, q in zip(before, again.model.parameters(), strict=True))


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method must be one of hinton, distilbert, pkd, tinybert; got 'magic'"),
        ({"layers": 5}, "a student has 1 layer to as many as its teacher, 4; got 5"),
        ({"layers": 1}, "the student must have 2 layers or more"),
        ({"limit": 0}, "limit must be at least 1"),
    ],
    ids=str,
)
def test_a_student_that_cannot_be_is_refused(teacher, sst2, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        distil(SST2, tmp_path / "out", **{"model": teacher, "data": sst2, "settings": QUICK} | options)


def test_a_teacher_of_other_labels_is_refused(bert, sst2, tmp_path):
    SequenceClassifier(Bert.from_pretrained(bert), ("bad", "good")).save_pretrained(tmp_path / "teacher")
    shutil.copyfile(bert / "tokenizer.json", tmp_path / "teacher" / "tokenizer.json")
    with pytest.raises(ValueError, match=r"the labels \('negative', 'positive'\), in order; got \('bad', 'good'\)"):
        distil(SST2, tmp_path / "out", model=tmp_path / "teacher", data=sst2)


def test_a_body_without_a_head_is_no_teacher(bert, sst2, tmp_path):
    with pytest.raises(CheckpointError, match="holds a BertModel; this class loads a BertForSequenceClassification"):
        distil(SST2, tmp_path / "out", model=bert, data=sst2)


def test_a_model_is_not_written_over(teacher, sst2):
    with pytest.raises(ValueError, match="out must be another folder than the model's"):
        distil(SST2, teacher, model=teacher, data=sst2)
