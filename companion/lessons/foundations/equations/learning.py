"""Equations of ``book/concepts/foundations.ipynb``: gradients, a first network, word vectors."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.foundations.equations.network import LOGIT, LOSS, PROBABILITY, _choice
from companion.lessons.random_inputs import between, normal, randomised, tokens, whole
from companion.models.baselines import FeedForwardLM, FeedForwardLMConfig
from companion.models.word_vectors import SkipGram, positive_pmi
from companion.nn.autograd import Value


def _gradient_by_hand(z: Tensor, y: int) -> Tensor:
    total = sum(math.exp(float(one)) for one in z)
    return torch.tensor([math.exp(float(z[i])) / total - (1.0 if i == y else 0.0) for i in range(len(z))])


def _gradient_companion(z: Tensor, y: int) -> Tensor:
    logits = [Value(float(one)) for one in z]
    (sum((one.exp() for one in logits), start=Value(0.0)).log() - logits[y]).backward()
    return torch.tensor([one.grad for one in logits])


def _gradient_torch(z: Tensor, y: int) -> Tensor:
    z = z.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(z, torch.tensor(y)), z)[0]


def _step_by_hand(theta: Tensor, gradient: Tensor, eta: float) -> Tensor:
    return torch.tensor([float(theta[i]) - eta * float(gradient[i]) for i in range(len(theta))])


def _step_torch(theta: Tensor, gradient: Tensor, eta: float) -> Tensor:
    parameter = nn.Parameter(theta.clone())
    parameter.grad = gradient.clone()
    torch.optim.SGD([parameter], lr=eta).step()
    return parameter.detach()


def _chain_by_hand(a: float) -> float:
    first, second = a * a, math.tanh(a)  # both are made from a; the loss is their product
    return second * (2 * a) + first * (1 - second**2)


def _chain_companion(a: float) -> float:
    value = Value(a)
    (value * value * value.tanh()).backward()
    return value.grad


def _chain_torch(a: float) -> Tensor:
    x = torch.tensor(a, requires_grad=True)
    return torch.autograd.grad(x * x * x.tanh(), x)[0]


def _network(g: Generator) -> dict[str, Any]:
    config = FeedForwardLMConfig(vocab_size=5, order=3, d_model=2, d_hidden=3)
    return {"x": tokens(g, 5, 2), "model": randomised(FeedForwardLM(config), g)}


def _network_by_hand(x: Tensor, model: FeedForwardLM) -> Tensor:
    joined = [float(one) for i in x.tolist() for one in model.token_embedding.weight[i]]
    hidden = []
    for row, bias in zip(model.hidden.weight, model.hidden.bias, strict=True):
        hidden.append(math.tanh(float(bias) + sum(float(w) * e for w, e in zip(row, joined, strict=True))))
    rows = zip(model.output.weight, model.output.bias, strict=True)
    return torch.tensor([float(b) + sum(float(w) * h for w, h in zip(row, hidden, strict=True)) for row, b in rows])


def _network_companion(x: Tensor, model: FeedForwardLM) -> Tensor:
    logits: Tensor = model(x[None])
    return logits[0, -1]


def _network_torch(x: Tensor, model: FeedForwardLM) -> Tensor:
    joined = F.embedding(x, model.token_embedding.weight).flatten()
    hidden = F.linear(joined, model.hidden.weight, model.hidden.bias).tanh()
    return F.linear(hidden, model.output.weight, model.output.bias)


def _pair(g: Generator) -> dict[str, Any]:
    model = randomised(SkipGram(vocab_size=6, d_model=3, seed=0, negatives=5), g)
    return {"w": whole(g, 0, 5), "c": whole(g, 0, 5), "noise": tokens(g, 6, 4), "model": model}


def _skip_gram_by_hand(w: int, c: int, noise: Tensor, model: SkipGram) -> float:
    def log_sigmoid(z: float) -> float:
        return -math.log(1 + math.exp(-z))

    u, v = model.word[w], model.context
    negatives = [log_sigmoid(-sum(float(a * b) for a, b in zip(u, v[n], strict=True))) for n in noise.tolist()]
    positive = log_sigmoid(sum(float(a * b) for a, b in zip(u, v[c], strict=True)))
    return -positive - model.negatives / len(negatives) * sum(negatives)


def _skip_gram_companion(w: int, c: int, noise: Tensor, model: SkipGram) -> Tensor:
    loss: Tensor = model(torch.tensor([w]), torch.tensor([c]), noise)
    return loss


def _skip_gram_torch(w: int, c: int, noise: Tensor, model: SkipGram) -> Tensor:
    logits = F.linear(model.context[torch.cat([torch.tensor([c]), noise])], model.word[w][None])[:, 0]
    targets = torch.zeros_like(logits).index_fill(0, torch.tensor([0]), 1.0)
    weights = torch.full_like(logits, model.negatives / len(noise)).index_fill(0, torch.tensor([0]), 1.0)
    return F.binary_cross_entropy_with_logits(logits, targets, weights, reduction="sum")


def _pmi_by_hand(counts: Tensor) -> Tensor:
    total, n = float(counts.sum()), len(counts)
    table = torch.zeros(n, n)
    for w in range(n):
        for c in range(n):
            p_w, p_c = float(counts[w].sum()) / total, float(counts[:, c].sum()) / total
            table[w, c] = max(0.0, math.log(float(counts[w, c]) / total / (p_w * p_c)))
    return table


def _pmi_companion(counts: Tensor) -> Tensor:
    return positive_pmi(counts)


def _pmi_torch(counts: Tensor) -> Tensor:
    p = counts / counts.sum()
    return F.relu(p.log() - torch.outer(p.sum(1), p.sum(0)).log())


EQUATIONS = (
    Equation(
        label="eq-foundations-gradient",
        symbols=(LOSS, LOGIT, PROBABILITY, Symbol("y_i", "1 for the word that came, else 0")),
        draw=_choice,
        by_hand=_gradient_by_hand,
        companion=_gradient_companion,
        library=_gradient_torch,
    ),
    Equation(
        label="eq-foundations-descent",
        symbols=(Symbol(r"\theta", "parameter"), Symbol(r"\eta", "learning rate"), LOSS),
        draw=lambda g: {"theta": normal(g, 3), "gradient": normal(g, 3), "eta": between(g, 0.01, 1.0)},
        by_hand=_step_by_hand,
        library=_step_torch,
    ),
    Equation(
        label="eq-foundations-chain-rule",
        symbols=(
            LOSS,
            Symbol("a", "number of the graph"),
            Symbol("c", "number that was made from $a$ in one step"),
        ),
        draw=lambda g: {"a": between(g, -1.5, 1.5)},
        by_hand=_chain_by_hand,
        companion=_chain_companion,
        library=_chain_torch,
    ),
    Equation(
        label="eq-foundations-network",
        symbols=(
            Symbol("z", "logits of the next word", "V"),
            Symbol("E_{x_1}, E_{x_2}", "embeddings of the two words before", "d_e"),
            Symbol("H, d", "weights and biases of the hidden layer", r"h \times 2 d_e,\; h"),
            Symbol("U, b", "weights and biases of the output layer", r"V \times h,\; V"),
        ),
        draw=_network,
        by_hand=_network_by_hand,
        companion=_network_companion,
        library=_network_torch,
    ),
    Equation(
        label="eq-foundations-skip-gram",
        symbols=(
            LOSS,
            Symbol(r"\sigma", "sigmoid"),
            Symbol("u_w", "vector of word $w$", "d"),
            Symbol("v_c", "vector of $c$ as a neighbour", "d"),
            Symbol("k", "weight of the negatives"),
            Symbol("m", "number of negatives that are drawn"),
            Symbol("v_{n_j}", "vector of negative $j$ as a neighbour", "d"),
        ),
        draw=_pair,
        by_hand=_skip_gram_by_hand,
        companion=_skip_gram_companion,
        library=_skip_gram_torch,
    ),
    Equation(
        label="eq-foundations-pmi",
        symbols=(
            Symbol(r"\mathrm{PPMI}(w, c)", "positive pointwise mutual information of $w$ and $c$"),
            Symbol("p(w, c)", "fraction of all pairs that are $w$ with neighbour $c$"),
            Symbol("p(w)", "fraction of all pairs that begin with $w$"),
            Symbol("p(c)", "fraction of all pairs that end with $c$"),
        ),
        draw=lambda g: {"counts": normal(g, 4, 4).abs() + 0.1},
        by_hand=_pmi_by_hand,
        companion=_pmi_companion,
        library=_pmi_torch,
    ),
)
