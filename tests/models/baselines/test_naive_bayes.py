"""The naive Bayes classifier counts words and multiplies."""

import pytest

from companion.models.baselines.naive_bayes import NaiveBayes

TEXTS = [["sun", "warm"], ["sun", "bright", "sun"], ["rain", "cold"]]
LABELS = ["good", "good", "bad"]


def test_the_label_is_the_one_of_the_formula():
    # p(good) p(sun|good) = 2/3 * (3 + 1)/(5 + 5); p(bad) p(sun|bad) = 1/3 * (0 + 1)/(2 + 5)
    model = NaiveBayes(TEXTS, LABELS)
    assert model.predict(["sun"]) == "good"
    # 2/3 * (1/10)^2 = 0.0067 against 1/3 * (2/7)^2 = 0.0272
    assert model.predict(["rain", "cold"]) == "bad"


def test_the_order_of_words_does_not_matter():
    model = NaiveBayes(TEXTS, LABELS)
    assert model.predict(["rain", "sun", "cold"]) == model.predict(["cold", "rain", "sun"])


def test_unknown_words_leave_the_commoner_label():
    assert NaiveBayes(TEXTS, LABELS).predict(["snow"]) == "good"


def test_accuracy_is_the_share_of_right_labels():
    assert NaiveBayes(TEXTS, LABELS).accuracy([["sun"], ["rain"], ["sun"]], ["good", "bad", "bad"]) == pytest.approx(
        2 / 3
    )


@pytest.mark.parametrize(("texts", "labels"), [([], []), (TEXTS, ["good"])])
def test_texts_without_labels_are_refused(texts, labels):
    with pytest.raises(ValueError, match="one label a text and at least one; got"):
        NaiveBayes(texts, labels)
    with pytest.raises(ValueError, match="one label a text"):
        NaiveBayes(TEXTS, LABELS).accuracy(texts, labels)
