"""Entities are read off tags as ``conlleval`` and ``seqeval`` do, and scored with the same numbers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT

from companion.metrics.classification import Scores
from companion.metrics.entities import Entity, entities, entity_report

# What get_entities of seqeval 1.2.2 says; its ends are the last word, ours the word after it.
READ = {
    "B-X I-X O": [("X", 0, 2)],
    "I-X I-X": [("X", 0, 2)],
    "O I-X": [("X", 1, 2)],
    "B-X B-X": [("X", 0, 1), ("X", 1, 2)],
    "B-X I-Y": [("X", 0, 1), ("Y", 1, 2)],
    "B-X I-Y I-X": [("X", 0, 1), ("Y", 1, 2), ("X", 2, 3)],
    "I-X B-X I-X": [("X", 0, 1), ("X", 1, 3)],
    "I-X I-Y I-Y O I-Y": [("X", 0, 1), ("Y", 1, 3), ("Y", 4, 5)],
    "B-X I-X B-Y I-Y I-X O O B-X": [("X", 0, 2), ("Y", 2, 4), ("X", 4, 5), ("X", 7, 8)],
    "O O": [],
    "B-A-B I-A-B": [("A-B", 0, 2)],
    "B-X O I-X": [("X", 0, 1), ("X", 2, 3)],
}

# What precision_recall_fscore_support of seqeval 1.2.2 says of the corpora below.
SCORED = {
    (1, 40, 90): {
        "LOC": (0.91935483871, 0.876923076923, 0.897637795276, 65),
        "MISC": (0.90243902439, 0.948717948718, 0.925, 39),
        "PER": (0.878787878788, 0.878787878788, 0.878787878788, 66),
        "macro": (0.900193913963, 0.901476301476, 0.900475224688, 170),
        "micro": (0.899408284024, 0.894117647059, 0.896755162242, 170),
    },
    (2, 25, 60): {
        "LOC": (0.688888888889, 0.645833333333, 0.666666666667, 48),
        "MISC": (0.615384615385, 0.695652173913, 0.65306122449, 23),
        "PER": (0.685714285714, 0.685714285714, 0.685714285714, 35),
        "macro": (0.663329263329, 0.67573326432, 0.668480725624, 106),
        "micro": (0.669811320755, 0.669811320755, 0.669811320755, 106),
    },
    (3, 60, 0): {
        "LOC": (0.190476190476, 0.175438596491, 0.182648401826, 114),
        "MISC": (0.063829787234, 0.063829787234, 0.063829787234, 47),
        "PER": (0.166666666667, 0.19387755102, 0.179245283019, 98),
        "macro": (0.140324214792, 0.144381978249, 0.141907824026, 259),
        "micro": (0.157894736842, 0.162162162162, 0.16, 259),
    },
    (4, 30, 100): dict.fromkeys(("macro", "micro"), (1, 1, 1, 117))
    | {"LOC": (1, 1, 1, 49), "MISC": (1, 1, 1, 20), "PER": (1, 1, 1, 48)},
}
TAGS = st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"])


def numbers(seed):
    """A linear congruential generator: the same draws on every machine."""
    while True:
        seed = (1103515245 * seed + 12345) % 2**31
        yield seed >> 16


def corpus(seed, sentences, agreement):
    """Random sentences of tags, predicted and true, that agree in about so many of a hundred."""
    draw = numbers(seed)
    tags = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "O", "I-MISC")
    true = [[tags[next(draw) % 7] for _ in range(1 + next(draw) % 12)] for _ in range(sentences)]
    predicted = [[tag if next(draw) % 100 < agreement else tags[next(draw) % 7] for tag in row] for row in true]
    return predicted, true


@pytest.mark.parametrize(("tags", "expected"), READ.items())
def test_entities_are_those_of_seqeval(tags, expected):
    assert entities(tags.split()) == expected


@pytest.mark.parametrize(("of", "expected"), SCORED.items())
def test_scores_are_those_of_seqeval(of, expected):
    report = entity_report(*corpus(*of))
    found = {**report.labels, "macro": report.macro, "micro": report.micro}
    assert set(found) == set(expected)
    for name, scores in found.items():
        assert (scores.precision, scores.recall, scores.f1, scores.support) == pytest.approx(expected[name], abs=1e-11)


def test_an_entity_is_a_kind_and_words():
    assert entities(["O", "B-PERSON"])[0] == Entity(kind="PERSON", begin=1, end=2)


@PATIENT
@given(st.lists(st.lists(TAGS, min_size=1), min_size=1))
def test_what_is_right_is_right(sentences):
    report = entity_report(sentences, sentences)
    assert all((one.precision, one.recall, one.f1) == (1, 1, 1) for one in report.labels.values())


@PATIENT
@given(st.lists(TAGS))
def test_entities_stand_in_order_and_do_not_overlap(tags):
    found = entities(tags)
    assert all(entity.begin < entity.end <= len(tags) for entity in found)
    assert all(one.end <= other.begin for one, other in itertools.pairwise(found))


def test_half_an_entity_is_none():
    report = entity_report([["B-X", "O"]], [["B-X", "I-X"]])
    assert report.labels == {"X": Scores(0, 0, 0, 1)}


def test_a_kind_that_is_only_predicted_counts_in_the_mean():
    report = entity_report([["B-X", "B-Y"]], [["B-X", "O"]])
    assert report.macro.f1 == 0.5
    assert report.micro.precision == 0.5


def test_without_any_entity_the_scores_are_zero():
    report = entity_report([["O"]], [["O"]])
    assert report.labels == {}
    assert report.micro == report.macro == Scores(0, 0, 0, 0)


@pytest.mark.parametrize("tag", ["PERSON", "S-X", "B", "I-", "B-", "", "o", "O-X"])
def test_what_is_no_tag_is_refused_by_name(tag):
    with pytest.raises(ValueError, match=f"a tag must be O, B-KIND or I-KIND; got '{tag}'"):
        entities(["O", tag])


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        ([["O"]], [["O", "O"]], "sentence 0 has 1 and 2"),
        ([["O"], []], [["O"], []], "sentence 1 has 0 and 0"),
        ([["O"]], [], "at least 1; got 1 and 0"),
        ([], [["O"]], "at least 1; got 0 and 1"),
    ],
    ids=["words", "no words", "no sentences", "sentences"],
)
def test_tags_that_do_not_align_are_refused(predicted, true, message):
    with pytest.raises(ValueError, match=message):
        entity_report(predicted, true)


def test_a_string_is_no_list_of_tags():
    with pytest.raises(ValueError, match="not a string"):
        entity_report(["O"], ["O"])


def test_a_kind_that_is_called_as_an_average_has_its_row():
    table = str(entity_report([["B-macro", "O"]], [["B-macro", "B-nano"]]))
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["macro", "nano", "macro", "micro"]


@pytest.mark.parametrize("tags", ["O", "OOO", b"O"])
def test_a_string_is_no_list_of_one_sentence_s_tags(tags):
    with pytest.raises(ValueError, match="must be a list of tokens, not a string"):
        entities(tags)


@pytest.mark.parametrize(
    "kind", ["micro", "macro", "weighted avg", "accuracy", "support", "O", "B", "I", "-", "B-macro"]
)
def test_a_kind_of_any_name_has_its_own_row(kind):
    found = entity_report([[f"B-{kind}", "O"]], [[f"B-{kind}", "B-other"]])
    assert found.labels[kind] == Scores(1, 1, 1, 1)
    assert found.labels["other"] == Scores(0, 0, 0, 1)
    assert found.macro.f1 == pytest.approx(1 / 2)
    names = [line.split()[0] for line in str(found).splitlines()[1:]]
    assert sorted(names) == sorted([kind.split()[0], "other", "macro", "micro"])
