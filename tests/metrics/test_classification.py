"""Accuracy, precision, recall, F1 and calibration, by hand and by what must hold of them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT

from companion.data.batch import IGNORED
from companion.metrics.classification import Scores, accuracy, calibration, confusion, report

LABELS = torch.tensor([0, 0, 1, 2, 2, 2, 0, 1])
PREDICTED = torch.tensor([0, 1, 1, 2, 0, 2, 0, 2])
NAMES = ["a", "b", "c"]
pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1)


def two(both):
    predicted, labels = torch.tensor(both).unbind(1)
    return predicted, labels


def test_confusion_has_a_row_for_each_right_label():
    assert confusion(PREDICTED, LABELS, 3).tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 2]]


def test_scores_by_hand():
    found = report(PREDICTED, LABELS, NAMES)
    assert found.labels["a"] == Scores(2 / 3, 2 / 3, 2 / 3, 3)
    assert found.labels["b"] == Scores(1 / 2, 1 / 2, 1 / 2, 2)
    assert found.macro.f1 == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert found.micro == Scores(5 / 8, 5 / 8, 5 / 8, 8)


def test_precision_and_recall_are_told_apart():
    found = report(torch.tensor([1, 1, 1, 1]), torch.tensor([1, 0, 0, 0]), ["no", "yes"])
    assert found.labels == {"no": Scores(0, 0, 0, 3), "yes": Scores(1 / 4, 1, 2 / 5, 1)}
    assert found.macro.f1 == pytest.approx(1 / 5)


@PATIENT
@given(pairs)
def test_micro_scores_of_whole_texts_are_the_accuracy(both):
    found, right = report(*two(both), list("abcd")).micro, accuracy(*two(both))
    assert (found.precision, found.recall, found.f1) == pytest.approx((right, right, right))


@PATIENT
@given(pairs)
def test_f1_is_the_harmonic_mean(both):
    for one in report(*two(both), list("abcd")).labels.values():
        between = one.precision + one.recall
        assert one.f1 == pytest.approx(2 * one.precision * one.recall / between if between else 0)


def test_a_label_that_does_not_occur_does_not_lower_the_mean():
    found = report(torch.tensor([0, 1]), torch.tensor([0, 1]), NAMES)
    assert set(found.labels) == {"a", "b"}
    assert found.macro.f1 == 1


def test_where_nothing_was_asked_nothing_counts():
    labels = torch.tensor([[0, IGNORED], [1, IGNORED]])
    predicted = torch.tensor([[0, 1], [0, 99]])
    assert accuracy(predicted, labels) == 0.5
    assert confusion(predicted, labels, 2).sum() == 2


def test_a_report_is_a_table():
    lines = str(report(PREDICTED, LABELS, NAMES)).splitlines()
    assert [line.split()[0] for line in lines] == ["precision", "a", "b", "c", "macro", "micro"]
    assert lines[1].split() == ["a", "0.667", "0.667", "0.667", "3"]
    assert len(set(map(len, lines))) == 1


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        ([0, 3], [0, 1], "predicted must be 0 to 2; got 3"),
        ([0, 1], [0, 7], "labels must be 0 to 2; got 7"),
        ([0, 1], [0, -1], "labels must be 0 to 2; got -1"),
        ([0, 1, 2], [0, 1], r"predicted must be \(2,\), as labels; got \(3,\)"),
        ([0, 0], [IGNORED, IGNORED], "there is no label to compare with"),
    ],
)
def test_what_cannot_be_compared_is_refused(predicted, labels, message):
    with pytest.raises(ValueError, match=message):
        report(torch.tensor(predicted), torch.tensor(labels), NAMES)


# Calibration


def two_way(confidence, right):
    """Probabilities of two labels, of which the first is predicted, and the right labels."""
    first = torch.tensor(confidence, dtype=torch.float64)
    return torch.stack([first, 1 - first], -1), torch.tensor([0 if is_right else 1 for is_right in right])


def test_the_error_is_the_mean_gap_between_confidence_and_accuracy():
    found = calibration(*two_way([0.95, 0.95, 0.95, 0.95, 0.6], [True, True, True, False, True]), bins=10)
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 4]
    assert found.confidence[9].item() == pytest.approx(0.95)
    assert found.accuracy[9].item() == 0.75
    assert found.error == pytest.approx(4 / 5 * 0.2 + 1 / 5 * 0.4)


def test_empty_bins_have_no_numbers_and_do_not_count():
    found = calibration(*two_way([0.9], [True]), bins=4)
    assert found.confidence.isnan().tolist() == found.accuracy.isnan().tolist() == [True, True, True, False]
    assert found.error == pytest.approx(0.1)


def test_whoever_says_eight_in_ten_and_is_right_eight_times_is_calibrated():
    assert calibration(*two_way([0.8] * 10, [True] * 8 + [False] * 2)).error == pytest.approx(0, abs=1e-12)


def test_whoever_is_sure_and_wrong_is_off_by_one():
    found = calibration(*two_way([1.0, 1.0], [False, False]))
    assert found.error == 1
    assert found.counts[-1] == 2


def test_a_bin_holds_its_upper_end():
    assert calibration(*two_way([0.75], [True]), bins=4).counts.tolist() == [0, 0, 1, 0]


@PATIENT
@given(st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1), st.integers(1, 20))
def test_the_error_is_between_none_and_one_and_every_prediction_has_a_bin(both, bins):
    found = calibration(*two_way(*zip(*both, strict=True)), bins)
    assert 0 <= found.error <= 1
    assert found.counts.sum() == len(both)
    assert len(found.counts) == bins


def test_words_that_are_not_asked_do_not_count_in_it():
    probabilities, labels = two_way([0.9, 0.6], [True, True])
    labels[1] = IGNORED
    assert calibration(probabilities, labels).counts.sum() == 1


@pytest.mark.parametrize(
    ("probabilities", "labels", "bins", "message"),
    [
        ([[0.5, 0.5]], [0], 0, "bins must be at least 1; got 0"),
        ([[2.0, -1.0]], [0], 5, r"each row of probabilities must be at least 0 and sum to 1; give softmax\(logits\)"),
        ([[3.0, 1.0]], [0], 5, "sum to 1"),
        ([[0.5, 0.5]], [0, 1], 5, r"probabilities must be \(\*labels, n\); got \(1, 2\) for \(2,\)"),
        ([[0.5, 0.5]], [IGNORED], 5, "there is no label to compare with"),
    ],
)
def test_what_is_no_distribution_is_refused(probabilities, labels, bins, message):
    with pytest.raises(ValueError, match=message):
        calibration(torch.tensor(probabilities), torch.tensor(labels), bins)


def test_labels_that_are_called_as_averages_have_their_rows():
    table = str(report(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]), ["micro", "macro", "nano"]))
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["micro", "macro", "nano", "macro", "micro"]


def test_two_labels_of_one_name_are_refused():
    with pytest.raises(ValueError, match="names must be different names; 'a' comes twice"):
        report(torch.tensor([0]), torch.tensor([1]), ["a", "a", "b"])


def test_the_accuracy_of_nothing_is_refused():
    with pytest.raises(ValueError, match="there is no label to compare with"):
        accuracy(torch.tensor([]), torch.tensor([]))


@pytest.mark.parametrize("label", [-1, 2, 7])
def test_a_calibration_of_labels_out_of_range_is_refused(label):
    with pytest.raises(ValueError, match=f"labels must be 0 to 1; got {label}"):
        calibration(torch.tensor([[0.5, 0.5]]), torch.tensor([label]))


AVERAGES = ["micro", "macro", "weighted", "micro avg", "weighted avg", "accuracy", "samples", "precision", "recall"]
AVERAGES += ["support", "f1", "MACRO", "macro ", "", "-100", "IGNORED", "O"]


@pytest.mark.parametrize("name", AVERAGES)
def test_a_label_of_any_name_has_its_own_row_and_the_averages_theirs(name):
    found = report(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), [name, "other"])
    assert found.labels == {name: Scores(1, 1 / 2, 2 / 3, 2), "other": Scores(1 / 2, 1, 2 / 3, 1)}
    assert (found.macro.f1, found.micro.f1) == pytest.approx((2 / 3, 2 / 3))
    head, *rows = str(found).splitlines()
    assert [row[: head.index("precision") - 2].strip() for row in rows] == [name.strip(), "other", "macro", "micro"]


@pytest.mark.parametrize("names", [["macro", "macro"], ["", ""], ["micro", "macro", "micro"]], ids=str)
def test_a_name_of_an_average_that_comes_twice_is_refused(names):
    with pytest.raises(ValueError, match="names must be different names; .* comes twice"):
        report(torch.tensor([0]), torch.tensor([1]), names)


@pytest.mark.parametrize("names", ["ab", [0, 1], [None, "a"]], ids=str)
def test_names_that_are_none_are_refused(names):
    with pytest.raises(ValueError, match="names must be (a list|strings)"):
        report(torch.tensor([0]), torch.tensor([1]), names)


EMPTY = [
    torch.zeros(0),
    torch.zeros(0, dtype=torch.long),
    torch.zeros(0, 3),
    torch.zeros(2, 0),
    torch.full((2,), IGNORED),
]


@pytest.mark.parametrize("labels", EMPTY, ids=lambda one: str(tuple(one.shape)))
@pytest.mark.parametrize(
    "score",
    [
        lambda labels: accuracy(labels.long(), labels.long()),
        lambda labels: accuracy(torch.zeros_like(labels).long(), labels.long()),
        lambda labels: confusion(labels.long(), labels.long(), 2),
        lambda labels: report(labels.long(), labels.long(), NAMES),
        lambda labels: calibration(torch.full((*labels.shape, 2), 0.5), labels.long()),
    ],
    ids=["accuracy", "accuracy of a guess", "confusion", "report", "calibration"],
)
def test_scores_of_nothing_are_refused_in_the_same_words(score, labels):
    with pytest.raises(ValueError, match="there is no label to compare with"):
        score(labels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_labels_in_few_bits_do_not_wrap_around(dtype):
    labels = torch.arange(20, dtype=dtype)
    assert accuracy(labels, labels) == 1
    assert confusion(labels, labels, 20).equal(torch.eye(20, dtype=torch.long))


def test_labels_that_are_no_integers_are_refused():
    labels = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="predicted must be integers; got torch.float32"):
        accuracy(labels.float(), labels)
