"""The story world is exact: its probabilities are those of the stories that it tells, in both languages."""

import math
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import storyworld
from companion.data.tokenization import END_OF_TEXT
from companion.storyworld import QUESTIONS, Event, State, World
from companion.storyworld.language import LANGUAGES, say
from companion.storyworld.lexicon import SIZES
from companion.storyworld.process import Process
from companion.storyworld.reader import Reader

every_language = pytest.mark.parametrize("language", LANGUAGES)
every_size = pytest.mark.parametrize("size", list(SIZES))


def all_stories(world: World) -> list[tuple[tuple[str, ...], float]]:
    """Every story of a small world with the product of its tokens' probabilities, found by following every token."""
    found = []

    def follow(prefix: tuple[str, ...], log_prob: float):
        options = world.next_probabilities(prefix)
        if not options:
            found.append((prefix, log_prob))
        for token, probability in options.items():
            follow((*prefix, token), log_prob + math.log(probability))

    follow((), 0.0)
    return found


@pytest.fixture(scope="module")
def shrunken() -> World:
    """A tiny world with one event and one question at most."""
    world = World("tiny")
    world.process = Process(replace(SIZES["tiny"], events=1, moods=1))
    return world


def by_events(world: World) -> list[tuple[tuple[Event, ...], float]]:
    """Every story of a tiny world as events, with its probability: the sum over genres of the products of choices."""
    found, genres = [], world.process.size.genres

    def follow(events: tuple[Event, ...], probabilities):
        state = State.after(events)
        if state.ended:
            found.append((events, float(probabilities.mean())))
            return
        for event, p in zip(*world.process.outcomes(state), strict=True):
            follow((*events, event), probabilities * p)

    follow((), np.ones(genres))
    return found


def test_the_probabilities_of_all_stories_sum_to_one():
    stories = by_events(World("tiny"))
    assert len(stories) > 1000
    assert math.fsum(p for _, p in stories) == pytest.approx(1, abs=1e-9)


@every_language
def test_no_text_has_two_probabilities(language):
    texts = [
        tuple(token for event in events for token in say(event, language)) for events, _ in by_events(World("tiny"))
    ]
    assert len(texts) == len(set(texts))


def test_following_every_token_finds_the_same_stories_with_the_same_probabilities(shrunken):
    walked = dict(all_stories(shrunken))
    listed = {tuple(t for e in events for t in say(e, "en")): p for events, p in by_events(shrunken)}
    assert walked.keys() == listed.keys()
    assert math.fsum(map(math.exp, walked.values())) == pytest.approx(1, abs=1e-9)
    assert all(math.exp(walked[text]) == pytest.approx(listed[text], rel=1e-9) for text in listed)


@every_language
def test_what_can_follow_sums_to_one_everywhere(language):
    for story in World(language=language).stories(10, seed=1):
        reader = story.world.reader()
        for token in story.tokens:
            assert math.fsum(reader.next_probabilities().values()) == pytest.approx(1, abs=1e-9)
            reader.read(token)
        assert reader.next_probabilities() == {}


@every_language
def test_stated_and_observed_surprisal_agree(language):
    """The sum of (surprisal - its stated mean) over many choices is zero within three standard errors."""
    difference = variance = 0.0
    for story in World(language=language).stories(250, seed=2):
        reader = story.world.reader()
        for token in story.tokens:
            probabilities = list(reader.next_probabilities().values())
            mean = -math.fsum(p * math.log(p) for p in probabilities)
            variance += math.fsum(p * math.log(p) ** 2 for p in probabilities) - mean**2
            difference += -reader.read(token) - mean
    assert abs(difference) < 3 * math.sqrt(variance)


def test_the_sampler_draws_each_story_as_often_as_its_probability_says():
    world = World("tiny")
    n = 20_000
    seen = Counter(story.events for story in world.stories(n, seed=3))
    likely = [(events, p) for events, p in by_events(world) if n * p > 15]
    assert len(likely) > 100
    assert set(seen) <= {events for events, _ in by_events(world)}
    z = [(seen[events] - n * p) / math.sqrt(n * p * (1 - p)) for events, p in likely]
    assert max(map(abs, z)) < 4.5
    assert sum(x * x for x in z) / len(z) == pytest.approx(1, abs=0.4)


@every_size
def test_the_same_seed_tells_the_same_events_in_both_languages(size):
    english, chinese = World(size, "en").stories(30, seed=4), World(size, "zh").stories(30, seed=4)
    assert [s.events for s in english] == [s.events for s in chinese]
    assert [s.tokens for s in english] != [s.tokens for s in chinese]


