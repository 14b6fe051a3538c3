"""Derivatives of an expression accept what Python's regular expressions accept."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT

from companion.generation.grammar import END, NOTHING, choice, json_object, many, one_of, sequence, up_to, words

CASES = [
    (many("ab"), r"[ab]*"),
    (many("ab", least=2), r"[ab]{2,}"),
    (up_to(3, "ab"), r"[ab]{1,3}"),
    (up_to(2, "c", least=0), r"c{0,2}"),
    (words("a", "ab", "abc"), r"a|ab|abc"),
    (sequence(many("a"), words("ab")), r"a*ab"),
    (choice(many("a"), sequence(words("b"), many("c"))), r"a*|bc*"),
    (sequence(choice(words("a"), END), many("ab"), words("c")), r"a?[ab]*c"),
]


@pytest.mark.parametrize(("expression", "pattern"), CASES, ids=[pattern for _, pattern in CASES])
@settings(PATIENT, max_examples=80)
@given(text=st.text("abc", max_size=6))
def test_an_expression_accepts_what_its_pattern_matches(expression, pattern, text):
    assert expression.accepts(text) == (re.fullmatch(pattern, text) is not None)


def test_a_state_is_an_expression_and_equal_states_are_equal():
    expression = many("ab")
    assert expression.after("a") == expression
    assert expression.after("c") == NOTHING


def test_nothing_in_a_sequence_is_nothing():
    assert sequence(words("a"), NOTHING) == NOTHING
    assert choice() == NOTHING
    assert sequence() == END


def test_a_json_object_is_json():
    person = json_object({"name": sequence(words('"'), many("ab"), words('"')), "age": many("01", least=1)})
    text = '{"name": "ab", "age": 10}'
    assert person.accepts(text)
    assert json.loads(text) == {"name": "ab", "age": 10}
    assert not person.accepts('{"age": 10, "name": "ab"}')


def test_one_character_of_these():
    assert one_of("ab").accepts("a")
    assert not one_of("ab").accepts("ab")
