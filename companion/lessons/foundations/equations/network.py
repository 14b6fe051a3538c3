"""Equations of ``book/concepts/foundations.ipynb``: from numbers to a loss."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import distribution, normal, whole
from companion.nn.autograd import Value

INPUT = Symbol("x", "inputs of the layer", "d")


LOGIT = Symbol("z_i", "logit of word $i$: its score before the softmax")


PROBABILITY = Symbol("p_i", "probability of word $i$")


LOSS = Symbol(r"\ell", "loss, in nats")


VOCABULARY = Symbol("V", "number of words")


def _two_vectors(g: Generator) -> dict[str, Any]:
    return {"u": normal(g, 4), "v": normal(g, 4)}


def _dot_by_hand(u: Tensor, v: Tensor) -> float:
    return sum(float(u[i]) * float(v[i]) for i in range(len(u)))


def _dot_torch(u: Tensor, v: Tensor) -> Tensor:
    return torch.dot(u, v)


def _cosine_by_hand(u: Tensor, v: Tensor) -> float:
    length = [math.sqrt(sum(float(x) ** 2 for x in one)) for one in (u, v)]
    return sum(float(a) * float(b) for a, b in zip(u, v, strict=True)) / (length[0] * length[1])


def _cosine_torch(u: Tensor, v: Tensor) -> Tensor:
    return F.cosine_similarity(u, v, dim=0)


def _neuron(g: Generator) -> dict[str, Any]:
    return {"x": normal(g, 3), "w": normal(g, 3), "b": float(normal(g, 1))}


def _neuron_by_hand(x: Tensor, w: Tensor, b: float) -> float:
    total = b
    for i in range(len(x)):
        total += float(w[i]) * float(x[i])
    return max(0.0, total)


def _neuron_companion(x: Tensor, w: Tensor, b: float) -> float:
    return sum((Value(float(a)) * float(c) for a, c in zip(w, x, strict=True)), start=Value(b)).relu().data


def _neuron_torch(x: Tensor, w: Tensor, b: float) -> Tensor:
    return F.relu(F.linear(x, w[None], torch.tensor([b])))[0]


def _layer(g: Generator) -> dict[str, Any]:
    return {"x": normal(g, 3), "w": normal(g, 2, 3), "b": normal(g, 2)}


def _layer_by_hand(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    sums = [sum(float(w[i, j] * x[j]) for j in range(len(x))) + float(b[i]) for i in range(len(b))]
    return torch.tensor([max(0.0, one) for one in sums])


def _layer_torch(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return F.relu(F.linear(x, w, b))


def _two_layers(g: Generator) -> dict[str, Any]:
    return {"x": normal(g, 3), "w1": normal(g, 4, 3), "b1": normal(g, 4), "w2": normal(g, 2, 4), "b2": normal(g, 2)}


def _collapse_by_hand(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return (w2 @ w1) @ x + (w2 @ b1 + b2)  # the right side


def _collapse_torch(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return F.linear(F.linear(x, w1, b1), w2, b2)  # the left side


def _softmax_by_hand(z: Tensor, **_: Any) -> Tensor:
    total = sum(math.exp(float(one)) for one in z)
    return torch.tensor([math.exp(float(one)) / total for one in z])


def _softmax_torch(z: Tensor, **_: Any) -> Tensor:
    return F.softmax(z, dim=0)


def _choice(g: Generator) -> dict[str, Any]:
    return {"z": normal(g, 5), "y": whole(g, 0, 4)}


def _loss_by_hand(z: Tensor, y: int) -> float:
    return -math.log(math.exp(float(z[y])) / sum(math.exp(float(one)) for one in z))


def _loss_companion(z: Tensor, y: int) -> float:
    logits = [Value(float(one)) for one in z]
    return (sum((one.exp() for one in logits), start=Value(0.0)).log() - logits[y]).data


def _loss_torch(z: Tensor, y: int) -> Tensor:
    return F.cross_entropy(z, torch.tensor(y))


def _perplexity_by_hand(nats: Tensor) -> float:
    return math.exp(sum(float(one) for one in nats) / len(nats))


def _perplexity_torch(nats: Tensor) -> Tensor:
    return nats.mean().exp()


EQUATIONS = (
    Equation(
        label="eq-foundations-dot",
        symbols=(Symbol("u, v", "two vectors", "d"), Symbol("d", "how many numbers a vector has")),
        draw=_two_vectors,
        by_hand=_dot_by_hand,
        library=_dot_torch,
    ),
    Equation(
        label="eq-foundations-cosine",
        symbols=(
            Symbol("u, v", "two vectors", "d"),
            Symbol(r"\lVert u \rVert", "length of $u$"),
        ),
        draw=_two_vectors,
        by_hand=_cosine_by_hand,
        library=_cosine_torch,
    ),
    Equation(
        label="eq-foundations-neuron",
        symbols=(
            Symbol("y", "output of the neuron"),
            Symbol("w_i", "weight of input $i$"),
            Symbol("x_i", "input $i$"),
            Symbol("b", "bias"),
            Symbol("f", "activation function, here ReLU"),
            Symbol("z", "any number"),
        ),
        draw=_neuron,
        by_hand=_neuron_by_hand,
        companion=_neuron_companion,
        library=_neuron_torch,
    ),
    Equation(
        label="eq-foundations-layer",
        symbols=(
            Symbol("y", "outputs, one for each neuron", "m"),
            Symbol("W", "weights, one row for each neuron", r"m \times d"),
            INPUT,
            Symbol("b", "biases", "m"),
            Symbol("f", "activation function, applied to each number"),
        ),
        draw=_layer,
        by_hand=_layer_by_hand,
        library=_layer_torch,
    ),
    Equation(
        label="eq-foundations-collapse",
        symbols=(
            Symbol("W_1, b_1", "weights and biases of the first layer", r"h \times d,\; h"),
            Symbol("W_2, b_2", "weights and biases of the second layer", r"m \times h,\; m"),
            INPUT,
        ),
        draw=_two_layers,
        by_hand=_collapse_by_hand,
        library=_collapse_torch,
    ),
    Equation(
        label="eq-foundations-softmax",
        symbols=(PROBABILITY, LOGIT, VOCABULARY),
        draw=_choice,
        by_hand=_softmax_by_hand,
        library=_softmax_torch,
    ),
    Equation(
        label="eq-foundations-loss",
        symbols=(LOSS, Symbol("p_y", "probability of the word that came")),
        draw=_choice,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
    Equation(
        label="eq-foundations-perplexity",
        symbols=(
            Symbol(r"\mathrm{PPL}", "perplexity"),
            Symbol("T", "number of words of the text"),
            Symbol(r"\ell_t", "loss at word $t$, in nats"),
        ),
        draw=lambda g: {"nats": -distribution(g, 6).log()},
        by_hand=_perplexity_by_hand,
        library=_perplexity_torch,
    ),
)
