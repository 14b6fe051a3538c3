"""A saved classifier answers as the model that was saved, and refuses what it could only guess at."""

from pathlib import Path

import pytest
import torch

from companion import zoo
from companion.finetuning.heads import SequenceClassifier
from companion.serving.classifier import about, load_classifier

TEXTS = ["Anna gets the ball from Tom . Tom", "Tom gives the apple to Mary ."]


def test_each_answer_is_that_of_the_model_for_the_text_alone(folder: Path):
    tokenizer, model = zoo.load("storyworld-bert")[1], SequenceClassifier.from_pretrained(folder)
    for text, answer in zip(TEXTS, load_classifier(folder)(TEXTS), strict=True):
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            probabilities = model(ids)[0].softmax(-1)
        assert answer["label"] == model.labels[probabilities.argmax()]
        assert answer["probability"] == pytest.approx(probabilities.max().item(), abs=1e-6)
        assert answer["tokens"] == ids.size(1)


def test_a_word_that_the_model_has_never_read_is_refused_by_name(folder: Path):
    with pytest.raises(ValueError, match="text 1 has a word that the model has never read: 'pizza'"):
        load_classifier(folder)([TEXTS[0], "Anna gets the pizza ."])


def test_a_text_of_too_many_tokens_is_refused_with_both_numbers(folder: Path):
    with pytest.raises(ValueError, match=r"text 0 must have at most \d+ tokens; got 4\d\d"):
        load_classifier(folder)(["Anna " * 400])


def test_a_text_that_spells_a_special_token_is_no_special_token(folder: Path):
    with pytest.raises(ValueError, match="never read"):
        load_classifier(folder)(["Anna [SEP] Tom"])


def test_another_file_of_weights_has_another_name(folder: Path, tmp_path: Path):
    before = about(folder)
    assert before["model"] == "giver"
    assert len(before["sha256"]) == 64
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert about(tmp_path)["sha256"] != before["sha256"]


def test_logits_that_are_no_numbers_are_no_answer(folder: Path, tmp_path: Path):
    model = SequenceClassifier.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.bias.fill_(torch.nan)
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    with pytest.warns(UserWarning, match="not finite"):
        answer = load_classifier(tmp_path)
    with pytest.raises(FloatingPointError, match="logits must be numbers; row 0 holds nan"):
        answer(TEXTS)
