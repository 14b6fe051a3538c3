"""Stories are changed on purpose, and in nothing else."""

import random

import pytest

from companion.storyworld import World
from companion.storyworld.alterations import misspellings, renamed, unanswerable, with_moods
from companion.storyworld.views import told

WORLD = World()
STORIES = WORLD.stories(60, seed=4)


@pytest.mark.parametrize(("kind", "begins"), [("where", "Where is"), ("who", "Who has the"), ("how", "How is")])
def test_a_question_without_answer_asks_for_what_the_story_does_not_tell(kind, begins):
    prompts = unanswerable(STORIES, kind)
    assert len(prompts) > 30
    texts = {" ".join(told(story)): story for story in STORIES}
    for prompt in prompts:
        asked = len(begins.split()) + 1
        story = texts[" ".join(prompt[:-asked])]
        end = story.end
        assert " ".join(prompt[-asked:-1]) == begins
        assert prompt[-1] not in {"where": end.place, "who": end.holder, "how": end.mood}[kind]
        assert (prompt[-1] in end.place) == (kind == "how")


def test_the_same_seed_asks_the_same():
    assert unanswerable(STORIES, "where", 1) == unanswerable(STORIES, "where", 1)
    assert unanswerable(STORIES, "where", 1) != unanswerable(STORIES, "where", 2)


def test_a_kind_that_always_has_an_answer_is_refused():
    with pytest.raises(ValueError, match="one of where, who, how; got 'see'"):
        unanswerable(STORIES, "see")


def test_the_skew_has_the_wanted_share_and_the_others_keep_their_moods():
    draw = random.Random(0)
    favoured = {"Peter": "sad", "Lily": "sad"}
    changed = [with_moods(story, favoured, 0.6, draw) for story in WORLD.stories(3000, seed=5)]
    first = [
        next(e.word for e in s.events if e.kind == "feel" and e.subject == p) for s, p in _feeling(changed, favoured)
    ]
    assert first.count("sad") / len(first) == pytest.approx(0.6, abs=0.05)
    for before, after in zip(WORLD.stories(50, seed=5), changed[:50], strict=True):
        assert [e for e in before.events if e.subject not in favoured] == [
            e for e in after.events if e.subject not in favoured
        ]


def _feeling(stories, people):
    return [(s, p) for s in stories for p in people if any(e.kind == "feel" and e.subject == p for e in s.events)]


def test_answers_follow_the_changed_moods_and_a_mood_is_always_news():
    draw = random.Random(0)
    for story in WORLD.stories(200, seed=6):
        changed = with_moods(story, dict.fromkeys(WORLD.process.people, "sad"), 0.9, draw)
        assert WORLD.read(changed.tokens) == list(changed.events)  # a reader of the world finds nothing wrong


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_outside_the_range_is_refused(share):
    with pytest.raises(ValueError, match="probability must be in"):
        with_moods(STORIES[0], {}, share, random.Random(0))


def test_swapping_names_twice_gives_the_story_back():
    swap = {"Tom": "Peter", "Peter": "Tom", "Anna": "Lily", "Lily": "Anna"}
    for story in STORIES:
        once = renamed(story, swap)
        assert renamed(once, swap).events == story.events
        assert WORLD.read(once.tokens) == list(once.events)


def test_two_people_never_get_one_name():
    first, second, *_ = STORIES[0].end.place
    with pytest.raises(ValueError, match="one name"):
        renamed(STORIES[0], {first: second})


def test_a_misspelling_changes_one_small_word_before_the_question():
    tokens = ("Tom", "is", "in", "the", "park", ".", "Where", "is", "the", "ball")
    changed = misspellings(tokens, before=6)
    assert len(changed) == 3
    for text in changed:
        (place,) = [i for i, (a, b) in enumerate(zip(tokens, text, strict=True)) if a != b]
        assert text[place] == "[UNK]"
        assert tokens[place] in ("in", "the", ".")
        assert place < 6
