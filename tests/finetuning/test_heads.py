"""Heads on a BERT learn from labels, keep the labels' names, and refuse what does not fit."""

import itertools
import json

import pytest
import torch
from labelled_rows import rows
from small_heads import HEADS, NAMES, sequence, token
from small_models import TINY, tiny_bert

from companion.checkpoints import CheckpointError
from companion.data.labelled import minibatches
from companion.finetuning.heads import SequenceClassifier, TokenClassifier
from companion.finetuning.predictions import predict
from companion.losses.classification import classification_loss, span_loss, tagging_loss
from companion.models.bert import Bert, BertConfig, BertForPreTraining
from companion.nn.capture import capture
from companion.training import Optimization, Runtime, fit

FAMILIES = ["bert", "roberta", "albert", "distilbert"]
LOSSES = {"pooled": classification_loss, "cls": classification_loss, "token": tagging_loss, "span": span_loss}


each_head = pytest.mark.parametrize("kind", HEADS)


# Heads


@each_head
@pytest.mark.parametrize("family", FAMILIES)
def test_a_small_set_is_learned_by_heart(kind, family):
    model = HEADS[kind](family=family)
    history = fit(
        model,
        minibatches(rows(kind), 5),
        steps=50,
        loss=LOSSES[kind],
        learning_rate=2e-2,
        optimization=Optimization(weight_decay=0.0),
        runtime=Runtime(device="cpu"),
        progress=False,
    )
    assert history.loss[-1] < 0.2 < 0.6 < history.loss[0]


@each_head
def test_padding_has_no_influence(kind):
    model, batch = HEADS[kind](), rows(kind)
    real = batch.attention_mask
    other = torch.where(real, batch.inputs, (batch.inputs + 7) % 31)
    before, after = (model(ids, attention_mask=real) for ids in (batch.inputs, other))
    if kind in ("token", "span"):
        before, after = before[real], after[real]
    torch.testing.assert_close(before, after)
    losses = [LOSSES[kind](model, batch._replace(inputs=ids)) for ids in (batch.inputs, other)]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["pooled", "cls"])
def test_the_last_block_computes_the_first_token_alone_to_the_same_result(kind, family):
    model, batch = HEADS[kind](family=family), rows(kind)
    inputs = batch.inputs, None, batch.attention_mask
    with capture(model) as record:
        whole = model(*inputs)
    assert record.attention[-1].shape[-2:] == (batch.inputs.size(1), batch.inputs.size(1))
    first = model.bert(*inputs, first_only=True)
    assert first.size(1) == 1
    torch.testing.assert_close(first, model.bert(*inputs)[:, :1])
    torch.testing.assert_close(model(*inputs), whole)


def test_pooled_reads_the_pooler_and_cls_the_vector_itself():
    bert, ids = tiny_bert(), torch.tensor([[1, 2, 3]])
    pooled, cls = SequenceClassifier(bert, NAMES), SequenceClassifier(bert, NAMES, "cls")
    hidden = bert(ids)
    for model, text in ((pooled, bert.pooled(hidden)), (cls, hidden[:, 0])):
        torch.testing.assert_close(model.eval()(ids), model.classifier(text))


def test_a_new_head_begins_as_berts_weights_do():
    torch.manual_seed(0)
    model = SequenceClassifier(Bert(BertConfig(**TINY | {"d_model": 64})), ["a", "b"])
    assert model.classifier.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert model.classifier.bias.abs().max() == 0


def test_the_body_is_shared_and_not_copied():
    bert = tiny_bert()
    assert SequenceClassifier(bert, NAMES).bert is TokenClassifier(bert, NAMES).bert is bert


def test_a_pre_trained_body_takes_a_head():
    pretrained = BertForPreTraining(BertConfig(**TINY))
    assert SequenceClassifier(pretrained.bert, NAMES)(torch.tensor([[1, 2]])).shape == (1, 3)


def test_padding_before_the_first_token_is_refused():
    mask = torch.tensor([[False, True]])
    with pytest.raises(ValueError, match="padding must stand at the end of a row"):
        sequence()(torch.tensor([[0, 1]]), attention_mask=mask)


@pytest.mark.parametrize(
    "make",
    [lambda labels: SequenceClassifier(tiny_bert(), labels), lambda labels: TokenClassifier(tiny_bert(), labels)],
)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], r"labels must be at least 2 names; got \[\]"),
        (["joy"], r"labels must be at least 2 names; got \['joy'\]"),
        ("joy", "labels must be at least 2 names; got 'joy'"),
        (["joy", "anger", "joy"], "each label must be named once; 'joy' comes twice"),
    ],
)
def test_fewer_than_two_labels_or_one_named_twice_are_refused(make, labels, message):
    with pytest.raises(ValueError, match=message):
        make(labels)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="pooling must be one of pooled, cls; got 'mean'"):
        sequence("mean")


