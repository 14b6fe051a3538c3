"""A model writes many lines at once, each in its grammar; answers, names and triples are read as they are written."""

import pytest
import torch

from companion.data.primer_questions import follow_ups, paragraphs, people, questions
from companion.data.tokenization import train_byte_bpe
from companion.lessons.applications import experiments as e
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.storyworld.triples import RELATIONS, reworded_facts, told_facts

TEXTS = ["Tom takes the lamp.", "Anna is in the park.", "A bell rang, and Tom ran.", "Rain."]


@pytest.fixture(scope="module")
def writer() -> e.Writer:
    tokenizer = train_byte_bpe([e.FACT.query(text) for text in TEXTS] * 3 + ["Tom | has | lamp\n"], 300)
    torch.manual_seed(0)
    config = ModernConfig(tokenizer.get_vocab_size(), 256, n_layers=1, n_heads=2, n_kv_heads=1, d_model=16, d_ff=32)
    return e.Writer(ModernDecoder(config).eval(), tokenizer)


def test_lines_written_together_are_those_written_alone(writer: e.Writer):
    queries = [e.FACT.query(text) for text in TEXTS]
    together = writer.lines("Facts.\n", queries, longest=6)
    assert together == [writer.lines("Facts.\n", [one], longest=6)[0] for one in queries]


def test_each_line_is_in_its_grammar(writer: e.Writer):
    grammars = [e.copied_triple(text) for text in TEXTS]
    lines = writer.lines("Facts.\n", [e.FACT.query(text) for text in TEXTS], 60, grammars)
    assert all(one.accepts(f" {line}") for one, line in zip(grammars, lines, strict=True))


def test_a_triple_is_read_as_it_is_written():
    fact = ("Tom", "has", "lamp")
    assert e.read_triple(e.written_triple(fact)) == fact


@pytest.mark.parametrize("line", ["Tom has the lamp", "Tom | owns | lamp", "Tom | has", "a | has | b | c", ""])
def test_what_is_no_triple_is_none(line: str):
    assert e.read_triple(line) is None


@pytest.mark.parametrize("wording", [told_facts, reworded_facts])
def test_demonstrations_show_each_kind_of_sentence_once(wording):
    shown = e.demonstrations(wording, seed=3)
    assert len(shown) == 6
    assert {e.read_triple(line)[1] for _, line in shown} == set(RELATIONS)


def test_demonstrated_places_are_those_of_their_stories():
    for text, place in e.story_demonstrations(told_facts, seed=0):
        assert f"the {place}." in text


def test_names_are_those_of_the_stories_and_answers_stand_in_them():
    texts = [paragraphs()[one.paragraph] for one in questions()[:20]]
    for text, names, (_, right) in zip(texts, people(), follow_ups(), strict=True):
        assert all(name in text for name in names)
        assert e.holds(text, right)


def test_the_demonstrated_names_are_in_their_grammar():
    assert all(e.name_list(text).accepts(f" {line}") for text, line in e.NAMED)


def test_as_many_words_as_the_text_has_surely_hold_what_it_holds():
    assert e.any_stretch("one two three", 3, ["two"]) == 1
    assert e.any_stretch("one two three", 9, ["two"]) == 1


def test_an_answer_in_other_words_scores_nothing():
    assert e.token_f1("the blue one", ["leaf"]) == 0


def test_the_names_to_translate_are_not_those_shown():
    shown, asked = e.names_to_translate(60, 4, seed=1)
    assert not set(shown) & set(asked)
    assert asked == e.names_to_translate(60, 4, seed=2)[1]
