"""Published tokenizers are those of the field, token for token."""

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from transformers import GPT2Tokenizer

from companion.data import fetched, parallel, prose
from companion.data.fetched import NotFetchedError
from companion.data.published_tokenizers import KINDS, NAMES, Kind, published_tokenizer, read_ranks, tokenizer_of_ranks

MIXED = "aaaabAB éñß中文日本 \n\t\r  0123456789'sLL…🙂👩‍👩‍👧اعربкирилл ไทยहिन्दी/_=({[<|>"
# OpenAI's cookbook, "How to count tokens with tiktoken".
COUNTS = {"antidisestablishmentarianism": (5, 6), "2 + 2 = 4": (5, 7), "お誕生日おめでとう": (14, 8)}
SIZES = {"gpt2-tokenizer": (50_257, 50_256), "gpt4o-tokenizer": (199_999, 199_999)}
SIZES["qwen3-tokenizer"] = (151_669, 151_643)  # of the vocabulary, and the id of the end of a text


def had(name):
    try:
        return published_tokenizer(name)
    except NotFetchedError as error:
        return pytest.skip(f"left out, because it cannot be had: {error}")


def texts(count):
    draw = random.Random(0)
    written = [*prose.documents(["primer"])[:count], *(text for pair in parallel.pairs()[:count] for text in pair)]
    mixed = ["".join(draw.choices(MIXED, k=draw.randint(1, 40))) for _ in range(5 * count)]
    return [*written, *mixed, *("a" * n for n in range(40)), *(" " * n + "x" for n in range(40))]


def merged(piece, ranks):
    """A piece of text as tiktoken merges it: the two neighbours first whose joined bytes have the lowest rank."""
    parts = [bytes([byte]) for byte in piece]
    while len(parts) > 1:
        found = [(ranks[a + b], place) for place, (a, b) in enumerate(pairwise(parts)) if a + b in ranks]
        if not found:
            break
        place = min(found)[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return [ranks[part] for part in parts]


def test_every_pair_whose_bytes_are_a_token_is_merged():
    ranks = {b"a": 0, b"b": 1, b"ab": 2, b"ba": 3, b"aba": 4, b"abab": 5}
    tokenizer = tokenizer_of_ranks(ranks, Kind(r"\S+", 6, []))
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(draw.choices("ab", k=draw.randint(1, 12)))
        assert tokenizer.encode(text).ids == merged(text.encode(), ranks)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_ranks_are_applied_as_tiktoken_applies_them(name):
    tokenizer, ranks = had(name), read_ranks(fetched.folder(name) / "ranks.txt")
    for text in texts(50):
        seen = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
        pieces = regex.findall(KINDS[name].pieces, seen)
        assert "".join(pieces) == seen
        assert tokenizer.encode(text).ids == [i for piece in pieces for i in merged(piece.encode(), ranks)]


@pytest.mark.slow
def test_gpt2_s_tokenizer_is_transformers():
    tokenizer, place = had("gpt2-tokenizer"), fetched.folder("gpt2-tokenizer")
    merges = [tuple(line.split(" ")) for line in Path(place, "merges.txt").read_text().splitlines()[1:]]
    theirs = GPT2Tokenizer(vocab=json.loads(Path(place, "vocab.json").read_text()), merges=merges)
    for text in texts(200):
        assert tokenizer.encode(text).ids == theirs(text)["input_ids"]


@pytest.mark.slow
def test_texts_have_the_numbers_of_tokens_that_their_makers_publish():
    old, new = had("gpt2-tokenizer"), had("gpt4o-tokenizer")
    assert {text: (len(old.encode(text)), len(new.encode(text))) for text in COUNTS} == COUNTS


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_end_of_a_text_is_one_token_and_decoding_gives_any_text_back(name):
    tokenizer, (size, end) = had(name), SIZES[name]
    assert tokenizer.get_vocab_size() == size
    assert tokenizer.encode("a<|endoftext|>").ids[-1] == end
    for text in texts(20):
        same = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
        assert tokenizer.decode(tokenizer.encode(text).ids) == same


@pytest.mark.slow
def test_what_qwen3_thinks_is_text_and_its_roles_are_not():
    tokenizer = had("qwen3-tokenizer")
    ids = tokenizer.encode("<|im_start|><think>Well.</think><|im_end|>").ids
    assert [ids[0], ids[1], ids[-2], ids[-1]] == [151_644, 151_667, 151_668, 151_645]
    assert tokenizer.decode(ids) == "<think>Well.</think>"


def test_another_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="called 'llama'; there is gpt2-tokenizer, gpt4o-tokenizer, qwen3-tokenizer"):
        published_tokenizer("llama")
