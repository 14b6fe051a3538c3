"""BERT, RoBERTa, ALBERT and DistilBERT with the three heads for tasks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from companion.checkpoints.bert_heads import CLASSES, HEAD_CLASSES, HeadFamily
from companion.data.batch import IGNORED
from companion.data.labelled import Labelled, SpanQuestions, Tagged
from companion.finetuning.heads import ExtractiveQA, SequenceClassifier, TokenClassifier
from companion.losses.classification import classification_loss, span_loss, tagging_loss
from companion.nn.capture import capture
from families import Case, Outputs, maps_on_real, on_real, real_tokens, saved, stir
from families.bert import COMMON, DISTILBERT, LENGTH, NARROW, SHAPES, VOCABULARY

HEADS = {"sequence": SequenceClassifier, "token": TokenClassifier, "span": ExtractiveQA}
LOSSES = {"sequence": classification_loss, "token": tagging_loss, "span": span_loss}
LABELS = {1: "joy", 2: "anger", 0: "none"}


def theirs_of(family: str, task: str, sizes: dict) -> torch.nn.Module:
    """A random model of ``transformers`` with a head."""
    import transformers

    if family == "distilbert":
        sizes = {DISTILBERT[name]: size for name, size in sizes.items() if name in DISTILBERT}
    if task != "span":
        sizes = sizes | {"id2label": LABELS, "label2id": {name: number for number, name in LABELS.items()}}
    config = {"bert": "BertConfig", "roberta": "RobertaConfig", "albert": "AlbertConfig"}.get(family)
    config = getattr(transformers, config or "DistilBertConfig")(**COMMON | sizes, attn_implementation="eager")
    theirs = getattr(transformers, CLASSES[family] + HEAD_CLASSES[task])(config).eval()
    stir(theirs)
    return theirs


def rows_of(task: str, ids: torch.Tensor, types: torch.Tensor, real: torch.Tensor) -> tuple:
    """Our batch, and their names of its labels."""
    if task == "sequence":
        labels = torch.tensor([2, 0, 1])
        return Labelled(ids, types, real, labels), {"labels": labels}
    if task == "token":
        labels = torch.randint(3, ids.shape).masked_fill(torch.rand(ids.shape) < 0.4, IGNORED)
        labels = labels.masked_fill(~real, IGNORED)
        return Tagged(ids, types, real, labels), {"labels": labels}
    starts, ends = torch.tensor([2, 5, 1]), torch.tensor([4, 5, 8])
    return SpanQuestions(ids, types, real, starts, ends), {"start_positions": starts, "end_positions": ends}


def case(family: str, task: str, sizes: dict, folder: Path) -> Case:
    torch.manual_seed(0)
    theirs = theirs_of(family, task, sizes)
    real = real_tokens(3, LENGTH)
    ids = torch.randint(2, VOCABULARY, (3, LENGTH)).masked_fill(~real, theirs.config.pad_token_id)
    n_segments = getattr(theirs.config, "type_vocab_size", 1)
    types = torch.randint(n_segments, (3, LENGTH)) if n_segments > 1 else torch.zeros_like(ids)
    rows, labels = rows_of(task, ids, types, real)
    given = {"token_type_ids": types} if n_segments > 1 else {}

    def run_ours(model: torch.nn.Module) -> Outputs:
        with capture(model, detach=False) as record:
            logits = model(ids, attention_mask=real, **given)
        scores = [logits if task == "sequence" else on_real(logits, real), *(on_real(h, real) for h in record.hidden)]
        return Outputs(scores, [maps_on_real(w, real) for w in record.attention], LOSSES[task](model, rows))

    def run_theirs(model: torch.nn.Module) -> Outputs:
        wanted = {"output_attentions": True, "output_hidden_states": True}
        out = model(ids, attention_mask=real.long(), **wanted, **given, **labels)
        if task == "span":  # theirs lets an answer stand on padding, ours does not
            logits = torch.stack([out.start_logits, out.end_logits], -1)
            start, end = logits.masked_fill(~real[..., None], -torch.inf).unbind(-1)
            loss = (F.cross_entropy(start, rows.starts) + F.cross_entropy(end, rows.ends)) / 2
        else:
            logits, loss = out.logits, out.loss
        scores = [logits if task == "sequence" else on_real(logits, real)]
        scores += [on_real(h, real) for h in out.hidden_states]
        return Outputs(scores, [maps_on_real(w, real) for w in out.attentions], loss)

    ours = HEADS[task].from_pretrained(saved(theirs, folder))
    return Case(ours, theirs, run_ours, run_theirs, HeadFamily(task))


def makers(family: str) -> list[Callable[[Path], Case]]:
    """Each head at each shape."""
    shapes = [shape | narrow for shape, narrow in zip(SHAPES, NARROW, strict=True)] if family == "albert" else SHAPES
    return [partial(case, family, task, shape) for task in HEAD_CLASSES for shape in shapes]


CASES = {
    "BERT, heads for tasks": makers("bert"),
    "RoBERTa, heads for tasks": makers("roberta"),
    "ALBERT, heads for tasks": makers("albert"),
    "DistilBERT, heads for tasks": makers("distilbert"),
}
