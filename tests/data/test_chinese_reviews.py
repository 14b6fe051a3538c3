"""Chinese reviews: each text once, on one side, with one label; and how far the simplest classifiers come."""

import pytest

from companion.data.chinese_reviews import chinese_reviews, said, split
from companion.data.fetched import NotFetchedError
from companion.models.baselines.naive_bayes import NaiveBayes


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "negative.txt").write_text("不好\n\n 一般 \n不好。\n", encoding="utf-8")
    (tmp_path / "positive.txt").write_text("很好！\n一般\nGood", encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def parts():
    try:
        return split(chinese_reviews())
    except NotFetchedError as error:
        return pytest.skip(f"left out, because it cannot be had: {error}")


def two_characters(text):
    """The overlapping pairs of characters: a stand-in for words, which Chinese does not part by spaces."""
    return [text[place : place + 2] for place in range(len(text) - 1)]


def test_a_text_is_there_once_and_not_at_all_where_it_has_both_labels(folder):
    reviews = chinese_reviews(folder)
    assert reviews.texts == ["不好", "很好！", "Good"]
    assert reviews.labels == ["negative", "positive", "positive"]


def test_texts_that_say_the_same_are_on_the_same_side(folder):
    assert said("很好！") == said(" 很 好。")
    assert sum(len(part.texts) for part in split(chinese_reviews(folder))) == 3


@pytest.mark.slow
def test_the_published_lines_are_all_there_and_no_side_shares_one_with_another(parts):
    sizes = [len(part.texts) for part in parts]
    assert sizes == [12_141, 1_685, 3_495]
    assert len({said(text) for part in parts for text in part.texts}) == sum(sizes)


@pytest.mark.slow
def test_the_likelier_label_is_a_coin_and_naive_bayes_is_right_four_times_in_five(parts):
    labels = parts.test.labels
    assert 0.49 < labels.count("negative") / len(labels) < 0.53
    bayes = NaiveBayes([two_characters(text) for text in parts.train.texts], parts.train.labels)
    assert 0.77 < bayes.accuracy([two_characters(text) for text in parts.test.texts], labels) < 0.82
