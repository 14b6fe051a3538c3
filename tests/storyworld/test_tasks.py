"""Classes of stories are true, and depend on what the task says that they depend on."""

from collections import Counter

import pytest

from companion.models.baselines.naive_bayes import NaiveBayes
from companion.storyworld import World
from companion.storyworld.language import LANGUAGES
from companion.storyworld.optimum import best_label
from companion.storyworld.tasks import CLASSIFICATION_TASKS, SEPARATOR, Example, meeting, sentiment, split
from companion.storyworld.views import told

every_language = pytest.mark.parametrize("language", LANGUAGES)
every_task = pytest.mark.parametrize("task", list(CLASSIFICATION_TASKS))
BY_CONSTRUCTION = ("sentiment", "meeting", "giver", "sentence order")  # the words say next to nothing


@pytest.fixture(scope="module")
def parts():
    return split(World(), 1500, 50, 700, seed=1)


def accuracy_of_naive_bayes(train: list[Example], test: list[Example]) -> float:
    model = NaiveBayes([e.tokens for e in train], [e.label for e in train])
    return model.accuracy([e.tokens for e in test], [e.label for e in test])


def test_the_splits_share_no_story(parts):
    train, validation, test = ({s.events for s in part} for part in (parts.train, parts.validation, parts.test))
    assert (len(train), len(validation), len(test)) == (1500, 50, 700)
    assert len(train | validation | test) == len(train) + len(validation) + len(test)


def test_too_many_different_stories_are_refused():
    with pytest.raises(ValueError, match="the tiny world gave"):
        split(World("tiny"), 5_000, 0, 0)
    with pytest.raises(ValueError, match="at least 0; got -1, 0 and 0"):
        split(World(), -1, 0, 0)


@every_task
@every_language
def test_every_task_has_examples_in_both_languages(task, language):
    examples = CLASSIFICATION_TASKS[task](World(language=language).stories(200, seed=2))
    assert len(examples) > 20
    assert len({example.label for example in examples}) in (2, 4)


@every_task
def test_the_same_stories_give_the_same_labels_in_both_languages(task):
    english, chinese = (
        CLASSIFICATION_TASKS[task](World(language=language).stories(100, seed=3)) for language in LANGUAGES
    )
    assert [e.label for e in english] == [e.label for e in chinese]


@pytest.mark.parametrize("task", BY_CONSTRUCTION)
def test_naive_bayes_is_within_five_points_of_chance_by_construction(parts, task):
    train, test = CLASSIFICATION_TASKS[task](parts.train), CLASSIFICATION_TASKS[task](parts.test)
    assert abs(accuracy_of_naive_bayes(train, test) - 0.5) < 0.05


def test_naive_bayes_is_as_good_as_can_be_where_words_are_enough(parts):
    train, test = CLASSIFICATION_TASKS["genre"](parts.train), CLASSIFICATION_TASKS["genre"](parts.test)
    best = sum(best_label("genre", e, World()) == e.label for e in test[:200]) / 200
    assert accuracy_of_naive_bayes(train, test) > best - 0.05


@pytest.mark.parametrize("make", [sentiment, meeting])
def test_both_labels_are_asked_of_the_same_story(make):
    stories = World().stories(200, seed=6)
    for asked in (True, False):
        examples = make(stories, asked)
        assert Counter(e.label for e in examples).most_common()[0][1] * 2 == len(examples)
        assert (SEPARATOR in examples[0].tokens) is not asked
        for one, other in zip(examples[::2], examples[1::2], strict=True):
            assert one.label != other.label
            names = 2 if make is meeting else 1
            assert sum((Counter(one.tokens) - Counter(other.tokens)).values()) <= names


@every_task
@every_language
def test_the_parts_of_an_example_are_its_words_without_the_divider(task, language):
    for example in CLASSIFICATION_TASKS[task](World(language=language).stories(60, seed=4)):
        joined = [token for part in example.parts for token in part]
        divided = len(example.parts) == 2
        assert joined == [token for token in example.tokens if token != SEPARATOR or not divided]
        assert all(example.parts)


def test_a_question_and_a_second_text_are_the_second_part():
    story = next(s for s in World().stories(50, seed=4) if meeting([s]))
    asked, named = meeting([story])[0], meeting([story], with_question=False)[0]
    assert asked.parts[0] == told(story)
    assert asked.parts[1][0] == "Can"
    assert named.parts[0] == tuple(asked.parts[1][i] for i in (1, 3))
    assert named.parts[1] == told(story)


def test_what_has_no_question_and_not_two_texts_is_one_part():
    assert Example(("Tom", "stays"), "yes").parts == (("Tom", "stays"),)
    three = ("Tom", SEPARATOR, "stays", SEPARATOR, "here")
    assert Example(three, "yes").parts == (three,)
    assert Example(("a", SEPARATOR, "b"), "yes").parts == (("a",), ("b",))
    assert Example(("a", "b", "c"), "yes", question_length=1).parts == (("a", "b"), ("c",))
