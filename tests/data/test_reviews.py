"""Reviews are read with every rating, and no sentence is on two sides."""

import pytest

from companion.data.labelled import labelled
from companion.data.reviews import Review, Splits, lexicon, movie_reviews, opinions, polarity, split
from companion.data.tokenization import train_wordpiece

SENTENCES = "1\t1.5\tA warm , funny film .\r\n2\t-2\tDull and “long” .\r\n3\t0\tA film."
RATINGS = "1\t1.5\t0.5\t[1, 2]\r\n2\t-2\t1\t[-3, -1]\r\n3\t0\t0\t[0, 0, 0]\r\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sentences.txt").write_bytes(SENTENCES.encode())
    (tmp_path / "ratings.txt").write_bytes(RATINGS.encode())
    return tmp_path


def test_each_sentence_comes_with_its_ratings(folder):
    expected = [("A warm , funny film .", (1, 2)), ("Dull and “long” .", (-3, -1)), ("A film.", (0, 0, 0))]
    assert movie_reviews(folder) == [Review(*pair) for pair in expected]


def test_the_rating_is_the_mean(folder):
    assert [review.rating for review in movie_reviews(folder)] == [1.5, -2, 0]


def test_files_that_do_not_belong_together_are_refused(folder):
    (folder / "ratings.txt").write_text(RATINGS.replace("3\t0", "4\t0"))
    with pytest.raises(ValueError, match="sentences.txt and ratings.txt have different numbers"):
        movie_reviews(folder)


def test_the_lexicon_has_the_mean_rating_of_each_word(tmp_path):
    (tmp_path / "lexicon.txt").write_text("good\t1.9\t0.9\t[2, 1]\nbad\t-2.5\t0.67\t[-3, -2]\n")
    assert lexicon(tmp_path) == {"good": 1.9, "bad": -2.5}


def many(n=2000):
    return [Review(f"Film {number} is {'good' if number % 2 else 'bad'}.", (1,)) for number in range(n)]


def test_the_parts_are_a_partition_of_about_the_sizes_said():
    parts = split(many())
    assert sorted(review.text for part in parts for review in part) == sorted(review.text for review in many())
    assert [round(len(part) / 2000, 1) for part in parts] == [0.7, 0.1, 0.2]


def test_the_parts_share_no_words_in_the_same_order():
    again = [Review(review.text.upper().replace(" ", " - "), (2,)) for review in many()]
    parts = split([*many(), *again])
    assert all(len({review.text.lower().replace(" - ", " ") for review in part}) * 2 == len(part) for part in parts)


def test_a_sentence_falls_on_the_same_side_whatever_stands_beside_it():
    assert set(split(many(100)).test) <= set(split(many()).test)


def test_mild_sentences_are_no_opinions(folder):
    assert [review.rating for review in opinions(movie_reviews(folder))] == [1.5, -2]
    assert [review.rating for review in opinions(movie_reviews(folder), mildest=1.6)] == [-2]


def test_labels_are_the_sign_of_the_mean(folder):
    texts = polarity(opinions(movie_reviews(folder)))
    assert texts.labels == ["positive", "negative"]
    assert texts.names == ("negative", "positive")


def test_a_mean_of_zero_has_no_label(folder):
    with pytest.raises(ValueError, match="the mean rating of 'A film.' is 0"):
        polarity(movie_reviews(folder))


def test_they_make_a_batch_as_other_labelled_texts_do(folder):
    texts = polarity(opinions(movie_reviews(folder)))
    encodings = train_wordpiece(texts.texts, 60).encode_batch(texts.texts)
    assert (
        texts.rows(encodings).labels.tolist()
        == labelled(encodings, texts.labels, texts.names).labels.tolist()
        == [1, 0]
    )


def test_the_parts_are_named():
    assert Splits._fields == ("train", "validation", "test")
