"""Queries for stories, and stories that no count of words can tell apart."""

from collections import Counter

import pytest

from companion.storyworld import World
from companion.storyworld.language import CHINESE
from companion.storyworld.search import code_switched, inquiry, mirrored
from companion.storyworld.views import facts, summary, told

every_language = pytest.mark.parametrize("language", ["en", "zh"])


@pytest.fixture(scope="module", params=["en", "zh"])
def stories(request):
    return World("small", request.param).stories(60, seed=1)


def test_there_is_one_question_for_each_fact(stories):
    for story in stories:
        stop = told(story)[-1]
        assert inquiry(story).count(stop) == summary(story).count(stop) == len(facts(story.end))


def test_each_question_is_answered_with_what_is_true():
    story = next(s for s in World().stories(50) if s.end.holder and s.end.mood)
    sentences = " ".join(inquiry(story)).split(" .")
    for person, place in story.end.place.items():
        assert any(s.split() == ["Where", "is", person, place] for s in sentences)
    for thing, person in story.end.holder.items():
        assert any(s.split() == ["Who", "has", "the", thing, person] for s in sentences)
    for person, mood in story.end.mood.items():
        assert any(s.split() == ["How", "is", person, mood] for s in sentences)


def test_story_and_mirror_are_the_same_bag_of_words(stories):
    pairs = [(story, mirrored(story)) for story in stories]
    pairs = [(story, mirror) for story, mirror in pairs if mirror]
    assert len(pairs) > len(stories) / 5
    for story, mirror in pairs:
        for view in (told, summary, inquiry):
            assert Counter(view(mirror)) == Counter(view(story))


def test_something_else_is_true_in_the_mirror(stories):
    for story in stories:
        mirror = mirrored(story)
        assert mirror is None or facts(mirror.end) != facts(story.end)


def test_a_mirror_is_a_story_that_the_world_can_tell(stories):
    for mirror in filter(None, map(mirrored, stories)):
        assert mirror.world.read(mirror.tokens) == list(mirror.events)


def test_the_mirror_of_the_mirror_is_the_story():
    story = next(s for s in World().stories(50) if mirrored(s))
    assert mirrored(mirrored(story)).events == story.events


def test_a_story_without_two_alike_has_no_mirror():
    world = World("tiny")
    assert any(mirrored(story) is None for story in world.stories(30))


def test_a_code_switched_query_means_the_same():
    english = {chinese: word for word, chinese in CHINESE.items()}
    for story in World().stories(20):
        switched = code_switched(inquiry(story), 0.5, seed=1)
        assert tuple(english.get(word, word) for word in switched) == inquiry(story)


@pytest.mark.parametrize(("probability", "left"), [(0.0, True), (1.0, False)], ids=["never", "always"])
def test_at_the_ends_all_content_words_are_switched_or_none(probability, left):
    text = inquiry(World().stories(1)[0])
    switched = code_switched(text, probability)
    assert [word in CHINESE for word in switched] == [left and word in CHINESE for word in text]


def test_what_is_switched_at_one_probability_is_switched_at_a_higher_one():
    text = inquiry(World().stories(5)[4])
    fewer, more = ({i for i, w in enumerate(code_switched(text, p)) if w != text[i]} for p in (0.3, 0.7))
    assert fewer < more


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_a_probability_outside_its_range_is_refused(probability):
    with pytest.raises(ValueError, match=f"probability must be 0 to 1; got {probability}"):
        code_switched(("Tom",), probability)
