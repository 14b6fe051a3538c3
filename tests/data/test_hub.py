"""Labelled datasets in the hub's layout are read, tokenized and laid out, or the error says what does not fit."""

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hub_copies import (
    CONLL_CARD,
    FEELINGS,
    KINDS,
    SST2_CARD,
    TOKENIZER,
    news,
    own_tokenizer,
    reviews,
    write,
)

from companion.data import hub
from companion.data.batch import IGNORED
from companion.data.tokenization import train_wordpiece

pytestmark = pytest.mark.usefixtures("offline")


# What is read


def test_texts_come_with_the_names_of_their_labels(sst2):
    texts = hub.labelled_texts(sst2)
    assert texts.names == FEELINGS
    assert texts.texts[0] == "well , the film bores"
    assert (texts.labels[0], texts.labels[-1]) == FEELINGS


def test_sentences_come_as_words_with_the_names_of_their_tags(conll):
    sentences = hub.tagged_sentences(conll, "test")
    assert sentences.names == KINDS
    assert sentences.texts[0] == ["Anna", "met", "New", "York", "."]
    assert sentences.labels[0] == ["B-PER", "O", "B-LOC", "I-LOC", "O"]


def test_parquet_files_may_know_the_names_themselves(tmp_path):
    """As the hub's own copies under refs/convert/parquet do, which have no card."""
    (tmp_path / "set" / "default" / "train").mkdir(parents=True)
    features = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=list(KINDS)))})
    rows = Dataset.from_dict({"tokens": [["Anna", "left"]], "ner_tags": [[1, 0]]}, features=features)
    rows.to_parquet(tmp_path / "set" / "default" / "train" / "0000.parquet")
    assert hub.tagged_sentences(tmp_path / "set").labels == [["B-PER", "O"]]


def test_a_row_without_text_is_left_out(tmp_path):
    parts = {"train": {"idx": [0, 1, 2, 3], "sentence": ["good", " ", None, "bad"], "label": [1, -1, 0, 0]}}
    texts = hub.labelled_texts(write(tmp_path / "set", parts, SST2_CARD.split("configs:")[0] + "---\n"))
    assert texts[:2] == (["good", "bad"], ["positive", "negative"])


def test_a_sentence_without_words_is_left_out(tmp_path):
    parts = {"train": {"tokens": [["Anna"], [], ["left"]], "ner_tags": [[1], [], [0]]}}
    sentences = hub.tagged_sentences(write(tmp_path / "set", parts, CONLL_CARD.split("configs:")[0] + "---\n"))
    assert sentences[:2] == ([["Anna"], ["left"]], [["B-PER"], ["O"]])


# What becomes of it


def test_texts_are_cut_by_the_checkpoints_tokenizer(sst2):
    texts = hub.labelled_texts(sst2)
    rows = texts.rows(hub.encode(own_tokenizer(), texts.texts, 16))
    assert [TOKENIZER.decode(row.tolist()) for row in rows.inputs[-2:]] == texts.texts[-2:]
    assert rows.labels.tolist() == [FEELINGS.index(label) for label in texts.labels]


def test_a_words_tag_stands_at_its_first_piece():
    sentence = hub.Sentences([["Anna", "nearmet", "Oslo"]], [["B-PER", "O", "B-LOC"]], KINDS)
    encodings = hub.encode(own_tokenizer(), sentence.texts, 16)
    places = [encodings[0].word_ids.index(word) for word in range(3)]
    labels = sentence.rows(encodings).labels[0]
    assert encodings[0].word_ids.count(1) > 1
    assert labels[places].tolist() == [1, 0, 3]
    assert labels.tolist().count(IGNORED) == len(labels) - 3


@pytest.mark.parametrize("texts", [["Anna met Ben near Paris"], [["Anna", "met", "Ben", "near", "Paris"]]])
def test_a_text_that_is_too_long_loses_its_end_and_keeps_its_frame(texts):
    tokens = hub.encode(own_tokenizer(), texts, 4)[0].tokens
    assert tokens == ["[CLS]", *hub.encode(own_tokenizer(), texts, 16)[0].tokens[1:3], "[SEP]"]


def test_words_that_were_cut_off_lose_their_tags():
    sentence = hub.Sentences([["Anna", "met", "Ben"]], [["B-PER", "O", "B-PER"]], KINDS)
    rows = sentence.rows(hub.encode(own_tokenizer(), sentence.texts, 4))
    assert rows.labels.ne(IGNORED).sum() < 3