# Saved and loaded


@each_head
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_saved_is_loaded_again(tmp_path, kind, family):
    model = HEADS[kind](family=family)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert not again.training
    assert again.config == model.config
    assert getattr(again, "labels", None) == getattr(model, "labels", None)
    assert getattr(again, "pooling", None) == getattr(model, "pooling", None)
    batch = rows(kind)
    assert torch.equal(predict(again, batch), predict(model, batch))


def test_labels_are_named_as_hugging_face_does(tmp_path):
    token().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"] == {"0": "none", "1": "anger", "2": "joy"}
    assert config["label2id"] == {"none": 0, "anger": 1, "joy": 2}
    assert config["architectures"] == ["BertForTokenClassification"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cls_classifier_is_a_token_classifier_of_transformers_at_its_first_token(tmp_path, family):
    from transformers import AutoModelForTokenClassification

    model, batch = sequence("cls", family=family), rows("cls")
    model.save_pretrained(tmp_path)
    theirs, report = AutoModelForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    ids = batch.inputs.masked_fill(~batch.attention_mask, model.config.pad_id)  # RoBERTa's positions hang on it
    logits = theirs.eval()(ids, attention_mask=batch.attention_mask.long()).logits[:, 0]
    torch.testing.assert_close(logits, predict(model, batch), rtol=0, atol=1e-5)


def changed(folder, **fields):
    """The config.json of a checkpoint with other fields; None takes one out."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def test_labels_without_names_get_those_of_transformers(tmp_path):
    SequenceClassifier(tiny_bert(), ["no", "yes"]).save_pretrained(tmp_path)
    changed(tmp_path, id2label=None, label2id=None, architectures=None)
    assert SequenceClassifier.from_pretrained(tmp_path).labels == ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id2label": {"0": "a", "2": "b", "3": "c"}}, "unusable labels in id2label: '1'"),
        ({"id2label": {"0": "a", "1": "b", "2": "a"}}, "'a' comes twice"),
        ({"id2label": {"0": "a"}}, "at least 2 names"),
        ({"id2label": {"0": "a", "1": "b"}}, r"'classifier.weight' .* is of shape \(3, 12\); .* asks for \(2, 12\)"),
        ({"problem_type": "regression"}, "is of the problem_type regression; here each text has one label"),
        ({"architectures": ["BertForMaskedLM"]}, "holds a BertForMaskedLM; this class loads a BertForSequence"),
        ({"model_type": "gpt2"}, "is of the family 'gpt2'"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, fields, message):
    sequence().save_pretrained(tmp_path)
    changed(tmp_path, **fields)
    with pytest.raises(CheckpointError, match=message):
        SequenceClassifier.from_pretrained(tmp_path)


@pytest.mark.parametrize(("kind", "other"), [*itertools.permutations(("pooled", "token", "span"), 2)])
def test_a_checkpoint_with_another_head_is_refused(tmp_path, kind, other):
    model = HEADS[kind]()
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds a BertFor.*; this class loads a BertFor"):
        type(HEADS[other]()).from_pretrained(tmp_path)


def test_a_cls_classifier_is_no_token_classifier(tmp_path):
    sequence("cls").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds a BertForTokenClassification that answers at its first token"):
        TokenClassifier.from_pretrained(tmp_path)


def test_a_checkpoint_without_a_head_is_refused(tmp_path):
    BertForPreTraining(BertConfig(**TINY)).save_pretrained(tmp_path)
    changed(tmp_path, architectures=None)
    with pytest.raises(CheckpointError, match=r"lacks the tensor 'classifier\.weight'"):
        SequenceClassifier.from_pretrained(tmp_path)


@each_head
def test_the_body_of_a_fine_tuned_model_takes_another_head(tmp_path, kind):
    model = HEADS[kind]()
    model.save_pretrained(tmp_path / "one")
    body = type(model).from_pretrained(tmp_path / "one").bert
    again = SequenceClassifier(body, ["no", "yes"]).eval()
    again.save_pretrained(tmp_path / "other")
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(SequenceClassifier.from_pretrained(tmp_path / "other")(ids), again(ids))


def test_an_older_file_with_a_pooler_and_position_numbers_is_loaded(tmp_path):
    from safetensors.torch import load_file, save_file

    model = token()
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors |= {"bert.pooler.dense.weight": torch.ones(12, 12), "bert.pooler.dense.bias": torch.ones(12)}
    tensors["bert.embeddings.position_ids"] = torch.arange(16)[None]
    tensors = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    batch = rows("token")
    assert torch.equal(predict(TokenClassifier.from_pretrained(tmp_path), batch), predict(model, batch))
