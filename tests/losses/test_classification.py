"""The losses of fine-tuning are the surprisal of a label, of a word's tag, of an answer's two ends."""

import pytest
import torch
from labelled_rows import rows
from small_heads import sequence, span, token

from companion.data.batch import IGNORED
from companion.data.labelled import Tagged
from companion.losses.classification import classification_loss, span_loss, tagging_loss


def test_the_loss_of_a_label_is_its_surprisal():
    model, batch = sequence(), rows("pooled")
    log_probs = model(batch.inputs, None, batch.attention_mask).log_softmax(-1)
    expected = -sum(log_probs[i, label] for i, label in enumerate(batch.labels)) / 5
    torch.testing.assert_close(classification_loss(model, batch), expected)


def test_a_text_without_any_tag_weighs_nothing():
    model, batch = token(), rows("token", batch=2)
    alone = tagging_loss(model, Tagged(*(column[:1] for column in batch)))
    batch.labels[1] = IGNORED
    torch.testing.assert_close(tagging_loss(model, batch), alone)


def test_the_loss_of_a_span_is_the_mean_surprisal_of_its_ends_among_real_tokens():
    model, batch = span(), rows("span", batch=2)
    logits = model(batch.inputs, None, batch.attention_mask)
    expected = 0
    for i in range(2):
        start, end = logits[i, : 8 - i].log_softmax(0).unbind(-1)
        expected -= (start[batch.starts[i]] + end[batch.ends[i]]) / 4
    torch.testing.assert_close(span_loss(model, batch), expected)


@pytest.mark.parametrize("bad", [-1, 3, IGNORED])
def test_a_label_out_of_range_is_refused(bad):
    batch = rows("pooled")
    batch.labels[2] = bad
    with pytest.raises(ValueError, match=f"labels must be 0 to 2; got {bad}"):
        classification_loss(sequence(), batch)


@pytest.mark.parametrize("bad", [-1, 3])
def test_a_tag_out_of_range_is_refused(bad):
    batch = rows("token")
    batch.labels[2, 1] = bad
    with pytest.raises(ValueError, match=f"labels must be 0 to 2; got {bad}"):
        tagging_loss(token(), batch)


def test_tags_of_which_none_is_asked_are_refused():
    batch = rows("token")
    with pytest.raises(ValueError, match="there is nothing to predict"):
        tagging_loss(token(), batch._replace(labels=torch.full_like(batch.labels, IGNORED)))


def test_an_answer_that_is_not_in_the_text_is_refused():
    batch = rows("span")
    with pytest.raises(ValueError, match="labels must be 0 to 7; got 8"):
        span_loss(span(), batch._replace(ends=torch.full((5,), 8)))
    with pytest.raises(ValueError, match="an answer starts and ends at real tokens; got .* on padding"):
        span_loss(span(), batch._replace(ends=torch.full((5,), 7)))


@pytest.mark.parametrize("family", ["roberta", "distilbert"])
def test_families_without_a_second_segment_take_texts_of_two_parts(family):
    batch = rows("pooled")
    batch.token_type_ids[:, 3:] = 1
    assert torch.isfinite(classification_loss(sequence(family=family), batch))