@every_language
@every_size
def test_events_survive_the_way_through_text_and_back(size, language):
    world = World(size, language)
    for story in world.stories(10, seed=5):
        assert tuple(world.read(story.tokens)) == story.events
        other = story.told_in("zh" if language == "en" else "en")
        assert tuple(other.world.read(other.tokens)) == story.events
        assert other.told_in(language).tokens == story.tokens


@every_language
@every_size
def test_the_tokenizer_reads_written_stories_as_their_tokens(size, language):
    world = World(size, language)
    tokenizer = world.tokenizer()
    for story in world.stories(60, seed=6):
        assert tokenizer.encode(story.text).tokens == [END_OF_TEXT, *story.tokens[:-1]]
    assert tokenizer.get_vocab_size() == len(world.vocabulary) == len(set(world.vocabulary))


@every_language
def test_an_unknown_word_is_one_unknown_token(language):
    encoded = World(language=language).tokenizer().encode("Tom xyz" if language == "en" else "汤姆xyz")
    assert encoded.tokens[2:] == ["[UNK]"]


def test_a_longer_list_begins_with_the_shorter_one():
    world = World()
    assert [s.events for s in world.stories(5, 7)] == [s.events for s in world.stories(9, 7)][:5]


@every_size
def test_no_story_is_longer_than_the_bound(size):
    world = World(size)
    assert max(len(story.tokens) for story in world.stories(300)) + 1 <= world.longest


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_a_story_makes_sense(seed):
    """People move to where they are not, give what they have to those who are near, and answers are true."""
    (story,) = World().stories(1, seed)
    state = State()
    for event in story.events:
        if event.kind == "go":
            assert state.place[event.subject] != event.place
        if event.kind == "take":
            assert event.object not in state.holder
        if event.kind in ("give", "get"):
            giver = event.subject if event.kind == "give" else event.other
            assert state.holder[event.object] == giver
            assert state.together(event.subject, event.other)
        if event.kind == "where":
            assert state.place[event.subject] == event.place
        if event.kind == "find":
            assert state.place[state.holder[event.object]] == event.place
        if event.kind == "see":
            assert event.word == ("yes" if state.together(event.subject, event.other) else "no")
        if event.pronoun:
            assert event.subject == state.last
        state.apply(event)


def test_the_reader_learns_the_genre_and_never_contradicts_itself():
    right = []
    for story in World().stories(200, seed=8):
        reader = story.world.reader()
        for token in story.tokens:
            reader.read(token)
        assert reader.genres.sum() == pytest.approx(1)
        right.append(reader.genres[storyworld.world.GENRES.index(story.genre)])
    assert sum(right) / len(right) > 0.6  # chance is a quarter


def test_a_token_that_cannot_follow_is_named_with_those_that_can():
    world = World()
    with pytest.raises(ValueError, match="'goes' cannot follow here; what can: is"):
        world.next_probabilities(["Tom", "goes"])
    reader = Reader(world.process, "en")
    reader.read("Tom")
    with pytest.raises(ValueError, match="'Tom' cannot follow"):
        reader.read("Tom")
    assert reader.next_probabilities() == {"is": 1.0}  # nothing was lost


def test_a_story_that_breaks_off_cannot_be_read():
    with pytest.raises(ValueError, match="breaks off after 'is'"):
        World().read(["Tom", "is"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("huge", "en"), "size must be one of tiny, small, large; got 'huge'"),
        (("small", "fr"), "language must be one of en, zh; got 'fr'"),
    ],
)
def test_an_unknown_world_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        World(*arguments)


def test_a_negative_number_of_stories_is_refused():
    with pytest.raises(ValueError, match="at least 0; got -1"):
        World().stories(-1)


def test_every_kind_of_question_can_be_asked():
    kinds = {event.kind for story in World().stories(50) for event in story.events}
    assert set(QUESTIONS) <= kinds


def test_choosing_follows_the_hidden_genre():
    world, counts = World(), Counter()
    draw = random.Random(0)
    for _ in range(300):
        counts[world.process.sample(State(), 0, draw).place] += 1
    assert {place for place, _ in counts.most_common(2)} == {"kitchen", "garden"}


@pytest.mark.parametrize("n", [-1, 2.5, 10**12, "3", None])
def test_a_number_of_stories_that_cannot_be_is_refused(n):
    with pytest.raises(ValueError, match="the number of stories must be"):
        World("tiny").stories(n)
