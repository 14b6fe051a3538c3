"""Names in two languages are real pairs, none of which is on two sides, and some tasks on them are easy."""

import pytest

from companion.data.word_pairs import KINDS, WordPair, by_kind, split, word_pairs
from companion.models.baselines.naive_bayes import NaiveBayes

LANGUAGES = ("fr", "de", "es", "zh", "ru")


def copied(pairs):
    """Accuracy of a translator that gives back what it reads."""
    return sum(pair.english.casefold() == pair.other.casefold() for pair in pairs) / len(pairs)


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_more_than_a_thousand_pairs_of_all_kinds(language):
    pairs = word_pairs(language)
    assert len(pairs) > 1000
    assert {pair.kind for pair in pairs} == set(KINDS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_name_of_either_language_is_on_two_sides(language):
    parts = split(word_pairs(language))
    for side in ("english", "other"):
        names = [{getattr(pair, side).casefold() for pair in part} for part in parts]
        assert sum(map(len, names)) == len(set().union(*names)) == sum(map(len, parts))


def test_the_same_english_names_are_held_out_in_every_language():
    french, chinese = (split(word_pairs(language)) for language in ("fr", "zh"))
    assert {pair.english for pair in french.test}.isdisjoint(pair.english for pair in chinese.train)


def test_copying_translates_many_names_into_french_and_none_into_chinese():
    assert 0.2 < copied(split(word_pairs("fr")).test) < 0.35
    assert copied(split(word_pairs("zh")).test) == 0


@pytest.mark.parametrize(("language", "units"), [("fr", str.split), ("zh", list)])
def test_the_kind_of_a_name_is_in_its_words_more_than_in_how_frequent_the_kind_is(language, units):
    parts = split(word_pairs(language))
    train, test = by_kind(parts.train), by_kind(parts.test)
    majority = max(map(test.labels.count, KINDS)) / len(test.labels)
    bayes = NaiveBayes([units(text) for text in train.texts], train.labels)
    assert majority < 0.55
    assert bayes.accuracy([units(text) for text in test.texts], test.labels) > majority + 0.15


def test_a_code_that_cldr_has_no_name_for_is_no_pair():
    assert not [pair for pair in word_pairs("sw") if pair.other == pair.other.upper() and len(pair.other) == 3]


def test_pairs_are_labelled_by_kind():
    assert by_kind([WordPair("script", "Arabic", "arabe")]) == (["arabe"], ["script"], KINDS)


@pytest.mark.parametrize("language", ["xx", "", "not a language"])
def test_an_unknown_language_is_refused(language):
    with pytest.raises(ValueError, match=f"CLDR has no language {language!r}"):
        word_pairs(language)
