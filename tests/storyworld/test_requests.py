"""Requests of two hops: right by the simulation, and judged by a checker that accepts no wrong reply."""

from itertools import product

import pytest

from companion.data.tokenization import END_OF_TEXT
from companion.storyworld import World
from companion.storyworld.lexicon import MOODS
from companion.storyworld.requests import Request, is_right, requests
from companion.storyworld.state import State

WORLD = World()
ASKED = requests(WORLD.stories(150, "requests"))
REQUEST = Request(("How", "is", "the", "key"), "Tom", "sad")
TAIL = (".", END_OF_TEXT)


def test_the_answer_is_how_the_holder_feels_at_the_end():
    for one in ASKED:
        end = State.after(WORLD.read(one.prompt[:-4]))
        assert end.holder[one.prompt[-1]] == one.holder
        assert end.mood[one.holder] == one.mood


def test_in_each_story_people_feel_differently():
    assert len(ASKED) > 10
    assert all(len(set(State.after(WORLD.read(one.prompt[:-4])).mood.values())) > 1 for one in ASKED)


def test_no_story_makes_such_a_request():
    texts = (" ".join(story.tokens) for story in WORLD.stories(300, "requests"))
    assert not any("How is the" in text for text in texts)


def test_every_reply_with_the_right_mood_alone_is_accepted():
    working = [word for word in WORLD.vocabulary[2:] if word not in MOODS]
    assert is_right(REQUEST, REQUEST.reply())
    assert all(is_right(REQUEST, REQUEST.reply(word)) for word in working)


def test_no_wrong_reply_of_up_to_three_words_is_accepted():
    """All of them, over the whole vocabulary: accepted is only what ends with the one right mood, and stops."""
    words = WORLD.vocabulary[2:]
    for length in (0, 1, 2):
        for reply in product(words, repeat=length):
            wrong = not reply or reply[-1] != REQUEST.mood or sum(word in MOODS for word in reply) > 1
            assert is_right(REQUEST, (*reply, *TAIL)) is not wrong
            assert not is_right(REQUEST, reply)
    for reply in product(words, MOODS, ("sad",)):
        assert not is_right(REQUEST, (*reply, *TAIL))


@pytest.mark.parametrize(
    "reply",
    [
        (),
        ("sad",),
        ("sad", "."),
        ("sad", END_OF_TEXT),
        ("sad", ".", "Where", "is", "Tom"),
        ("sad", "happy", *TAIL),
        ("happy", "sad", *TAIL),
        ("sad", "sad", *TAIL),
        ("sad", *TAIL, END_OF_TEXT),
    ],
)
def test_what_hedges_or_does_not_stop_is_refused(reply: tuple[str, ...]):
    assert not is_right(REQUEST, reply)
