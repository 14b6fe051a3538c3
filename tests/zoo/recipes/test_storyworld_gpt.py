"""The shipped models of the story world are close to the floor, answer, and have heads that can be read."""

import re
from dataclasses import replace

import pytest
import torch

from companion import zoo
from companion.metrics.language_model import excess_nll
from companion.models.gpt import GPT, GPTConfig
from companion.storyworld import QUESTIONS, World, quiz, rows
from companion.zoo.__main__ import main
from companion.zoo.recipes import storyworld_gpt as story_recipes

pytestmark = pytest.mark.slow

HELD_OUT = 500


@pytest.fixture(scope="module", params=["en", "zh"])
def language(request):
    return request.param


@pytest.fixture(scope="module")
def stories(language):
    return World(language=language).stories(HELD_OUT, story_recipes.HELD_OUT_SEED)


@pytest.fixture(scope="module")
def model(language):
    return zoo.load(f"storyworld-{language}")[0]


@pytest.fixture(scope="module")
def gap(model, stories):
    return excess_nll(model, rows(stories), [story.log_probs for story in stories])


def test_the_gap_to_the_floor_is_small(gap):
    assert gap.value < 0.03


def test_no_loss_is_below_the_floor(gap):
    """A model below it would have seen what it is asked for."""
    assert gap.value > -gap.standard_error


def test_questions_of_every_kind_are_answered_freely(model, stories):
    shares = quiz.accuracy(model, stories)
    assert shares.keys() == set(QUESTIONS)
    assert min(shares.values()) >= 0.98, shares


def test_one_head_reads_the_place_and_another_the_person_that_a_question_is_about(model, stories):
    for kind, target in (("where", "place"), ("see", "person")):
        assert quiz.attention_from_answer(model, quiz.ask(stories[:150], kind), target).max() >= 0.5


def test_its_tokenizer_is_the_worlds(language):
    _, tokenizer = zoo.load(f"storyworld-{language}")
    assert tokenizer.to_str() == World(language=language).tokenizer().to_str()


def test_the_card_tells_what_the_shipped_weights_score(language, gap):
    card = (zoo.folder(f"storyworld-{language}") / "README.md").read_text(encoding="utf8")
    (stated,) = re.findall(r"the model is ([\d.]+) ± [\d.]+\s+nats a token above it", card)
    assert gap.value == pytest.approx(float(stated), abs=4 * gap.standard_error)
    assert {kind for kind in QUESTIONS if f"| {kind} |" in card} == set(QUESTIONS)


# Making one


@pytest.fixture
def small(monkeypatch):
    """A recipe of seconds."""
    recipe = story_recipes.RECIPES["storyworld-en"]
    words = len(World().vocabulary)
    config = GPTConfig(vocab_size=words, context_length=144, n_layers=1, n_heads=2, d_model=16)
    monkeypatch.setitem(story_recipes.RECIPES, "small", replace(recipe, config=config, rounds=(20, 10), batch_size=4))
    monkeypatch.setattr(story_recipes, "HELD_OUT", 40)


def test_a_recipe_makes_a_whole_folder_in_rounds(small, tmp_path):
    history = story_recipes.train("small", tmp_path)
    names = {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "README.md",
        "run-0.safetensors",
        "run-1.safetensors",
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    assert len(history.loss) == 30
    assert [step for step, _ in history.evaluations] == [0, 20, 20, 30]
    assert history.loss[-1] < history.loss[0]
    assert "20 + 10 steps of 4 stories" in (tmp_path / "README.md").read_text(encoding="utf8")


def test_an_interrupted_recipe_ends_with_the_same_weights(small, tmp_path, monkeypatch):
    story_recipes.train("small", tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(story_recipes, "card", lambda *_: pytest.fail("interrupted"))
        with pytest.raises(pytest.fail.Exception):
            story_recipes.train("small", tmp_path / "halves")
    story_recipes.train("small", tmp_path / "halves")
    whole, halves = (dict(GPT.from_pretrained(tmp_path / part).named_parameters()) for part in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_an_unknown_recipe_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no recipe 'storyworld-fr'; choose from storyworld-en, storyworld-zh"):
        story_recipes.train("storyworld-fr", tmp_path)


def test_the_command_line_trains(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["zoo", "train", "small", "--to", str(tmp_path)])
    main()
    said = capsys.readouterr().out
    assert re.search(r"30 steps, \d\.\d{3} nats a token above the exact entropy of held-out stories", said)
