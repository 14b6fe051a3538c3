"""What goes wrong is measured right: separation, secrets, and stories that were changed on purpose."""

import itertools
import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from companion.metrics.limits import auroc, exposure, next_token, secret_log_probs
from companion.models.gpt import GPT, GPTConfig
from companion.storyworld import World
from companion.storyworld.alterations import misspellings, renamed, unanswerable, with_moods
from companion.storyworld.views import told

WORLD = World()
STORIES = WORLD.stories(60, seed=4)
numbers = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(vocab_size=9, context_length=10, n_layers=2, n_heads=2, d_model=8)).eval()


def test_the_next_token_is_that_of_the_prompt_alone(model):
    prompts = [[1], [2, 3, 4], [5, 6]]
    together = next_token(model, prompts)
    alone = torch.stack([model(torch.tensor([prompt]))[0, -1].softmax(-1) for prompt in prompts])
    assert torch.allclose(together, alone, atol=1e-6)


def test_the_size_of_a_batch_changes_nothing(model):
    prompts = [[1], [2, 3, 4], [5, 6]]
    assert torch.allclose(next_token(model, prompts), next_token(model, prompts, batch_size=2), atol=1e-6)


def test_no_prompt_is_refused(model):
    with pytest.raises(ValueError, match="at least one row"):
        next_token(model, [])


@given(numbers, numbers)
def test_separation_counts_pairs(high, low):
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    assert auroc(torch.tensor(high), torch.tensor(low)) == pytest.approx(sum(pairs) / len(pairs))


@given(numbers, numbers)
def test_turned_round_it_is_what_is_left(high, low):
    first, second = torch.tensor(high), torch.tensor(low)
    assert auroc(first, second) + auroc(second, first) == pytest.approx(1)


def test_an_empty_side_is_refused():
    with pytest.raises(ValueError, match="got 0 and 1"):
        auroc(torch.zeros(0), torch.zeros(1))


def test_all_secrets_are_scored_as_one_by_one(model):
    found = secret_log_probs(model, [1, 2], [4, 6, 7], 3)
    for place, word in enumerate(itertools.product([4, 6, 7], repeat=3)):
        ids = torch.tensor([[1, 2, *word]])
        log_p = model(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[0, 1:, 0].sum()
        assert found[place].item() == pytest.approx(log_p.item(), abs=1e-4)


@pytest.mark.parametrize(("symbols", "length"), [([1], 0), ([], 2)])
def test_a_secret_of_nothing_is_refused(model, symbols, length):
    with pytest.raises(ValueError, match="at least 1 symbol"):
        secret_log_probs(model, [1], symbols, length)


@given(st.permutations(list(range(16))), st.integers(0, 15))
def test_exposure_is_all_bits_for_the_first_guess_and_none_for_the_last(order, secret):
    log_probs = torch.tensor(order, dtype=torch.float32)
    rank = 16 - order[secret]
    assert exposure(log_probs, secret) == pytest.approx(4 - math.log2(rank))


def test_a_model_that_knows_nothing_gives_away_less_than_two_bits_on_average():
    ranks = torch.arange(1, 10_001).log2()
    assert (math.log2(10_000) - ranks).mean().item() == pytest.approx(1 / math.log(2), abs=0.01)


def test_a_secret_that_is_no_candidate_is_refused():
    with pytest.raises(ValueError, match="secret must be 0 to 3; got 4"):
        exposure(torch.zeros(4), 4)


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
    with pytest.raises(ValueError, match="share must be in"):
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
