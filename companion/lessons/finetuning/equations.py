"""Equations of ``book/algorithms/finetuning.ipynb``."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Encoding
from torch import Generator, Tensor, nn

from companion.data.batch import IGNORED
from companion.data.labelled import Tagged
from companion.finetuning.heads import SequenceClassifier, TokenClassifier
from companion.finetuning.layer_rates import discriminative_rates, layers
from companion.finetuning.lora import LoRALinear
from companion.finetuning.predictions import predicted_spans
from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, randomised, tokens, whole
from companion.losses.causal import completion_loss, completions
from companion.losses.classification import tagging_loss
from companion.metrics.classification import calibration
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig
from companion.storyworld import World

NAMES = ("one", "two", "three")
WIDTH = Symbol("d", "width of the body, `d_model`")
LABELS = Symbol("K", "number of labels")


def _body() -> Bert:
    return Bert(BertConfig(6, context_length=8, n_layers=1, n_heads=2, d_model=4))


def _head(g: Generator) -> dict[str, Any]:
    x, model = tokens(g, 6, 1, 5), randomised(SequenceClassifier(_body(), NAMES), g)
    return {"x": x, "h": model.bert(x)[0, 0], "model": model}  # h is that of [CLS]


def _head_by_hand(x: Tensor, h: Tensor, model: Any) -> Tensor:
    c = torch.stack([(row * h).sum() for row in model.bert.pooler.weight]) + model.bert.pooler.bias
    c = (c.exp() - (-c).exp()) / (c.exp() + (-c).exp())  # tanh
    powers = [
        math.exp((row * c).sum() + b) for row, b in zip(model.classifier.weight, model.classifier.bias, strict=True)
    ]
    return torch.tensor([power / sum(powers) for power in powers])


def _head_companion(x: Tensor, h: Tensor, model: Any) -> Tensor:
    logits: Tensor = model(x)[0]
    return logits.softmax(-1)


def _head_torch(x: Tensor, h: Tensor, model: Any) -> Tensor:
    c = F.tanh(by_torch.linear(h, model.bert.pooler))
    return torch.distributions.Categorical(logits=by_torch.linear(c, model.classifier)).probs


def _tags(g: Generator) -> dict[str, Any]:
    x, model = tokens(g, 6, 1, 6), randomised(TokenClassifier(_body(), NAMES), g)
    labels = tokens(g, 3, 1, 6).masked_fill(torch.tensor([[True, False, False, True, False, True]]), IGNORED)
    batch = Tagged(x, torch.zeros_like(x), torch.ones_like(x).bool(), labels)
    return {"z": model(x)[0], "model": model, "batch": batch}


def _tags_by_hand(z: Tensor, model: Any, batch: Tagged) -> float:
    first = [t for t, label in enumerate(batch.labels[0]) if label != IGNORED]
    total = 0.0
    for t in first:
        total += math.log(math.exp(z[t, batch.labels[0, t]]) / sum(math.exp(score) for score in z[t]))
    return -total / len(first)


def _tags_companion(z: Tensor, model: Any, batch: Tagged) -> Tensor:
    return tagging_loss(model, batch)


def _tags_torch(z: Tensor, model: Any, batch: Tagged) -> Tensor:
    return F.nll_loss(F.log_softmax(z, -1), batch.labels[0], ignore_index=IGNORED)


def _span(g: Generator) -> dict[str, Any]:
    tokenizer = World("tiny").tokenizer(("[CLS]", "[SEP]", "[MASK]"))
    text = tokenizer.encode(["where", "is", "Tom"], ["Tom", "is", "in", "the", "park", "."], is_pretokenized=True)
    return {"scores": normal(g, len(text), 2), "text": text}


def _context(text: Encoding) -> list[int]:
    return [position for position, part in enumerate(text.sequence_ids) if part == 1]


def _span_by_hand(scores: Tensor, text: Encoding) -> tuple[int, int]:
    context = _context(text)
    best, found = -math.inf, (0, 0)
    for i, first in enumerate(context):
        for j, last in enumerate(context):
            together = float(scores[first, 0] + scores[last, 1])
            if i <= j and together > best:
                best, found = together, (i, j)
    return found


def _span_companion(scores: Tensor, text: Encoding) -> tuple[int, int]:
    ((begin, end),) = predicted_spans(scores[None], [text])  # words [begin, end)
    return begin, end - 1


def _span_torch(scores: Tensor, text: Encoding) -> tuple[Tensor, ...]:
    start, end = scores[_context(text)].T
    chances = torch.outer(start.softmax(-1), end.softmax(-1)).triu()
    return torch.unravel_index(chances.argmax(), chances.shape)


def _answer(g: Generator) -> dict[str, Any]:
    model = randomised(GPT(GPTConfig(vocab_size=5, context_length=8, n_layers=1, n_heads=2, d_model=4)), g)
    x, y = tokens(g, 5, 3), tokens(g, 5, 4)
    z = torch.stack([model(torch.cat([x, y[:t]])[None])[0, -1] for t in range(len(y))])  # row t: from x and y_<t
    return {"x": x, "y": y, "z": z, "model": model}


def _answer_by_hand(x: Tensor, y: Tensor, z: Tensor, model: Any) -> float:
    total = 0.0
    for t in range(len(y)):
        total += math.log(math.exp(z[t, y[t]]) / sum(math.exp(score) for score in z[t]))
    return -total / len(y)


def _answer_companion(x: Tensor, y: Tensor, z: Tensor, model: Any) -> Tensor:
    return completion_loss(model, completions([x.tolist()], [y.tolist()]))


def _answer_torch(x: Tensor, y: Tensor, z: Tensor, model: Any) -> Tensor:
    return F.cross_entropy(z, y)


def _judged(g: Generator) -> Mapping[str, Any]:
    return {"p": distribution(g, 40, 3), "y": tokens(g, 3, 40), "bins": whole(g, 2, 10)}


def _ece_by_hand(p: Tensor, y: Tensor, bins: int) -> float:
    total = 0.0
    for b in range(1, bins + 1):
        inside = [i for i in range(len(p)) if (b - 1) / bins < max(p[i]) <= b / bins]
        if inside:
            right = sum(int(p[i].tolist().index(max(p[i])) == y[i]) for i in inside) / len(inside)
            sure = sum(float(max(p[i])) for i in inside) / len(inside)
            total += len(inside) / len(p) * abs(right - sure)
    return total


def _ece_companion(p: Tensor, y: Tensor, bins: int) -> float:
    return calibration(p, y, bins).error


def _ece_torch(p: Tensor, y: Tensor, bins: int) -> Tensor:
    sure, said = p.max(-1)
    found = torch.bucketize(sure, torch.linspace(0, 1, bins + 1)[1:-1])
    return torch.zeros(bins).index_add(0, found, (said == y).double() - sure).abs().sum() / len(p)


def _rates(g: Generator) -> dict[str, Any]:
    config = BertConfig(6, context_length=8, n_layers=whole(g, 1, 4), n_heads=2, d_model=4)
    return {"model": TokenClassifier(Bert(config), ("one", "two")), "factor": between(g, 1, 4)}


def _rates_by_hand(model: Any, factor: float) -> Tensor:
    top = len(model.bert.encoder.blocks) + 1  # the embeddings are layer 0, the head comes after the blocks
    found = [1.0]
    for _ in range(top):
        found.insert(0, found[0] / factor)
    return torch.tensor(found)


def _rates_companion(model: Any, factor: float) -> Tensor:
    rate = discriminative_rates(model, factor)
    one_of_each = {layer: name for name, layer in layers(model).items()}
    return torch.tensor([rate(one_of_each[layer], 1) for layer in sorted(one_of_each)])


def _rates_torch(model: Any, factor: float) -> Tensor:
    top = len(model.bert.encoder.blocks) + 1
    return torch.exp(-math.log(factor) * torch.arange(top, -1, -1))


def _lora(g: Generator) -> dict[str, Any]:
    return {"x": normal(g, 3, 4), "layer": randomised(LoRALinear(nn.Linear(4, 5), 2, between(g, 1, 20)), g)}


def _lora_by_hand(x: Tensor, layer: Any) -> Tensor:
    w, rank = layer.weight.clone(), len(layer.lora_a)
    for k in range(rank):
        w += layer.alpha / rank * layer.lora_b[:, k, None] * layer.lora_a[k]
    output: Tensor = x @ w.T + layer.bias
    return output


def _lora_companion(x: Tensor, layer: Any) -> Tensor:
    output: Tensor = layer(x)
    return output


def _lora_torch(x: Tensor, layer: Any) -> Tensor:
    w = torch.addmm(layer.weight, layer.lora_b, layer.lora_a, alpha=layer.alpha / layer.lora_a.size(0))
    return F.linear(x, w, layer.bias)


EQUATIONS = (
    Equation(
        label="eq-finetuning-head",
        symbols=(
            Symbol("h_0", "the body's last hidden state at `[CLS]`", "d"),
            WIDTH,
            Symbol("W_p, b_p", "weight matrix and bias of the pooler", r"d \times d,\; d"),
            Symbol("c", "pooled vector, which represents the text", "d"),
            Symbol("W, b", "weight matrix and bias of the new head", r"K \times d,\; K"),
            LABELS,
            Symbol(r"p(\cdot \mid x)", "probability of each label of the text $x$", "K"),
        ),
        draw=_head,
        by_hand=_head_by_hand,
        companion=_head_companion,
        library=_head_torch,
    ),
    Equation(
        label="eq-finetuning-tagging",
        symbols=(
            Symbol(r"\mathcal{L}", "loss, in nats"),
            Symbol("F", "positions of the first piece of each word"),
            Symbol(r"p(y_t \mid x)", "probability of the right label at position $t$"),
        ),
        draw=_tags,
        by_hand=_tags_by_hand,
        companion=_tags_companion,
        library=_tags_torch,
    ),
    Equation(
        label="eq-finetuning-span",
        symbols=(
            Symbol(r"\hat{\imath}, \hat{\jmath}", "first and last position of the answer"),
            Symbol("S_i", "start score (logit) of position $i$"),
            Symbol("E_j", "end score (logit) of position $j$"),
        ),
        draw=_span,
        by_hand=_span_by_hand,
        companion=_span_companion,
        library=_span_torch,
    ),
    Equation(
        label="eq-finetuning-answer",
        symbols=(
            Symbol(r"\mathcal{L}", "loss, in nats"),
            Symbol("x", "the prompt"),
            Symbol("y_t", "token $t$ of the answer, of $n$"),
            Symbol("y_{<t}", "the answer's tokens before it"),
        ),
        draw=_answer,
        by_hand=_answer_by_hand,
        companion=_answer_companion,
        library=_answer_torch,
    ),
    Equation(
        label="eq-finetuning-ece",
        symbols=(
            Symbol("B", "number of bins of equal width"),
            Symbol("n_b", "number of predictions in bin $b$, of $n$"),
            Symbol(r"\mathrm{acc}_b", "accuracy in bin $b$"),
            Symbol(r"\mathrm{conf}_b", "confidence in bin $b$: mean probability of the predicted label"),
        ),
        draw=_judged,
        by_hand=_ece_by_hand,
        companion=_ece_companion,
        library=_ece_torch,
    ),
    Equation(
        label="eq-finetuning-rates",
        symbols=(
            Symbol(r"\eta_\ell", r"learning rate of layer $\ell$; 0 = embeddings, $L + 1$ = heads"),
            Symbol(r"\eta", "learning rate of the heads"),
            Symbol("f", "factor from one layer to the next"),
            Symbol("L", "number of layers (blocks), `n_layers`"),
        ),
        draw=_rates,
        by_hand=_rates_by_hand,
        companion=_rates_companion,
        library=_rates_torch,
    ),
    Equation(
        label="eq-finetuning-lora",
        symbols=(
            Symbol("W", "pre-trained weight matrix, frozen", r"d_{\text{out}} \times d_{\text{in}}"),
            Symbol("A, B", "matrices of the adapter; learned", r"r \times d_{\text{in}},\; d_{\text{out}} \times r"),
            Symbol("r", "rank of the adapter"),
            Symbol(r"\alpha", "scale of the update"),
        ),
        draw=_lora,
        by_hand=_lora_by_hand,
        companion=_lora_companion,
        library=_lora_torch,
    ),
)
