"""What a head predicts for many texts: labels, words' tags, and spans, in the texts' order."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_rows import rows
from small_heads import HEADS, NAMES, sequence
from small_models import PATIENT

from companion.data.labelled import span_questions, tagged
from companion.data.tokenization import train_wordpiece
from companion.finetuning.predictions import predict, predicted_labels, predicted_spans, predicted_tags
from companion.storyworld import World

WORDS = World("tiny").tokenizer(("[CLS]", "[SEP]", "[MASK]"))
PIECES = train_wordpiece(["unable to unlock the lock", "able and locked"] * 3, 34)

each_head = pytest.mark.parametrize("kind", HEADS)


@each_head
def test_predictions_are_those_of_all_rows_in_order_whatever_the_batch(kind):
    model, batch = HEADS[kind](), rows(kind)
    whole = model(batch.inputs, None, batch.attention_mask)
    for size in (1, 2, 64):
        torch.testing.assert_close(predict(model, batch, size), whole)


def test_predicting_leaves_the_mode_alone_and_needs_no_gradient():
    model = sequence().train()
    assert not predict(model, rows("cls")).requires_grad
    assert model.training


def test_labels_are_named():
    assert predicted_labels(torch.tensor([[0.0, 2, 1], [3, 2, 1]]), NAMES) == ["anger", "none"]


def test_a_words_tag_is_read_at_its_first_piece():
    encodings = [PIECES.encode(words, is_pretokenized=True) for words in (["unlock", "the"], ["locked"])]
    wanted = [["joy", "anger"], ["none"]]
    batch = tagged(encodings, wanted, NAMES)
    logits = torch.nn.functional.one_hot(batch.labels.clamp(min=0), 3).float()
    assert predicted_tags(logits, encodings, NAMES) == wanted


CONTEXT = WORDS.encode(["Tom", "is"], ["Anna", "is", "in", "the", "kitchen"], is_pretokenized=True)


@settings(PATIENT, max_examples=40)
@given(st.lists(st.floats(-5, 5), min_size=20, max_size=20))
def test_a_span_is_the_best_of_all_that_do_not_end_before_they_start(scores):
    logits = torch.tensor(scores).view(1, 10, 2)
    ((begin, end),) = predicted_spans(logits, [CONTEXT])
    places = range(4, 9)  # [CLS] Tom is [SEP] Anna is in the kitchen [SEP]
    best = max(logits[0, i, 0] + logits[0, j, 1] for i in places for j in places if i <= j)
    assert logits[0, 4 + begin, 0] + logits[0, 3 + end, 1] == best
    assert 0 <= begin < end <= 5


def test_spans_that_are_asked_and_predicted_speak_of_the_same_words():
    encoding = PIECES.encode(["the", "lock"], ["able", "unlock", "locked"], is_pretokenized=True)
    for words in ((0, 1), (0, 3), (1, 2), (2, 3)):
        batch = span_questions([encoding], [words])
        logits = torch.zeros(1, batch.inputs.size(1), 2)
        logits[0, batch.starts, 0] = logits[0, batch.ends, 1] = 1
        assert predicted_spans(logits, [encoding]) == [words]


@pytest.mark.parametrize("question", ["who has the ball ?", ""])
def test_a_context_without_a_word_has_no_answer(question):
    encoding = train_wordpiece(["who has the ball ?"], 60).encode(question, "")
    with pytest.raises(ValueError, match="each context must have a word to answer with; that of text 0 has none"):
        predicted_spans(torch.zeros(1, len(encoding.ids), 2), [encoding])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_are_no_prediction(bad):
    encodings = [CONTEXT, CONTEXT]
    labels, tokens = torch.zeros(2, 3), torch.zeros(2, 10, 2)
    labels[1], tokens[1] = bad, bad
    for predicted in (
        lambda: predicted_labels(labels, NAMES),
        lambda: predicted_tags(tokens, encodings, ["O", "X"]),
        lambda: predicted_spans(tokens, encodings),
    ):
        with pytest.raises(FloatingPointError, match="logits must be finite; those of text 1 are not"):
            predicted()


@pytest.mark.parametrize("names", ["abc", ["a"], ["a", "b", "c", "d"]])
def test_there_is_one_name_for_each_logit(names):
    with pytest.raises(ValueError, match="labels must be a list|one label for each of the 3 logits"):
        predicted_labels(torch.zeros(1, 3), names)


def test_padding_that_is_masked_out_is_no_trouble_for_a_span():
    logits = torch.zeros(1, 10, 2)
    logits[0, 9] = -torch.inf
    logits[0, 5, 0], logits[0, 6, 1] = 3.0, 3.0
    assert predicted_spans(logits, [CONTEXT]) == [(1, 3)]


WORDPIECE = train_wordpiece(["who has the ball ? a dog ."], 60)
NO_CONTEXT = {
    "spaces": ("who has the ball ?", "   "),
    "line breaks": ("who has the ball ?", "\n\t"),
    "a space without width": ("who has the ball ?", "\u200b"),
    "a mark of byte order": ("who has the ball ?", "\ufeff"),
    "control characters": ("who has the ball ?", "\x00\x01"),
    "neither": (" ", " "),
}


@pytest.mark.parametrize("pair", NO_CONTEXT.values(), ids=NO_CONTEXT)
@pytest.mark.parametrize("place", [0, 1])
def test_no_answer_is_taken_from_the_question(pair, place):
    encodings = [WORDPIECE.encode("who has the ball ?", "a dog .")]
    encodings.insert(place, WORDPIECE.encode(*pair))
    logits = torch.zeros(2, max(len(one.ids) for one in encodings), 2)
    logits[:, 1] = 9.0  # the question's first word
    with pytest.raises(
        ValueError, match=f"each context must have a word to answer with; that of text {place} has none"
    ):
        predicted_spans(logits, encodings)


@pytest.mark.parametrize("words", [([], []), (["who"], []), (["who", "has"], [])], ids=str)
def test_lists_of_no_words_have_no_answer(words):
    encoding = WORDPIECE.encode(*words, is_pretokenized=True)
    with pytest.raises(ValueError, match="each context must have a word to answer with"):
        predicted_spans(torch.zeros(1, len(encoding.ids), 2), [encoding])


def test_the_likeliest_token_of_the_question_is_no_answer_where_there_is_a_context():
    encoding = WORDPIECE.encode("who has the ball ?", "a dog .")
    logits = torch.zeros(1, len(encoding.ids), 2)
    logits[0, 1:6] = 9.0
    logits[0, 8] = 1.0
    assert predicted_spans(logits, [encoding]) == [(1, 2)]
