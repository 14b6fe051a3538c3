"""Pairs differ in one token that decides, facts are true at their tokens, and controls keep what they should keep."""

import pytest
import torch

from companion import zoo
from companion.data.tokenization import train_byte_bpe
from companion.lessons.interpretability import experiments as e
from companion.lessons.interpretability.experiments.known import known
from companion.lessons.interpretability.experiments.pairs import where_pairs
from companion.lessons.interpretability.experiments.probes import probe_controls
from companion.lessons.interpretability.experiments.sparse import shuffled
from companion.storyworld import State


@pytest.fixture(scope="module")
def gpt():
    return zoo.load("storyworld-en")[0]


def test_pairs_of_stories_differ_in_the_place_that_is_asked_for():
    pairs = where_pairs(20, seed=0)
    each = torch.arange(len(pairs.ends))
    assert ((pairs.clean != pairs.corrupted).sum(1) == 1).all()
    assert torch.equal(pairs.clean[each, pairs.changed], pairs.right)
    assert torch.equal(pairs.corrupted[each, pairs.changed], pairs.wrong)


def test_the_story_gpt_answers_both_texts_of_a_pair(gpt):
    pairs = where_pairs(20, seed=0)
    each = torch.arange(len(pairs.ends))
    with torch.no_grad():
        answers = [gpt(ids)[each, pairs.ends].argmax(-1) for ids in (pairs.clean, pairs.corrupted)]
    assert (answers[0] == pairs.right).float().mean() > 0.9
    assert (answers[1] == pairs.wrong).float().mean() > 0.9


def test_each_position_of_a_text_has_one_role():
    pairs = where_pairs(10, seed=1)
    roles = e.roles(pairs)
    for row, ids in enumerate(pairs.clean):
        named = [int((roles[row] == number).sum()) for number in range(len(e.ROLES))]
        assert sum(named) == int(pairs.ends[row]) + 1
        assert named[1] == named[3] == 1
        assert (ids[roles[row] == -1] == 0).all()


def test_in_sentences_with_names_the_giver_is_exchanged():
    tokenizer = train_byte_bpe([" " + " ".join(e.NAMES * 2)], 600)
    pairs = e.name_pairs(tokenizer, seed=0)
    each = torch.arange(len(e.TEMPLATES))
    assert ((pairs.clean != pairs.corrupted).sum(1) == 1).all()
    assert torch.equal(pairs.clean[each, pairs.changed], pairs.wrong)  # who gives does not receive
    assert torch.equal(pairs.corrupted[each, pairs.changed], pairs.right)


def test_a_name_of_several_tokens_is_refused():
    with pytest.raises(ValueError, match="must be one token"):
        e.name_pairs(train_byte_bpe(["a"], 257), seed=0)


def test_what_is_known_of_a_token_is_what_the_state_says():
    stories = e.WORLD.stories(5, "known")
    facts = known(stories)
    for row, story in enumerate(stories):
        end = State.after(story.statements)
        last = (facts.row == row).nonzero()[-1].item()
        subject = story.statements[-1].subject
        assert facts.subject[last] == e.NUMBER[subject]
        if facts.place[last] >= 0:
            assert facts.place[last] == e.NUMBER[end.place[subject]]


def test_facts_are_learned_from_some_stories_and_tested_on_others():
    learn, test = (known(e.WORLD.stories(60, f"facts {n}")) for n in range(2))
    facts = e.facts_of("subject", learn, test)
    assert (facts.learn_true.sum(1) <= 1).all()
    assert facts.test_true.any(0).all()
    with pytest.raises(ValueError, match="word, subject, place; got 'mood'"):
        e.facts_of("mood", learn, test)


def test_a_score_that_is_the_fact_detects_it():
    learn, test = (known(e.WORLD.stories(60, f"facts {n}")) for n in range(2))
    facts = e.facts_of("word", learn, test)
    told = [(one.word[:, None] == facts.values).float() for one in (learn, test)]
    assert (e.detected(facts, *told) == 1).all()


def test_neurons_and_states_are_of_the_tokens_asked_for(gpt):
    facts = known(e.WORLD.stories(4, "states"))
    states = e.states(gpt, facts.ids, facts.row, facts.position)
    inside = e.neurons(gpt, facts.ids, facts.row, facts.position, layer=0)
    assert states.shape == (5, len(facts.row), 64)
    assert inside.shape == (len(facts.row), 256)
    expected = gpt.token_embedding.weight[facts.word] + gpt.position_embedding.weight[facts.position]
    torch.testing.assert_close(states[0], expected)


def test_a_scale_goes_there_and_back():
    x = 3 + 5 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    scale = e.Scale.of(x)
    torch.testing.assert_close(scale.back(scale(x)), x)
    torch.testing.assert_close(scale(x).square().mean(), torch.tensor(1.0))


def test_shuffled_states_keep_each_dimension_and_no_pair():
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    x[:, 1] = x[:, 0]
    dealt = shuffled(x, seed=0)
    torch.testing.assert_close(dealt.sort(0).values, x.sort(0).values)
    assert torch.corrcoef(dealt.T)[0, 1].abs() < 0.3


def test_a_higher_penalty_leaves_fewer_features_active():
    x = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    active = [
        (e.train_autoencoder(x, penalty=price, seed=0, n_features=24, steps=100)(x)[1] > 0).float().mean()
        for price in (0.1, 2.0)
    ]
    assert active[1] < active[0] / 2


@pytest.mark.parametrize("site", e.SITES)
def test_probes_are_asked_where_the_place_is_known_and_not_named(site):
    tokens = e.SITES[site](20, "test")
    named = tokens.ids[tokens.row, tokens.position]
    assert not torch.isin(named, e.PLACES).any()
    assert tokens.label.min() >= 0
    assert tokens.label.max() < len(e.PLACES)


def test_controls_of_a_probe_have_a_score_for_each_block():
    found = probe_controls("question", seed=0, learn=60, test=40)
    assert {len(scores) for scores in found.values()} == {5}
    assert found["trained"][-1] > found["untrained"][-1]
