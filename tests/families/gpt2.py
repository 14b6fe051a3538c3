"""GPT-2."""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from companion.checkpoints import gpt2 as family
from companion.checkpoints.gpt2_heads import ClassifierFamily
from companion.data.batch import IGNORED
from companion.data.labelled import Labelled
from companion.finetuning.gpt_classifier import GPTClassifier
from companion.losses.classification import classification_loss
from companion.models.gpt import GPT
from companion.nn.capture import capture
from families import Case, Outputs, maps_on_real, on_real, real_tokens, saved, stir

SHAPES = [
    {"n_layer": 2, "n_head": 3, "n_embd": 18},
    {"n_layer": 1, "n_head": 1, "n_embd": 10, "tie_word_embeddings": False},
    {"n_layer": 3, "n_head": 5, "n_embd": 20, "n_inner": 7, "activation_function": "gelu"},
]
LABELS = {1: "joy", 2: "anger", 0: "none"}


def case(sizes: dict, folder: Path) -> Case:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    common = {"vocab_size": 41, "n_positions": 24, "bos_token_id": None, "eos_token_id": None}
    config = GPT2Config(**common | sizes, attn_implementation="eager")
    theirs = GPT2LMHeadModel(config).eval()
    stir(theirs)
    ids, real = torch.randint(41, (3, 11)), real_tokens(3, 11)
    labels = ids.masked_fill(~real, IGNORED)

    def run_ours(model: GPT) -> Outputs:
        with capture(model, detach=False) as record:
            logits = model(ids, attention_mask=real)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        return Outputs([on_real(logits, real)], [maps_on_real(w, real) for w in record.attention], loss)

    def run_theirs(model: GPT2LMHeadModel) -> Outputs:
        out = model(ids, attention_mask=real.long(), labels=labels, output_attentions=True)
        return Outputs([on_real(out.logits, real)], [maps_on_real(w, real) for w in out.attentions], out.loss)

    return Case(GPT.from_pretrained(saved(theirs, folder)), theirs, run_ours, run_theirs, family)


def labelled_case(sizes: dict, folder: Path) -> Case:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    torch.manual_seed(0)
    named = {"id2label": LABELS, "label2id": {name: number for number, name in LABELS.items()}}
    common = {"vocab_size": 41, "n_positions": 24, "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    theirs = GPT2ForSequenceClassification(GPT2Config(**common | sizes | named, attn_implementation="eager")).eval()
    stir(theirs)
    real = real_tokens(3, 11)
    ids = torch.randint(1, 41, (3, 11)).masked_fill(~real, 0)  # transformers finds the last token by the padding's id
    rows = Labelled(ids, torch.zeros_like(ids), real, torch.tensor([2, 0, 1]))

    def run_ours(model: GPTClassifier) -> Outputs:
        with capture(model, detach=False) as record:
            logits = model(ids, attention_mask=real)
        maps = [maps_on_real(w, real) for w in record.attention]
        return Outputs([logits], maps, classification_loss(model, rows))

    def run_theirs(model: GPT2ForSequenceClassification) -> Outputs:
        out = model(ids, attention_mask=real.long(), labels=rows.labels, output_attentions=True)
        return Outputs([out.logits], [maps_on_real(w, real) for w in out.attentions], out.loss)

    ours = GPTClassifier.from_pretrained(saved(theirs, folder))
    return Case(ours, theirs, run_ours, run_theirs, ClassifierFamily(ours.labels))


CASES = {
    "GPT-2": [partial(case, shape) for shape in SHAPES],
    "GPT-2, head for texts": [partial(labelled_case, {**shape, "tie_word_embeddings": True}) for shape in SHAPES],
}
