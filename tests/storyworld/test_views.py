"""Labelled views of the story world say what is true of the story."""

from collections import Counter

import pytest

from companion.storyworld import World
from companion.storyworld.language import CHINESE, LANGUAGES
from companion.storyworld.views import alignment, facts, questions, summary, tags, told, translations

every_language = pytest.mark.parametrize("language", LANGUAGES)


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


@pytest.mark.parametrize(("source", "target"), [("en", "zh"), ("zh", "en")])
def test_words_that_are_aligned_mean_the_same(source, target):
    for story in World().stories(20, seed=3):
        read, written = told(story.told_in(source)), told(story.told_in(target))
        found = alignment(story, source, target)
        assert len(found) >= 2 * len(story.statements)
        for i, j in found:
            names = {source: read[j], target: written[i]}
            pronoun = {"He": "他", "She": "她"}.get(names["en"])
            assert names["zh"] == (pronoun or CHINESE[names["en"]])
