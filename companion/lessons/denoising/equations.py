"""Equations of ``book/algorithms/denoising.ipynb``."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, randomised, tokens
from companion.losses.contrastive import contrastive_loss
from companion.losses.spans import sequence_loss, teacher_forcing
from companion.models.bert import Bert, BertConfig
from companion.models.sentence_encoder import SentenceEncoder
from companion.models.transformer import Transformer, TransformerConfig

END = 1  # the end token, after the text


def _corrupted(g: Generator) -> dict[str, Any]:
    """A text, three corrupted versions, the probability of each, and the model's logits for each."""
    config = TransformerConfig(vocab_size=7, context_length=6, n_layers=1, n_heads=2, d_model=4)
    model, x = randomised(Transformer(config), g), torch.cat([tokens(g, 7, 3), torch.tensor([END])])
    noisy = [tokens(g, 7, length) for length in (3, 2, 4)]
    late = torch.cat([torch.tensor([config.start_id]), x[:-1]])
    z = [torch.stack([model(n[None], late[None, : t + 1])[0, -1] for t in range(4)]) for n in noisy]
    return {"x": x, "q": distribution(g, 3), "z": z, "noisy": noisy, "model": model}


def _loss_by_hand(x: Tensor, q: Tensor, z: list[Tensor], noisy: list[Tensor], model: Any) -> float:
    expected = 0.0
    for chance, logits in zip(q, z, strict=True):  # one corrupted text after the other
        total = 0.0
        for t in range(len(x)):  # n tokens and the end
            total += math.log(math.exp(logits[t, x[t]]) / sum(math.exp(score) for score in logits[t]))
        expected += float(chance) * -total / len(x)
    return expected


def _loss_companion(x: Tensor, q: Tensor, z: list[Tensor], noisy: list[Tensor], model: Any) -> Tensor:
    start = model.config.start_id
    masks = [torch.ones(1, len(text), dtype=torch.bool) for text in noisy]
    batches = [teacher_forcing(text[None], mask, x[None], start) for text, mask in zip(noisy, masks, strict=True)]
    return q @ torch.stack([sequence_loss(model, batch) for batch in batches])


def _loss_torch(x: Tensor, q: Tensor, z: list[Tensor], noisy: list[Tensor], model: Any) -> Tensor:
    log_probs = by_torch.log_prob(torch.stack(z), x)  # (corrupted texts, n + 1)
    return -torch.einsum("s,st->", q, log_probs) / len(x)


def _read(g: Generator) -> dict[str, Any]:
    bert = randomised(Bert(BertConfig(vocab_size=7, context_length=6, n_layers=1, n_heads=2, d_model=4)), g)
    ids, real = tokens(g, 7, 5), torch.tensor([True, True, True, True, False])  # four tokens and padding
    return {"h": bert(ids[None, :4])[0], "ids": ids, "real": real, "bert": bert}


def _pool_by_hand(h: Tensor, ids: Tensor, real: Tensor, bert: Bert) -> Tensor:
    n, d = h.shape
    m = [sum(float(h[t, c]) for t in range(n)) / n for c in range(d)]
    length = math.sqrt(sum(m_c**2 for m_c in m))
    return torch.tensor([m_c / length for m_c in m])


def _pool_companion(h: Tensor, ids: Tensor, real: Tensor, bert: Bert) -> Tensor:
    vectors: Tensor = SentenceEncoder(bert)(ids[None], real[None])
    return vectors[0]


def _pool_torch(h: Tensor, ids: Tensor, real: Tensor, bert: Bert) -> Tensor:
    return F.normalize(F.adaptive_avg_pool1d(h.T[None], 1)[0, :, 0], dim=0)


def _infonce_by_hand(a: Tensor, b: Tensor, tau: float) -> float:
    def cos(one: Tensor, other: Tensor) -> float:
        lengths = math.sqrt(sum(float(v) ** 2 for v in one)) * math.sqrt(sum(float(v) ** 2 for v in other))
        return sum(float(v * w) for v, w in zip(one, other, strict=True)) / lengths

    n = len(a)
    total = 0.0
    for i in range(n):
        right = math.exp(cos(a[i], b[i]) / tau)
        total += math.log(right / sum(math.exp(cos(a[i], b[j]) / tau) for j in range(n)))
    return -total / n


def _infonce_companion(a: Tensor, b: Tensor, tau: float) -> Tensor:
    return contrastive_loss(a, b, temperature=tau)


def _infonce_torch(a: Tensor, b: Tensor, tau: float) -> Tensor:
    scores = F.cosine_similarity(a[:, None], b, dim=-1) / tau
    return -by_torch.log_prob(scores, torch.arange(len(a))).mean()


EQUATIONS = (
    Equation(
        label="eq-denoising-loss",
        symbols=(
            Symbol(r"\mathcal{L}(\theta)", "loss, in nats"),
            Symbol(r"\tilde{x}", "corrupted text, which the encoder reads"),
            Symbol(r"q(\tilde{x} \mid x)", "noise: probability of each corrupted text"),
            Symbol("n", "number of tokens of the original text; its end token is number $n + 1$"),
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            Symbol("x_t", "token $t$ of the original text, counted from 1"),
            Symbol("x_{<t}", "tokens before it"),
        ),
        draw=_corrupted,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
    Equation(
        label="eq-denoising-pool",
        symbols=(
            Symbol("v", "embedding of the text, of length 1", "d"),
            Symbol("m", "mean of its hidden states", "d"),
            Symbol("h_t", "hidden state at token $t$", "d"),
            Symbol("n", "number of tokens, without padding"),
        ),
        draw=_read,
        by_hand=_pool_by_hand,
        companion=_pool_companion,
        library=_pool_torch,
    ),
    Equation(
        label="eq-denoising-infonce",
        symbols=(
            Symbol(r"\mathcal{L}", "loss of the batch, in nats"),
            Symbol("n", "batch size: number of texts"),
            Symbol("a_i, b_i", "embeddings of the two views of text $i$", "d"),
            Symbol(r"\cos", "cosine similarity"),
            Symbol(r"\tau", "temperature"),
        ),
        draw=lambda g: {"a": normal(g, 5, 4), "b": normal(g, 5, 4), "tau": between(g, 0.05, 1.0)},
        by_hand=_infonce_by_hand,
        companion=_infonce_companion,
        library=_infonce_torch,
    ),
)
