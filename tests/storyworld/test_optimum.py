"""The Bayes classifier and the exact distribution of a gap are those of the whole story's probability."""

import math

import pytest

from companion.storyworld import World
from companion.storyworld.language import LANGUAGES
from companion.storyworld.optimum import best_label, fill_in
from companion.storyworld.tasks import CLASSIFICATION_TASKS, Example

every_language = pytest.mark.parametrize("language", LANGUAGES)


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
    with pytest.raises(ValueError, match="no token at position 0 makes this a story"):
        fill_in([tokens[0], "is", "is"], 0, world)
    with pytest.raises(ValueError, match=f"position must be 0 to {len(tokens) - 1}; got {len(tokens)}"):
        fill_in(tokens, len(tokens), world)
