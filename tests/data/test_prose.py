"""The prose corpus needs no network, is the same each time, and keeps its held-out documents to itself."""

import itertools
import re

import pytest
import torch

from companion.data import prose
from companion.data.tokenization import train_byte_bpe, train_wordpiece


@pytest.fixture(scope="module")
def primer():
    return prose.documents(["primer"])


@pytest.fixture(scope="module")
def everything():
    return prose.documents()


# Documents


@pytest.mark.slow
def test_the_three_sources_come_one_after_the_other_and_no_text_twice(everything, primer):
    topics = prose.documents(["topics"])
    assert everything[: len(primer)] == primer
    assert everything[len(primer) : len(primer) + len(topics)] == topics
    assert len(everything) == len(set(everything)) > len(primer) + len(topics)


@pytest.mark.slow
def test_there_is_enough_prose_to_learn_from(everything, primer):
    assert sum(map(len, primer)) > 200_000
    assert sum(map(len, everything)) > 1_500_000


def test_documents_are_the_same_each_time(primer):
    assert prose.documents(["primer"]) == primer


@pytest.mark.slow
def test_no_document_is_empty(everything):
    assert all(text.strip() for text in everything)


def test_the_primer_is_plain_english(primer):
    text = "\n".join(primer)
    assert set(text) <= {chr(c) for c in range(32, 127)} | set("\n–—‘’“”éèïöüçñ£°½×")
    assert not re.search(r"https?://|<[a-z]+>|\{\{", text)


@pytest.mark.parametrize("sources", [["novels"], ["primer", "novels"]])
def test_an_unknown_source_is_refused(sources):
    with pytest.raises(ValueError, match="unknown source 'novels'; choose from primer, topics, docstrings"):
        prose.documents(sources)


# The split


def test_the_split_is_a_partition(primer):
    training, validation = prose.split(primer)
    assert sorted(training + validation) == sorted(primer)
    assert not set(training) & set(validation)


@pytest.mark.slow
def test_about_the_share_that_was_asked_for_is_held_out(everything):
    for share in (0.05, 0.5):
        assert len(prose.split(everything, share)[1]) / len(everything) == pytest.approx(share, abs=0.015)


@pytest.mark.slow
def test_a_document_falls_on_the_same_side_whatever_stands_beside_it(everything, primer):
    _, held_out = prose.split(everything)
    assert prose.split(primer)[1] == [text for text in primer if text in set(held_out)]


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_a_share_that_leaves_a_side_empty_is_refused(share):
    with pytest.raises(ValueError, match=f"held_out must be between 0 and 1, both excluded; got {share}"):
        prose.split(["a"], share)


# Tokens


def test_each_document_is_led_in_by_the_end_of_text():
    tokenizer = train_byte_bpe(["ab", "c"], 257)
    stream = prose.token_stream(tokenizer, ["ab", "c"])
    assert tokenizer.decode(stream.tolist(), skip_special_tokens=False) == "<|endoftext|>ab<|endoftext|>c"


def test_a_tokenizer_without_end_of_text_is_refused():
    with pytest.raises(ValueError, match=re.escape("<|endoftext|>, which this tokenizer does not have")):
        prose.token_stream(train_wordpiece(["abc"], 20), ["abc"])


STREAM = torch.arange(50)


def first(count, **options):
    return list(itertools.islice(prose.random_windows(STREAM, batch_size=4, length=6, **options), count))


def test_windows_are_runs_of_the_stream_with_one_more_token_than_the_length():
    for batch in first(20):
        assert batch.shape == (4, 7)
        assert (batch.diff() == 1).all()


def test_every_place_is_drawn():
    starts = torch.cat(first(500))[:, 0]
    assert starts.unique().tolist() == list(range(44))


def test_windows_depend_on_their_seed_alone():
    expected = first(5, seed=1)
    torch.manual_seed(99)
    assert all(map(torch.equal, first(5, seed=1), expected))
    assert not all(map(torch.equal, first(5, seed=2), expected))


def test_a_stream_of_one_window_has_one_place():
    batch = next(prose.random_windows(torch.arange(7), batch_size=2, length=6))
    assert batch.tolist() == [list(range(7))] * 2


def test_a_stream_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match="a window needs 7 tokens; the stream has 6"):
        next(prose.random_windows(torch.arange(6), batch_size=2, length=6))


def test_a_document_that_writes_the_mark_between_documents_is_not_divided():
    texts = ["GPT-2 divides documents by <|endoftext|>, a token of its own.", "A second one."]
    tokenizer = train_byte_bpe(texts, 300)
    assert prose.token_stream(tokenizer, texts).tolist().count(tokenizer.token_to_id("<|endoftext|>")) == len(texts)


def test_a_document_with_half_of_a_character_is_refused():
    with pytest.raises(ValueError, match="unpaired surrogate"):
        prose.token_stream(train_byte_bpe([""], 257), ["a \ud83d"])


def test_openings_are_the_first_tokens_of_those_that_are_long_enough():
    tokenizer = train_byte_bpe(["ab"], 257)
    found = prose.openings(tokenizer, ["a", "abc", "abcd", "xyz"], texts=2, length=3)
    assert [tokenizer.decode(row.tolist()) for row in found] == ["abc", "abc"]
    with pytest.raises(ValueError, match="texts must be at most 3, as many as have 3 tokens; got 4"):
        prose.openings(tokenizer, ["a", "abc", "abcd", "xyz"], texts=4, length=3)
