"""What is given for a list of texts is one, and each of them is a text of whole characters."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT, tiny_gpt

from companion.data import hub, prose
from companion.data.chat import render_chat
from companion.data.checks import check_characters, check_list, check_names, whole
from companion.data.labelled import labelled, tagged
from companion.data.subwords import encode_bpe, encode_wordpiece, learn_bpe, learn_wordpiece
from companion.data.tokenization import encode_as_text, train_byte_bpe, train_unigram, train_wordpiece
from companion.data.unigram import segmentations
from companion.finetuning.predictions import predicted_labels
from companion.generation.constrained import TokenMask
from companion.generation.grammar import words
from companion.generation.in_context_learning import SharedPrompt
from companion.metrics.classification import report
from companion.models.baselines.bag_of_words import BagOfWords, dice_dictionary
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.widgets import TokenizersView

HALF = "the \ud83d dog"
WORDS, BYTES = train_wordpiece(["the dog"], 20), train_byte_bpe([""], 257)
ONE = WORDS.encode("the dog")
GPT_ = tiny_gpt(vocab_size=257)
TEXTS = {  # what reads several texts
    "train_byte_bpe": lambda texts: train_byte_bpe(texts, 300),
    "train_wordpiece": lambda texts: train_wordpiece(texts, 60),
    "train_unigram": lambda texts: train_unigram(texts, 60),
    "encode_as_text": lambda texts: encode_as_text(WORDS, texts),
    "hub.encode": lambda texts: hub.encode(WORDS, texts, 8),
    "prose.split": prose.split,
    "prose.token_stream": lambda texts: prose.token_stream(BYTES, texts),
    "prose.openings": lambda texts: prose.openings(BYTES, texts, 1, 1),
}
LISTS = {  # what reads lists of words, or of names
    "NaiveBayes, texts": lambda: NaiveBayes(["ab", "cd"], ["x", "y"]),
    "NaiveBayes, labels": lambda: NaiveBayes([["a"], ["b"]], "xy"),
    "NaiveBayes.predict": lambda: NaiveBayes([["a"], ["b"]], ["x", "y"]).predict("ab"),
    "BagOfWords": lambda: BagOfWords(["ab", "cd"]),
    "BagOfWords.bm25": lambda: BagOfWords([["ab"], ["cd"]]).bm25(["ab"]),
    "dice_dictionary": lambda: dice_dictionary([("ab", "cd")]),
    "labelled, labels": lambda: labelled([ONE, ONE], "ab", ["a", "b"]),
    "labelled, names": lambda: labelled([ONE], ["a"], "ab"),
    "tagged, tags": lambda: tagged([ONE], ["OO"], ["O"]),
    "tagged, names": lambda: tagged([ONE], [["O", "O"]], "O"),
    "prose.documents": lambda: prose.documents("primer"),
    "report": lambda: report(torch.tensor([0, 1]), torch.tensor([0, 1]), "ab"),
    "predicted_labels": lambda: predicted_labels(torch.zeros(1, 2), "ab"),
    "learn_bpe": lambda: learn_bpe("abab", 2),
    "learn_wordpiece": lambda: learn_wordpiece("abab", 9),
    "encode_bpe": lambda: encode_bpe("ab", "ab"),
    "encode_bpe, pairs": lambda: encode_bpe("ab", ["ab"]),
    "encode_wordpiece": lambda: encode_wordpiece("ab", "ab"),
    "segmentations": lambda: segmentations("ab", "ab"),
    "TokenMask": lambda: TokenMask(words("ab"), "ab", 0),
    "labels of a prompt": lambda: SharedPrompt(GPT_, BYTES, "a").log_probabilities(["a"], "ab"),
    "queries of a prompt": lambda: SharedPrompt(GPT_, BYTES, "a").log_probabilities("ab", ["a"]),
    "pairs of a prompt": lambda: SharedPrompt(GPT_, BYTES, "a").writes(["ab"]),
    "chat": lambda: render_chat("", "hello"),
    "examples of a view": lambda: TokenizersView({"own": BYTES}, "a", examples="ab"),
    "pairs of a view": lambda: TokenizersView({"own": BYTES}, "a", examples=["ab"]),
}


@pytest.mark.parametrize("read", TEXTS.values(), ids=TEXTS)
def test_one_text_is_not_taken_for_several(read):
    with pytest.raises(ValueError, match="must be a list, not a string"):
        read("the dog")


@pytest.mark.parametrize("read", LISTS.values(), ids=LISTS)
def test_a_string_is_not_taken_for_a_list_of_words_or_names(read):
    with pytest.raises(ValueError, match="must be a list, not a string"):
        read()


@pytest.mark.parametrize("read", TEXTS.values(), ids=TEXTS)
def test_half_a_character_is_named(read):
    with pytest.raises(ValueError, match="unpaired surrogate, half of a character, U.D83D at 4") as error:
        read([HALF])
    assert not isinstance(error.value, UnicodeError)


@settings(PATIENT, max_examples=50)
@given(st.text(st.characters(codec="utf-8"), max_size=20), st.integers(0xD800, 0xDFFF))
def test_whole_characters_pass_and_a_half_is_found_wherever_it_is(text, half):
    check_characters(text)
    with pytest.raises(ValueError, match=f"U.{half:04X} at {len(text)};"):
        check_characters(text + chr(half))


def test_texts_are_checked_as_they_are_read():
    assert list(whole(iter(["a", "b"]))) == ["a", "b"]
    assert next(whole(iter(["a", HALF]))) == "a"


@pytest.mark.parametrize(
    "value", [["a"], ("a",), (name for name in "a"), {"a": 1}, {"a"}], ids=["list", "tuple", "generator", "dict", "set"]
)
def test_any_other_collection_will_do(value):
    check_list("names", value)


@pytest.mark.parametrize("value", ["", "a", b"ab"])
def test_a_string_is_refused_whatever_its_length(value):
    with pytest.raises(ValueError, match="names must be a list, not a string, .* got"):
        check_list("names", value)


@pytest.mark.parametrize("read", [labelled, tagged])
def test_a_name_that_comes_twice_is_named(read):
    with pytest.raises(ValueError, match="names must be different names; 'a' comes twice"):
        read([ONE], [["a", "a"]] if read is tagged else ["a"], ["b", "a", "a"])
    check_names("names", [])
    with pytest.raises(ValueError, match="'macro' comes twice"):
        check_names("names", ["macro", "micro", "macro"])


MISSING = {  # what stands in a table where a text is missing, or was read as another type
    "None": [None, "the dog"],
    "not a number": ["the dog", float("nan")],
    "bytes": [b"the dog"],
    "a number": [7],
    "a dictionary": [{"text": "the dog"}],
}


@pytest.mark.parametrize("texts", MISSING.values(), ids=MISSING)
@pytest.mark.parametrize("read", TEXTS.values(), ids=TEXTS)
def test_what_is_no_text_is_named(read, texts):
    with pytest.raises(TypeError, match="a text must be a string; got"):
        read(texts)


def test_texts_that_are_read_once_are_all_encoded():
    """A generator is at its end after the check of its texts."""
    texts = ["the dog", "the"]
    wanted = [one.ids for one in encode_as_text(WORDS, texts)]
    assert [one.ids for one in encode_as_text(WORDS, (text for text in texts))] == wanted
    assert [one.ids for one in hub.encode(WORDS, (text for text in texts), 8)] == wanted


@pytest.mark.parametrize("name", [1, None, ("a",), b"a"], ids=str)
def test_a_name_that_is_no_string_is_refused(name):
    with pytest.raises(ValueError, match="names must be strings; got"):
        check_names("names", ["a", name])
