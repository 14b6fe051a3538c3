"""A body is a list of texts within the limits; every other gets a status and a reason that names it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from companion.serving.requests import Limits, RefusedError, shown, texts_of

LIMITS = Limits(texts=3, characters=20)
REFUSED = {  # body, status, what the reason says
    "nothing": (b"", 400, "got its end"),
    "no JSON": (b"texts=Anna", 400, 'at character 0: got "texts=Anna"'),
    "half of a JSON": (b'{"texts": ["Anna"', 400, "got its end"),
    "not UTF-8": (b'{"texts": ["\xff"]}', 400, "got the byte 0xff at 12"),
    "NaN": (b'{"texts": [NaN]}', 400, "no NaN"),
    "a number of many digits": (b'{"texts": [' + b"9" * 5000 + b"]}", 400, "thousands of digits"),
    "lists in lists without end": (b"[" * 1_000_000, 400, "of a few levels"),
    "a key twice": (b'{"texts": ["a"], "texts": ["b"]}', 400, '["texts", "texts"]'),
    "null": (b"null", 422, "got null"),
    "a list": (b'["Anna"]', 422, 'got ["Anna"]'),
    "another key": (b'{"text": "Anna"}', 422, 'the keys ["text"]'),
    "one key more": (b'{"texts": ["Anna"], "temperature": 2}', 422, "temperature"),
    "one text that is no list": (b'{"texts": "Anna"}', 422, 'a list of 1 to 3 strings; got "Anna"'),
    "texts that are null": (b'{"texts": null}', 422, "a list of 1 to 3 strings; got null"),
    "no text": (b'{"texts": []}', 422, "1 to 3 strings; got 0 of them"),
    "too many texts": (b'{"texts": ["a", "b", "c", "d"]}', 422, "1 to 3 strings; got 4 of them"),
    "a number": (b'{"texts": ["a", 7]}', 422, "text 1 must be a string; got 7"),
    "a huge number": (b'{"texts": [1e999]}', 422, "text 0 must be a string; got Infinity"),
    "a null": (b'{"texts": [null]}', 422, "text 0 must be a string; got null"),
    "white space": (b'{"texts": [" \\n"]}', 422, "a character that can be seen"),
    "a long text": (b'{"texts": ["' + b"a" * 21 + b'"]}', 422, "at most 20 characters; got 21"),
    "half of a character": (b'{"texts": ["ab\\ud800"]}', 422, "half of one, U+D800, at 2"),
}


@pytest.mark.parametrize(("body", "status", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_body_is_refused_with_what_it_has_and_what_is_allowed(body: bytes, status: int, reason: str):
    with pytest.raises(RefusedError) as refused:
        texts_of(body, LIMITS)
    assert refused.value.status == status
    assert reason in str(refused.value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1, max_size=3))
def test_texts_within_the_limits_come_out_as_they_went_in(texts: list[str]):
    texts = [text if text.strip() else "a" for text in texts]
    assert texts_of(json.dumps({"texts": texts}).encode(), LIMITS) == texts


@given(st.binary(max_size=60))
def test_no_bytes_do_anything_but_be_read_or_be_refused(body: bytes):
    refused = None
    try:
        texts_of(body, LIMITS)
    except RefusedError as error:
        refused = error
    assert refused is None or refused.status in (400, 422)


def test_a_reason_is_short_and_plain_however_long_and_strange_the_value():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a value of very many levels"
    assert len(shown("\ud800" * 1000)) < 70
    assert shown("\ud800") == '"\\ud800"'


@pytest.mark.parametrize("wrong", [{"texts": 0}, {"body_bytes": 1.5}, {"read_seconds": 0}, {"wait_seconds": -1}])
def test_a_limit_that_lets_nothing_through_is_refused(wrong: dict):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)
