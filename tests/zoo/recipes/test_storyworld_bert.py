"""The shipped BERTs of the story world answer what is hidden, and are made by the recipes that their cards name."""

import re
from dataclasses import replace

import pytest
import torch

from companion import zoo
from companion.models.bert import BertConfig, BertForPreTraining
from companion.storyworld import QUESTIONS, World
from companion.storyworld.questionnaire import SPECIALS, vocabulary_of
from companion.zoo.__main__ import main
from companion.zoo.recipes import storyworld_bert as bert_recipes
from companion.zoo.recipes import storyworld_bert_small as student_recipes

pytestmark = pytest.mark.slow

NAME, STUDENT = "storyworld-bert", "storyworld-bert-small"
NAMES = (NAME, STUDENT)
LEAST = {NAME: 0.7, STUDENT: 0.5}  # of each kind of question


@pytest.fixture(scope="module")
def stories():
    return World().stories(400, bert_recipes.HELD_OUT_SEED)


@pytest.mark.parametrize("name", NAMES)
def test_questions_of_every_kind_are_filled_in_as_the_card_says(name, stories):
    shares = bert_recipes.accuracy_by_kind(zoo.load(name)[0], stories)
    assert shares.keys() == set(QUESTIONS)
    assert min(shares.values()) >= LEAST[name], shares
    card = (zoo.folder(name) / "README.md").read_text(encoding="utf8")
    for kind, share in shares.items():
        stated = re.search(rf"^\| {kind} \| ([\d.]+)% \|", card, re.MULTILINE)
        assert share == pytest.approx(float(stated[1]) / 100, abs=0.05)


def test_the_student_has_half_the_layers():
    student, teacher = (zoo.load(name)[0].config for name in (STUDENT, NAME))
    assert student == replace(teacher, n_layers=teacher.n_layers // 2)


@pytest.mark.parametrize("name", NAMES)
def test_its_tokenizer_is_the_worlds_with_berts_special_tokens(name):
    _, tokenizer = zoo.load(name)
    assert tokenizer.to_str() == World().tokenizer(SPECIALS).to_str()


# Making one


@pytest.fixture
def small(monkeypatch):
    """A recipe of seconds."""
    words = len(vocabulary_of(World()))
    config = BertConfig(words, context_length=224, n_layers=1, n_heads=2, d_model=16)
    recipe = replace(
        bert_recipes.RECIPES[NAME], config=config, rounds=(20, 10), elsewhere=(0.0, 0.5), batch_size=4, offsets=(1, 2)
    )
    monkeypatch.setitem(bert_recipes.RECIPES, "small", recipe)
    monkeypatch.setattr(bert_recipes, "HELD_OUT", 40)


def test_a_recipe_makes_a_whole_folder_in_rounds(small, tmp_path):
    history = bert_recipes.train("small", tmp_path)
    names = {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert {path.name for path in tmp_path.iterdir()} == names | {"run-0.safetensors", "run-1.safetensors"}
    assert [step for step, _ in history.evaluations] == [0, 20, 20, 30]
    assert history.loss[-1] < history.loss[0]
    assert "20 + 10 steps of 4 stories" in (tmp_path / "README.md").read_text(encoding="utf8")


def test_an_interrupted_recipe_ends_with_the_same_weights(small, tmp_path, monkeypatch):
    bert_recipes.train("small", tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(bert_recipes, "card", lambda *_: pytest.fail("interrupted"))
        with pytest.raises(pytest.fail.Exception):
            bert_recipes.train("small", tmp_path / "halves")
    bert_recipes.train("small", tmp_path / "halves")
    load = BertForPreTraining.from_pretrained
    whole, halves = (dict(load(tmp_path / part).named_parameters()) for part in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_a_student_is_made_from_its_teacher(tmp_path, monkeypatch):
    recipe = replace(student_recipes.RECIPES[STUDENT], steps=10, batch_size=4)
    monkeypatch.setitem(student_recipes.RECIPES, "small", recipe)
    monkeypatch.setattr(student_recipes, "HELD_OUT", 40)
    history = student_recipes.train("small", tmp_path)
    student = BertForPreTraining.from_pretrained(tmp_path)
    assert student.config.n_layers == 2
    assert len(history.loss) == 10
    assert "begins with layers 1 and 3 of its teacher" in (tmp_path / "README.md").read_text(encoding="utf8")
    with pytest.raises(ValueError, match="no recipe 'tiny'; choose from storyworld-bert-small"):
        student_recipes.train("tiny", tmp_path)


def test_an_unknown_recipe_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no recipe 'storyworld-t5'; choose from storyworld-bert"):
        bert_recipes.train("storyworld-t5", tmp_path)


def test_the_command_line_trains(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["zoo", "train", "small", "--to", str(tmp_path)])
    main()
    assert re.search(
        r"30 steps, \d\.\d{3} of the questions to held-out stories answered wrong", capsys.readouterr().out
    )
