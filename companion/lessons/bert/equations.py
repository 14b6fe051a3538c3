"""Equations of ``book/algorithms/bert.ipynb``."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.data.batch import IGNORED
from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, tokens, whole
from companion.lessons.tiny_worlds import entering
from companion.losses.masked import masked_loss
from companion.losses.sentences import Pretraining, pretraining_loss
from companion.models.bert import Bert, BertConfig, BertForPreTraining

CONFIG = BertConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=4)
POSITION = Symbol("t", "a position in the text")
LOGITS = Symbol("z_0, z_1", "the two logits at `[CLS]`: the second part follows, it does not")


def _hidden(g: Generator) -> dict[str, Any]:
    """A text, the masked positions, what the model reads, and its logits."""
    model, x = randomised(BertForPreTraining(CONFIG), g), tokens(g, 9, 6)
    chosen = torch.randperm(6, generator=g)[: whole(g, 1, 5)].sort().values
    read = x.clone()
    read[chosen] = tokens(g, 9, len(chosen))
    types = torch.tensor([0, 0, 0, 1, 1, 1])
    logits, pair = model(read[None], types[None])
    return {
        "x": x,
        "chosen": chosen,
        "z_tokens": logits[0],
        "z": pair[0],
        "y": whole(g, 0, 1),
        "batch": _batch(x, chosen, read, types),
        "model": model,
    }


def _batch(x: Tensor, chosen: Tensor, read: Tensor, types: Tensor) -> Pretraining:
    targets = torch.full_like(x, IGNORED)
    targets[chosen] = x[chosen]
    everything = torch.ones(1, len(x), len(x), dtype=torch.bool)
    return Pretraining(read[None], targets[None], everything, types[None], torch.zeros(1).long())


def _mlm_by_hand(x: Tensor, chosen: Tensor, z_tokens: Tensor, **_: Any) -> float:
    total = 0.0
    for t in chosen.tolist():
        p = math.exp(z_tokens[t, x[t]]) / sum(math.exp(z_w) for z_w in z_tokens[t])
        total += math.log(p)
    return -total / len(chosen)


def _mlm_companion(batch: Pretraining, model: Any, **_: Any) -> Tensor:
    return masked_loss(model, batch)


def _mlm_torch(x: Tensor, chosen: Tensor, z_tokens: Tensor, **_: Any) -> Tensor:
    return -by_torch.log_prob(z_tokens[chosen], x[chosen]).mean()


def _embedding_by_hand(x: Tensor, s: Tensor, model: Any) -> Tensor:
    e, p = model.token_embedding.weight, model.position_embedding.weight
    segment = model.segment_embedding.weight
    return torch.stack(
        [by_hand.layer_norm(e[x[t]] + p[t] + segment[s[t]], model.embedding_norm) for t in range(len(x))]
    )


def _embedding_companion(x: Tensor, s: Tensor, model: Any) -> Tensor:
    return entering(model.encoder, lambda: model(x[None], s[None]))[0]


def _embedding_torch(x: Tensor, s: Tensor, model: Any) -> Tensor:
    parts = [(x, model.token_embedding), (torch.arange(len(x)), model.position_embedding), (s, model.segment_embedding)]
    return by_torch.layer_norm(
        torch.stack([F.embedding(ids, table.weight) for ids, table in parts]).sum(0), model.embedding_norm
    )


def _nsp_by_hand(x: Tensor, chosen: Tensor, z_tokens: Tensor, z: Tensor, y: int, **_: Any) -> tuple[float, float]:
    nsp = -math.log(math.exp(z[y]) / (math.exp(z[0]) + math.exp(z[1])))
    mlm = 0.0
    for t in chosen.tolist():
        mlm -= math.log(math.exp(z_tokens[t, x[t]]) / sum(math.exp(z_w) for z_w in z_tokens[t])) / len(chosen)
    return nsp, mlm + nsp


def _nsp_companion(batch: Pretraining, y: int, model: Any, **_: Any) -> tuple[Tensor, Tensor]:
    both = pretraining_loss(model, batch._replace(labels=torch.tensor([y])))
    return both - masked_loss(model, batch), both


def _nsp_torch(x: Tensor, chosen: Tensor, z_tokens: Tensor, z: Tensor, y: int, **_: Any) -> tuple[Tensor, Tensor]:
    nsp = F.binary_cross_entropy_with_logits(z[1] - z[0], torch.tensor(float(y)))
    return nsp, nsp + F.cross_entropy(z_tokens[chosen], x[chosen])


def _sigmoid_by_hand(z: Tensor) -> tuple[float, float, float]:
    softmax = math.exp(z[0]) / (math.exp(z[0]) + math.exp(z[1]))
    sigmoid = 1 / (1 + math.exp(-(z[0] - z[1])))
    return softmax, sigmoid, sigmoid  # the last is the name of the one before


def _sigmoid_torch(z: Tensor) -> tuple[Tensor, ...]:
    return F.softmax(z, dim=0)[0], torch.sigmoid(z[0] - z[1]), torch.special.expit(z[0] - z[1])


EQUATIONS = (
    Equation(
        label="eq-bert-mlm",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{MLM}}", "loss of the masked language model, in nats"),
            Symbol("M", "set of masked positions; $|M|$ of them"),
            POSITION,
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            Symbol("x_t", "original token at position $t$"),
            Symbol(r"\tilde{x}", "corrupted text, which the model reads", "n"),
        ),
        draw=_hidden,
        by_hand=_mlm_by_hand,
        companion=_mlm_companion,
        library=_mlm_torch,
    ),
    Equation(
        label="eq-bert-embedding",
        symbols=(
            Symbol("h^0_t", "input of the residual stream at position $t$", "d"),
            Symbol(r"\mathrm{LN}", "layer norm"),
            Symbol("E", "token embedding", r"V \times d"),
            Symbol("P", "position embedding", r"n_{\max} \times d"),
            Symbol("S", "segment embedding", r"2 \times d"),
            Symbol(r"\tilde{x}_t", "token of the corrupted text at position $t$"),
            Symbol("s_t", "its segment, 0 or 1"),
        ),
        draw=lambda g: {"x": tokens(g, 9, 6), "s": tokens(g, 2, 6), "model": randomised(Bert(CONFIG), g)},
        by_hand=_embedding_by_hand,
        companion=_embedding_companion,
        library=_embedding_torch,
    ),
    Equation(
        label="eq-bert-nsp",
        symbols=(
            Symbol(r"\mathcal{L}_{\mathrm{NSP}}", "loss of next sentence prediction, in nats"),
            LOGITS,
            Symbol("y", "0 when the second part follows the first, 1 when not"),
            Symbol(r"\mathcal{L}_{\mathrm{MLM}}", "loss of the masked language model"),
            Symbol(r"\mathcal{L}", "pre-training loss of BERT: their sum"),
        ),
        draw=_hidden,
        by_hand=_nsp_by_hand,
        companion=_nsp_companion,
        library=_nsp_torch,
    ),
    Equation(
        label="eq-bert-sigmoid",
        symbols=(LOGITS, Symbol(r"\sigma", "logistic function (sigmoid)")),
        draw=lambda g: {"z": normal(g, 2)},
        by_hand=_sigmoid_by_hand,
        library=_sigmoid_torch,
    ),
)
