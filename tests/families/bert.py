"""BERT, RoBERTa, ALBERT, DistilBERT, and ELECTRA's generator."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from companion.checkpoints.bert import FULL
from companion.data.batch import IGNORED
from companion.models.bert import BertForPreTraining
from companion.nn.capture import capture
from families import Case, Outputs, maps_on_real, on_real, real_tokens, saved, stir

VOCABULARY, LENGTH = 41, 11
COMMON = {"vocab_size": VOCABULARY, "max_position_embeddings": 24}
SHAPES = [
    {"num_hidden_layers": 2, "num_attention_heads": 3, "hidden_size": 18, "intermediate_size": 72},
    {
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "hidden_size": 10,
        "intermediate_size": 8,
        "tie_word_embeddings": False,
    },
    {
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "hidden_size": 20,
        "intermediate_size": 7,
        "hidden_act": "relu",
        "layer_norm_eps": 1e-3,
        "type_vocab_size": 3,
    },
]
DISTILBERT = {
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "tie_word_embeddings": "tie_word_embeddings",
}


def theirs_of(family: str, sizes: dict) -> torch.nn.Module:
    """A random model of ``transformers`` with the heads that the family was trained with."""
    import transformers

    config, model = {
        "bert": ("BertConfig", "BertForPreTraining"),
        "roberta": ("RobertaConfig", "RobertaForMaskedLM"),
        "albert": ("AlbertConfig", "AlbertForPreTraining"),
        "distilbert": ("DistilBertConfig", "DistilBertForMaskedLM"),
        "electra": ("ElectraConfig", "ElectraForMaskedLM"),
    }[family]
    if family == "distilbert":
        sizes = {DISTILBERT[name]: size for name, size in sizes.items() if name in DISTILBERT}
    theirs = getattr(transformers, model)(
        getattr(transformers, config)(**COMMON | sizes, attn_implementation="eager")
    ).eval()
    stir(theirs)
    return theirs


def case(family: str, sizes: dict, folder: Path) -> Case:
    torch.manual_seed(0)
    theirs = theirs_of(family, sizes)
    real = real_tokens(3, LENGTH)
    pad_id = theirs.config.pad_token_id
    ids = torch.randint(2, VOCABULARY, (3, LENGTH)).masked_fill(~real, pad_id)
    labels = torch.where(torch.rand(3, LENGTH) < 0.3, ids, IGNORED).masked_fill(~real, IGNORED)
    n_segments = getattr(theirs.config, "type_vocab_size", 0)
    given = {"token_type_ids": torch.randint(n_segments, (3, LENGTH))} if n_segments else {}
    follows = torch.tensor([0, 1, 1])
    label, sentence = {
        "bert": ({"next_sentence_label": follows}, "seq_relationship_logits"),
        "albert": ({"sentence_order_label": follows}, "sop_logits"),
    }.get(family, ({}, ""))

    def run_ours(model: BertForPreTraining) -> Outputs:
        with capture(model, detach=False) as record:
            logits, pair = model(ids, attention_mask=real, **given)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        scores = [on_real(h, real) for h in (logits, *record.hidden)]
        if pair is not None:
            loss = loss + F.cross_entropy(pair, follows)
            scores.append(pair)
        return Outputs(scores, [maps_on_real(w, real) for w in record.attention], loss)

    def run_theirs(model: torch.nn.Module) -> Outputs:
        out = model(
            ids,
            attention_mask=real.long(),
            labels=labels,
            output_attentions=True,
            output_hidden_states=True,
            **given | label,
        )
        logits = out.prediction_logits if sentence else out.logits
        scores = [on_real(h, real) for h in (logits, *out.hidden_states)]
        scores += [getattr(out, sentence)] if sentence else []
        return Outputs(scores, [maps_on_real(w, real) for w in out.attentions], out.loss)

    ours = BertForPreTraining.from_pretrained(saved(theirs, folder))
    return Case(ours, theirs, run_ours, run_theirs, FULL)


def makers(family: str, shapes: list[dict]) -> list[Callable[[Path], Case]]:
    return [partial(case, family, shape) for shape in shapes]


NARROW = [{"embedding_size": 6}, {"embedding_size": 10}, {"embedding_size": 4}]  # as wide as d_model in the second
GROUPS = [
    {"num_hidden_layers": 5, "num_hidden_groups": 2},
    {"num_hidden_layers": 2, "inner_group_num": 3},
    {"num_hidden_groups": 3, "inner_group_num": 2},
]
CASES = {
    "BERT": makers("bert", SHAPES),
    "RoBERTa": makers("roberta", SHAPES),
    "ALBERT": makers("albert", [shape | narrow for shape, narrow in zip(SHAPES, NARROW, strict=True)]),
    "ALBERT, several groups": makers(
        "albert",
        [shape | narrow | groups for shape, narrow, groups in zip(SHAPES, NARROW, GROUPS, strict=True)],
    ),
    "DistilBERT": makers("distilbert", SHAPES),
    "ELECTRA, generator": makers("electra", [shape | narrow for shape, narrow in zip(SHAPES, NARROW, strict=True)]),
}
