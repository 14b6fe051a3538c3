"""Labelled views of the story world: the labels are true, and hang on what the task says that they hang on."""

import math
from collections import Counter

import pytest

from companion.models.baselines.naive_bayes import NaiveBayes
from companion.storyworld import World
from companion.storyworld.language import LANGUAGES
from companion.storyworld.optimum import best_label, fill_in
from companion.storyworld.tasks import CLASSIFICATION_TASKS, SEPARATOR, Example, meeting, sentiment, split
from companion.storyworld.views import facts, questions, summary, tags, told, translations

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


@pytest.mark.parametrize("task", ["sentiment", "meeting", "giver"])
@every_language
def test_a_label_that_hangs_on_the_state_is_known_with_certainty(task, language):
    world = World(language=language)
    for example in CLASSIFICATION_TASKS[task](world.stories(60, seed=4)):
        assert best_label(task, example, world) == example.label


@pytest.mark.parametrize("task", ["next sentence", "sentence order"])
def test_the_best_possible_answer_beats_chance_and_is_not_certain(task):
    examples = CLASSIFICATION_TASKS[task](World().stories(300, seed=5))
    right = sum(best_label(task, example, World()) == example.label for example in examples) / len(examples)
    assert 0.6 < right < 0.97


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="task must be one of genre, .*; got 'nothing'"):
        best_label("nothing", Example((), ""), World())


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


@every_language
def test_each_token_has_its_tags(language):
    (story,) = World(language=language).stories(1, seed=7)
    for kind in ("entity", "role"):
        assert [token for token, _ in tags(story, kind)] == list(told(story))
    with pytest.raises(ValueError, match="entity or role; got 'verb'"):
        tags(story, "verb")


def test_entities_are_known_from_the_word_and_roles_are_not():
    train, test = World().stories(400, seed=8), World().stories(200, seed=9)
    scores = {}
    for kind in ("entity", "role"):
        seen: dict[str, Counter] = {}
        for story in train:
            for token, tag in tags(story, kind):
                seen.setdefault(token, Counter())[tag] += 1
        pairs = [(tag, seen[token].most_common(1)[0][0]) for story in test for token, tag in tags(story, kind)]
        tagged = [tag == guess for tag, guess in pairs if tag != "O"]
        scores[kind] = sum(tagged) / len(tagged)
    assert scores["entity"] == 1
    assert scores["role"] < 0.7


@every_language
def test_questions_have_the_answers_that_the_story_gives(language):
    world = World(language=language)
    for story in world.stories(20, seed=10):
        asked = list(questions(story))
        assert {q.kind for q in asked} >= {"where", "see"}
        for q in asked:
            stop = "." if language == "en" else "。"
            (first,) = world.next_probabilities((*q.context, *q.question))
            assert first == q.answer[0]
            world.read((*q.context, *q.question, *q.answer, stop))


def test_a_summary_tells_the_end_of_the_story():
    story = next(s for s in World().stories(50, seed=11) if s.end.holder and s.end.mood)
    end = story.end
    text = " ".join(summary(story))
    assert all(f"{person} is in the {place} ." in text for person, place in end.place.items())
    assert all(f"{person} takes the {thing} ." in text for thing, person in end.holder.items())
    assert all(f"{person} feels {mood} ." in text for person, mood in end.mood.items())


def test_facts_are_what_is_true_at_the_end():
    for story in World().stories(20, seed=12):
        assert {(a, c) for a, b, c in facts(story.end) if b == "is in"} == set(story.end.place.items())
        assert len(facts(story.end)) == len(story.end.place) + len(story.end.holder) + len(story.end.mood)


def test_translations_tell_the_same_events():
    stories = World().stories(20, seed=13)
    english, chinese = World(language="en"), World(language="zh")
    for story, (en, zh) in zip(stories, translations(stories), strict=True):
        assert english.read(en) == chinese.read(zh) == list(story.statements)
    assert translations([s.told_in("zh") for s in stories]) == translations(stories)


# Two parts


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
    asked, named = meeting([story])[0], meeting([story], asked=False)[0]
    assert asked.parts[0] == told(story)
    assert asked.parts[1][0] == "Can"
    assert named.parts[0] == tuple(asked.parts[1][i] for i in (1, 3))
    assert named.parts[1] == told(story)


def test_what_has_no_question_and_not_two_texts_is_one_part():
    assert Example(("Tom", "stays"), "yes").parts == (("Tom", "stays"),)
    three = ("Tom", SEPARATOR, "stays", SEPARATOR, "here")
    assert Example(three, "yes").parts == (three,)
    assert Example(("a", SEPARATOR, "b"), "yes").parts == (("a",), ("b",))
    assert Example(("a", "b", "c"), "yes", asked=1).parts == (("a", "b"), ("c",))


# Gaps


def story_probability(world, tokens):
    """By the probabilities of next tokens alone."""
    total = 1.0
    for place, token in enumerate(tokens):
        total *= world.next_probabilities(tokens[:place]).get(token, 0.0) if total else 0.0
    return total


@every_language
def test_a_gap_is_filled_in_proportion_to_the_whole_story(language):
    world = World("tiny", language)
    tokens = world.stories(1, seed=2)[0].tokens
    for place in (0, 3, len(tokens) - 2):
        whole = {t: story_probability(world, [*tokens[:place], t, *tokens[place + 1 :]]) for t in world.vocabulary}
        found = fill_in(tokens, place, world)
        assert found.keys() == {t for t, p in whole.items() if p}
        for token, p in found.items():
            assert p == pytest.approx(whole[token] / sum(whole.values()))


def test_both_sides_tell_more_than_one():
    world = World()
    stories = world.stories(20, seed=3)
    one = [-story.log_probs[len(story.tokens) // 2] for story in stories]
    places = [len(story.tokens) // 2 for story in stories]
    both = [-math.log(fill_in(s.tokens, i, world)[s.tokens[i]]) for s, i in zip(stories, places, strict=True)]
    assert sum(both) < sum(one)


def test_a_gap_in_what_is_no_story_is_refused():
    world = World()
    tokens = world.stories(1)[0].tokens
    with pytest.raises(ValueError, match="no token at place 0 makes this a story"):
        fill_in([tokens[0], "is", "is"], 0, world)
    with pytest.raises(ValueError, match=f"place must be 0 to {len(tokens) - 1}; got {len(tokens)}"):
        fill_in(tokens, len(tokens), world)
