"""Equations of ``book/concepts/foundations.ipynb``."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, randomised, tokens, whole
from companion.models.baselines import FeedForwardLM, FeedForwardLMConfig
from companion.models.word_vectors import SkipGram, positive_pmi
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


def _perplexity_by_hand(nats: Tensor) -> float:
    return math.exp(sum(float(one) for one in nats) / len(nats))


def _perplexity_torch(nats: Tensor) -> Tensor:
    return nats.mean().exp()


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