def test_the_tokenizers_own_limits_are_replaced():
    tokenizer = own_tokenizer()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=40)
    assert hub.encode(tokenizer, ["the film bores"], 16)[0].ids == TOKENIZER.encode("the film bores").ids


@pytest.mark.parametrize("nothing", ["\x96", "\u200b", " "])
def test_a_word_of_which_nothing_is_left_keeps_its_tag(nothing):
    sentence = hub.Sentences([["Anna", nothing, "Oslo", nothing]], [["B-PER", "O", "B-LOC", "O"]], KINDS)
    rows = sentence.rows(hub.encode(own_tokenizer(), sentence.texts, 16))
    assert rows.labels[rows.labels != IGNORED].tolist() == [1, 0, 3, 0]


# What is refused


@pytest.mark.parametrize(
    ("read", "options", "message"),
    [
        (hub.labelled_texts, {"text": "text"}, "has no column 'text'; choose from idx, sentence, label"),
        (hub.labelled_texts, {"label": "target"}, "has no column 'target'; choose from idx, sentence, label"),
        (hub.labelled_texts, {"text": "idx"}, "column 'idx' holds int32, not text"),
        (hub.labelled_texts, {"label": "idx"}, "column 'idx' holds int32, not ClassLabel; name its labels"),
        (hub.labelled_texts, {"split": "test"}, "row 0 of split 'test' has the label -1; .* -1 means: not given"),
        (hub.labelled_texts, {"split": "dev"}, 'Unknown split "dev"'),
        (hub.tagged_sentences, {"tags": "tags"}, "has no column 'tokens'; choose from idx, sentence, label"),
        (
            hub.tagged_sentences,
            {"words": "sentence", "tags": "label"},
            "column 'sentence' holds string, not lists of words",
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_dataset_that_does_not_fit_is_told_with_what_there_is(sst2, read, options, message):
    with pytest.raises(ValueError, match=message):
        read(sst2, **options)


@pytest.mark.parametrize(
    ("column", "held"), [("words", "string"), ("tokens", "lists of string"), ("numbers", "lists of int64")]
)
def test_tags_without_names_are_refused(tmp_path, column, held):
    columns = {"words": ["a"], "tokens": [["a"]], "numbers": [[0]]}
    folder = write(tmp_path / "set", {"train": columns}, "")
    message = f"column '{column}' holds {held}, not lists of ClassLabel; name its labels under dataset_info in README"
    with pytest.raises(ValueError, match=message):
        hub.tagged_sentences(folder, tags=column)


def test_another_number_of_tags_than_of_words_is_refused(tmp_path):
    parts = news()
    parts["train"]["ner_tags"][3] = [0, 0]
    with pytest.raises(ValueError, match="row 3 of split 'train' has 4 tokens and 2 ner_tags; each word must have"):
        hub.tagged_sentences(write(tmp_path / "set", parts, CONLL_CARD))


def test_a_tag_that_is_not_given_is_refused(tmp_path):
    parts = news()
    parts["train"]["ner_tags"][3][1] = -1
    with pytest.raises(ValueError, match="row 3 of split 'train' has the label -1; a label is 0 to 4"):
        hub.tagged_sentences(write(tmp_path / "set", parts, CONLL_CARD))


def test_a_split_without_text_is_refused(tmp_path):
    parts = reviews()
    parts["train"]["sentence"] = [" "] * len(parts["train"]["label"])
    with pytest.raises(ValueError, match="split 'train' has no text in any row"):
        hub.labelled_texts(write(tmp_path / "set", parts, SST2_CARD))


def test_a_context_without_room_is_refused():
    with pytest.raises(ValueError, match="context_length must leave room for a piece of text; got 2"):
        hub.encode(own_tokenizer(), ["the film bores"], 2)


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="there must be a text to encode; got none"):
        hub.encode(train_wordpiece(["a"], 10), [], 8)


@pytest.mark.parametrize("texts", [["so [SEP] good"], [["so", "[SEP]", "good"]]], ids=["text", "words"])
def test_a_text_that_spells_a_special_token_has_no_more_of_them(texts):
    tokenizer = train_wordpiece(["so good [ SEP ]"], 40)
    assert hub.encode(tokenizer, texts, 30)[0].ids.count(tokenizer.token_to_id("[SEP]")) == 1


@pytest.mark.parametrize("texts", [["the \ud83d dog"], [["the", "\ud83d"]]], ids=["text", "words"])
def test_half_of_a_character_is_refused(texts):
    with pytest.raises(ValueError, match="unpaired surrogate"):
        hub.encode(train_wordpiece(["the dog"], 30), texts, 8)
