"""A GPT with a head labels a text by its last token, wherever the padding stands."""

import pytest
import torch
from small_models import tiny_gpt

from companion.checkpoints import CheckpointError
from companion.finetuning.gpt_classifier import GPTClassifier

LABELS = ("no", "yes", "maybe")


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    model = GPTClassifier(tiny_gpt(), LABELS).eval()
    model.classifier.weight.data.normal_()
    return model


def test_padding_on_either_side_changes_nothing(classifier):
    ids = torch.randint(31, (2, 6))
    plain = classifier(ids)
    padding, real = torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 6, dtype=torch.bool)
    right = classifier(torch.cat([ids, padding], 1), attention_mask=torch.cat([real, padding.bool()], 1))
    left = classifier(torch.cat([padding, ids], 1), attention_mask=torch.cat([padding.bool(), real], 1))
    torch.testing.assert_close(right, plain)
    torch.testing.assert_close(left, plain)


def test_it_reads_the_last_token_and_all_before_it(classifier):
    ids = torch.randint(31, (1, 6))
    for place in range(6):
        other = ids.clone()
        other[0, place] = (ids[0, place] + 1) % 31
        assert not torch.allclose(classifier(other), classifier(ids))


def test_saved_and_loaded_it_says_the_same_under_the_same_names(classifier, tmp_path):
    classifier.save_pretrained(tmp_path)
    again = GPTClassifier.from_pretrained(tmp_path)
    ids = torch.randint(31, (2, 6))
    assert again.labels == LABELS
    torch.testing.assert_close(again(ids), classifier(ids))


def test_a_language_model_is_no_classifier(tmp_path):
    tiny_gpt().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds a GPT2LMHeadModel; this class loads a GPT2ForSequence"):
        GPTClassifier.from_pretrained(tmp_path)


def test_segments_and_texts_of_padding_alone_are_refused(classifier):
    ids = torch.randint(31, (2, 6))
    with pytest.raises(ValueError, match="no segments"):
        classifier(ids, torch.zeros_like(ids))
    with pytest.raises(ValueError, match="must have a real token"):
        classifier(ids, attention_mask=torch.tensor([[True] * 6, [False] * 6]))


@pytest.mark.parametrize("labels", [["yes"], ["yes", "no", "yes"], "yes"])
def test_labels_must_be_two_and_different(labels):
    with pytest.raises(ValueError, match="label"):
        GPTClassifier(tiny_gpt(), labels)
