"""Facts are read from sentences, a graph of them keeps what holds at the end, and it answers for places."""

import pytest

from companion.storyworld import World
from companion.storyworld.triples import (
    by_rules,
    last_told,
    place_of,
    place_questions,
    reworded_facts,
    told_facts,
)
from companion.storyworld.views import facts

STORIES = World().stories(60, seed="triples")


def test_the_rules_read_every_sentence_of_the_world():
    assert all(by_rules(one.text) == one.fact for story in STORIES for one in told_facts(story))


def test_the_rules_read_no_reworded_sentence_wrongly_or_rightly():
    assert {by_rules(one.text) for story in STORIES for one in reworded_facts(story)} == {None}


def test_both_wordings_tell_the_same_facts():
    for story in STORIES:
        assert [one.fact for one in told_facts(story)] == [one.fact for one in reworded_facts(story)]


def test_a_reworded_sentence_names_the_subject_and_the_object_of_its_fact():
    for one in (sentence for story in STORIES for sentence in reworded_facts(story)):
        assert one.fact[0] in one.text
        assert one.fact[2] in one.text


def test_what_was_told_last_is_what_holds_at_the_end():
    for story in STORIES:
        graph = last_told([one.fact for one in told_facts(story)])
        held = {(b, "has", a) if relation == "held by" else (a, relation, b) for (a, relation), b in graph.items()}
        assert held == facts(story.end)


def test_true_facts_answer_every_question_for_a_place():
    for number, story in enumerate(STORIES):
        graph = last_told([one.fact for one in told_facts(story)])
        asked = [one for one in place_questions(STORIES) if one.story == number]
        assert [place_of(one.subject, graph) for one in asked] == [one.answer for one in asked]


def test_what_could_not_be_read_is_left_out():
    assert last_told([None, ("Tom", "is in", "park")]) == {("Tom", "is in"): "park"}


@pytest.mark.parametrize("subject", ["key", "Anna"])
def test_of_what_nothing_is_told_no_place_is_known(subject: str):
    assert place_of(subject, {("Tom", "is in"): "park"}) is None
