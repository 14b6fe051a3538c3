"""The equations of ``book/algorithms/bert.ipynb``."""

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
PLACE = Symbol("t", "a place in the text")
LOGITS = Symbol("z_0, z_1", "the two logits of `[CLS]`: it follows, it does not")


def _hidden(g: Generator) -> dict[str, Any]:
    """A text, the places that are chosen, what the model reads, and its logits."""
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


def _mlm_hand(x: Tensor, chosen: Tensor, z_tokens: Tensor, **_: Any) -> float:
    total = 0.0
    for t in chosen.tolist():
        p = math.exp(z_tokens[t, x[t]]) / sum(math.exp(z_w) for z_w in z_tokens[t])
        total += math.log(p)
    return -total / len(chosen)


def _mlm_ours(batch: Pretraining, model: Any, **_: Any) -> Tensor:
    return masked_loss(model, batch)


def _mlm_torch(x: Tensor, chosen: Tensor, z_tokens: Tensor, **_: Any) -> Tensor:
    return -torch.distributions.Categorical(logits=z_tokens[chosen]).log_prob(x[chosen]).mean()


def _embedding_hand(x: Tensor, s: Tensor, model: Any) -> Tensor:
    e, p = model.token_embedding.weight, model.position_embedding.weight
    segment = model.segment_embedding.weight
    return torch.stack(
        [by_hand.layer_norm(e[x[t]] + p[t] + segment[s[t]], model.embedding_norm) for t in range(len(x))]
    )


def _embedding_ours(x: Tensor, s: Tensor, model: Any) -> Tensor:
    return entering(model.encoder, lambda: model(x[None], s[None]))[0]


def _embedding_torch(x: Tensor, s: Tensor, model: Any) -> Tensor:
    parts = [(x, model.token_embedding), (torch.arange(len(x)), model.position_embedding), (s, model.segment_embedding)]
    return by_torch.layer_norm(
        torch.stack([F.embedding(ids, table.weight) for ids, table in parts]).sum(0), model.embedding_norm
    )


def _nsp_hand(x: Tensor, chosen: Tensor, z_tokens: Tensor, z: Tensor, y: int, **_: Any) -> tuple[float, float]:
    nsp = -math.log(math.exp(z[y]) / (math.exp(z[0]) + math.exp(z[1])))
    mlm = 0.0
    for t in chosen.tolist():
        mlm -= math.log(math.exp(z_tokens[t, x[t]]) / sum(math.exp(z_w) for z_w in z_tokens[t])) / len(chosen)
    return nsp, mlm + nsp


def _nsp_ours(batch: Pretraining, y: int, model: Any, **_: Any) -> tuple[Tensor, Tensor]:
    both = pretraining_loss(model, batch._replace(labels=torch.tensor([y])))
    return both - masked_loss(model, batch), both


def _nsp_torch(x: Tensor, chosen: Tensor, z_tokens: Tensor, z: Tensor, y: int, **_: Any) -> tuple[Tensor, Tensor]:
    nsp = F.binary_cross_entropy_with_logits(z[1] - z[0], torch.tensor(float(y)))
    return nsp, nsp + F.cross_entropy(z_tokens[chosen], x[chosen])


def _sigmoid_hand(z: Tensor) -> tuple[float, float, float]:
    share = math.exp(z[0]) / (math.exp(z[0]) + math.exp(z[1]))
    one = 1 / (1 + math.exp(-(z[0] - z[1])))
    return share, one, one  # the last is the name of the one before


def _sigmoid_ours(z: Tensor) -> tuple[Tensor, ...]:
    everything = torch.ones(1, 1, 1, dtype=torch.bool)
    follows = Pretraining(
        torch.zeros(1, 1).long(), torch.zeros(1, 1).long(), everything, everything[0], torch.tensor([0])
    )
    loss = pretraining_loss(lambda *_: (torch.zeros(1, 1, 1), z[None]), follows)  # type: ignore[arg-type]
    return (torch.exp(-loss),) * 3  # of a token that is certain, so only the pair counts


def _sigmoid_torch(z: Tensor) -> tuple[Tensor, ...]:
    return F.softmax(z, dim=0)[0], torch.sigmoid(z[0] - z[1]), torch.special.expit(z[0] - z[1])


EQUATIONS = (
    Equation(
        "eq-bert-mlm",
        (
            Symbol(r"\mathcal{L}_{\mathrm{MLM}}", "loss of the masked language model, in nats"),
            Symbol("M", "the set of chosen places; $|M|$ of them"),
            PLACE,
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            Symbol("x_t", "the token that stood there"),
            Symbol(r"\tilde{x}", "the text as the model reads it, chosen places spoiled", "n"),
        ),
        _hidden,
        _mlm_hand,
        _mlm_ours,
        _mlm_torch,
    ),
    Equation(
        "eq-bert-embedding",
        (
            Symbol("h^0_t", "where the stream begins at place $t$", "d"),
            Symbol(r"\mathrm{LN}", "layer norm"),
            Symbol("E", "embeddings of the tokens", r"V \times d"),
            Symbol("P", "embeddings of the positions", r"n_{\max} \times d"),
            Symbol("S", "embeddings of the segments", r"2 \times d"),
            Symbol(r"\tilde{x}_t", "token that the model reads at place $t$"),
            Symbol("s_t", "its segment, 0 or 1"),
        ),
        lambda g: {"x": tokens(g, 9, 6), "s": tokens(g, 2, 6), "model": randomised(Bert(CONFIG), g)},
        _embedding_hand,
        _embedding_ours,
        _embedding_torch,
    ),
    Equation(
        "eq-bert-nsp",
        (
            Symbol(r"\mathcal{L}_{\mathrm{NSP}}", "loss of next sentence prediction, in nats"),
            LOGITS,
            Symbol("y", "0 when the second part follows the first, 1 when not"),
            Symbol(r"\mathcal{L}_{\mathrm{MLM}}", "loss of the masked language model"),
            Symbol(r"\mathcal{L}", "what BERT is trained on: their sum"),
        ),
        _hidden,
        _nsp_hand,
        _nsp_ours,
        _nsp_torch,
    ),
    Equation(
        "eq-bert-sigmoid",
        (LOGITS, Symbol(r"\sigma", "the logistic function")),
        lambda g: {"z": normal(g, 2)},
        _sigmoid_hand,
        _sigmoid_ours,
        _sigmoid_torch,
    ),
)
