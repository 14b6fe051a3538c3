"""Equations of ``book/concepts/language_model.ipynb``."""

import math
from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.distributions import Categorical, kl_divergence

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, randomised, tokens, whole
from companion.lessons.tiny_worlds import Table, started, texts
from companion.metrics.language_model import excess_nll, token_nll
from companion.models.baselines import RNN, FeedForwardLM, FeedForwardLMConfig, NGram, NGramConfig, RNNConfig
from companion.models.baselines.recurrent import ElmanLayer, LSTMLayer

TOKEN = Symbol("x_t", "token $t$ of the text, counted from 1")
BEFORE = Symbol("x_{<t}", "all tokens before it")
HISTORY = Symbol("h", "context: the last $n - 1$ tokens", "n - 1")
COUNT = Symbol("c(hw)", "count of $h$ followed by $w$")


def _chain_rule_by_hand(x: Tensor, joint: Tensor) -> float:
    product = 1.0
    for t in range(len(x)):
        with_t, before_t = joint[tuple(x[: t + 1])].sum(), joint[tuple(x[:t])].sum()  # over all endings
        product *= float(with_t / before_t)
    return product


def _chain_rule_companion(x: Tensor, joint: Tensor) -> Tensor:
    return torch.exp(-token_nll(Table(joint), started(x))).prod()


def _chain_rule_torch(x: Tensor, joint: Tensor) -> Tensor:
    number = sum(int(token) * stride for token, stride in zip(x, joint.stride(), strict=True))
    return by_torch.log_prob(joint.flatten().log(), torch.tensor(number)).exp()


def _ngram_by_hand(text: Tensor, h: Tensor, k: float) -> Tensor:
    c = [sum(text[i : i + 3].tolist() == [*h.tolist(), w] for i in range(len(text) - 2)) for w in range(4)]
    return torch.tensor([c[w] / sum(c) for w in range(4)])


def _ngram_torch(text: Tensor, h: Tensor, k: float) -> Tensor:
    codes = text.unfold(0, 3, 1) @ torch.tensor([16, 4, 1])  # a number for each run of three
    counts = torch.bincount(codes, minlength=64).view(16, 4)[h @ torch.tensor([4, 1])]
    return F.normalize(counts.double(), p=1.0, dim=0)


def _add_k_by_hand(text: Tensor, h: Tensor, k: float) -> Tensor:
    c = [sum(text[i : i + 3].tolist() == [*h.tolist(), w] for i in range(len(text) - 2)) for w in range(4)]
    return torch.tensor([(c[w] + k) / (sum(c) + k * 4) for w in range(4)])


def _add_k_companion(text: Tensor, h: Tensor, k: float) -> Tensor:
    log_probs: Tensor = NGram(NGramConfig(4, 3, "add-k", add_k=k)).count(text[None])(h[None])[0, -1]
    return log_probs.exp()


def _add_k_torch(text: Tensor, h: Tensor, k: float) -> Tensor:
    one_hot = F.one_hot(text, 4).double()
    counts = torch.einsum("ta,tb,tc->abc", one_hot[:-2], one_hot[1:-1], one_hot[2:])
    mean: Tensor = torch.distributions.Dirichlet(counts[h[0], h[1]] + k).mean  # add-k is the mean of this posterior
    return mean


def _kneser_ney_by_hand(text: Tensor, h: Tensor, k: float) -> Tensor:
    words, p = text.tolist(), [1 / 4] * 4  # at the end of the descent stands 1 / V
    for n in (1, 2, 3):
        runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        if n < 3:  # how many different words stand before it; the text's first run has none, and counts
            before = {(words[i - 1], *runs[i]) for i in range(1, len(runs))}
            runs = [run[1:] for run in before] + ([runs[0]] if n > 1 else [])
        c = Counter(runs)
        once, twice = (sum(count == times for count in c.values()) for times in (1, 2))
        d = (once + 1) / (once + 2 * twice + 2)
        history = tuple(h.tolist()[len(h) - n + 1 :])
        total = sum(c[(*history, v)] for v in range(4))
        kinds = sum(c[(*history, v)] > 0 for v in range(4))
        p = [max(c[(*history, w)] - d, 0) / total + d * kinds / total * p[w] for w in range(4)]
    return torch.tensor(p)


def _kneser_ney_companion(text: Tensor, h: Tensor, k: float) -> Tensor:
    log_probs: Tensor = NGram(NGramConfig(4, 3)).count(text[None])(h[None])[0, -1]
    return log_probs.exp()


def _kneser_ney_torch(text: Tensor, h: Tensor, k: float) -> Tensor:
    one_hot = F.one_hot(text, 4).double()
    three = torch.einsum("ta,tb,tc->abc", one_hot[:-2], one_hot[1:-1], one_hot[2:])
    two = (three > 0).double().sum(0)
    two[text[0], text[1]] += 1
    one = (torch.einsum("ta,tb->ab", one_hot[:-1], one_hot[1:]) > 0).double().sum(0)
    p = torch.full((4,), 0.25)
    for counts, row in ((one, one), (two, two[h[1]]), (three, three[h[0], h[1]])):
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        discount = (once + 1) / (once + 2 * twice + 2)
        taken = torch.minimum(row, discount)
        p = (row - taken + taken.sum() * p) / row.sum()  # what is taken is what is spent
    return p


def _counted(g: Generator) -> dict[str, Any]:
    text = tokens(g, 4, 60)
    place = whole(g, 0, 55)
    return {"text": text, "h": text[place : place + 2], "k": between(g, 0.01, 2.0)}


def _two_processes(g: Generator) -> dict[str, Any]:
    times = tokens(g, 4, 9) + 1  # how often each text of two tokens comes, so that p is known exactly
    return {"times": times, "p": (times / times.sum()).view(3, 3), "q": distribution(g, 9).view(3, 3)}


def _excess_by_hand(times: Tensor, p: Tensor, q: Tensor) -> tuple[float, float]:
    cross = floor = divergence = 0.0
    for x in texts(3, 2):
        for t in range(2):  # a mean over the texts of p, and over their tokens
            p_t, q_t = (float(r[x[: t + 1]].sum() / r[x[:t]].sum()) for r in (p, q))
            cross -= float(p[x]) * math.log(q_t) / 2
            floor -= float(p[x]) * math.log(p_t) / 2
            divergence += float(p[x]) * math.log(p_t / q_t) / 2
    return cross - floor, divergence


def _excess_companion(times: Tensor, p: Tensor, q: Tensor) -> tuple[float, float]:
    told = torch.tensor(texts(3, 2)).repeat_interleave(times, 0)
    rows = torch.cat([torch.zeros(len(told), 1).long(), told], dim=1)
    exact = [(-token_nll(Table(p), row[None])[0]).tolist() for row in rows]
    gap = excess_nll(Table(q), rows, exact).value
    return gap, gap


def _excess_torch(times: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    of_p, of_q = Categorical(p.flatten()), Categorical(q.flatten())
    cross = -(of_p.probs * by_torch.log_prob(of_q.logits, torch.arange(9))).sum()
    return (cross - by_torch.entropy(of_p.probs)) / 2, kl_divergence(of_p, of_q) / 2


VECTOR = Symbol("e(x)", "embedding of token $x$: a row of a learned table", "d")
LOGITS = Symbol("z_t", "logits for token $t$", "V")
STATE = Symbol("s_t", "hidden state after token $t$", "d_h")
PRODUCT = Symbol(r"\odot", "elementwise product")


def _feed_forward_by_hand(x: Tensor, model: Any) -> tuple[Tensor, Tensor]:
    e, n = model.token_embedding.weight, model.config.order
    u = [float(number) for token in x[len(x) - n + 1 :] for number in e[token]]  # side by side
    a, h = model.hidden.bias, model.hidden.weight
    inner = [math.tanh(a[i] + sum(h[i, j] * u[j] for j in range(len(u)))) for i in range(len(a))]
    b, big_u = model.output.bias, model.output.weight
    z = torch.stack([b[w] + sum(big_u[w, i] * inner[i] for i in range(len(inner))) for w in range(len(b))])
    return z, by_hand.softmax(z)


def _feed_forward_companion(x: Tensor, model: Any) -> tuple[Tensor, Tensor]:
    z = model(x[None])[0, -1]
    return z, z.softmax(-1)


def _feed_forward_torch(x: Tensor, model: Any) -> tuple[Tensor, Tensor]:
    window = F.embedding(x[1 - model.config.order :], model.token_embedding.weight).flatten()
    inner = F.tanh(F.linear(window, model.hidden.weight, model.hidden.bias))
    z = F.linear(inner, model.output.weight, model.output.bias)
    return z, Categorical(logits=z).probs


def _elman_by_hand(x: Tensor, model: Any) -> tuple[Tensor, Tensor]:
    e, layer = model.token_embedding.weight, model.blocks[0]
    w, u, b = layer.input.weight, layer.recurrent.weight, layer.input.bias
    s, states, logits = torch.zeros(len(b)), [], []
    for token in x:
        s = torch.tensor([math.tanh(w[i] @ e[token] + u[i] @ s + b[i]) for i in range(len(b))])
        states.append(s)
        logits.append(model.output.weight @ s + model.output.bias)  # of the next token
    return torch.stack(states), torch.stack(logits)


def _elman_companion(x: Tensor, model: Any) -> tuple[Tensor, Tensor]:
    return model.blocks[0](model.token_embedding(x[None]))[0], model(x[None])[0]


def _elman_torch(x: Tensor, model: Any) -> tuple[Tensor, Tensor]:
    layer = model.blocks[0]
    looked_up, d_h = F.embedding(x, model.token_embedding.weight), layer.recurrent.weight.size(0)
    rnn = nn.RNN(looked_up.size(1), d_h)
    for name, value in (("weight_ih_l0", layer.input.weight), ("weight_hh_l0", layer.recurrent.weight)):
        rnn.get_parameter(name).data = value
    rnn.bias_ih_l0.data, rnn.bias_hh_l0.data = layer.input.bias, torch.zeros(d_h)
    states = rnn(looked_up)[0]
    return states, F.linear(states, model.output.weight, model.output.bias)


def _carried(g: Generator) -> dict[str, Any]:
    layer = randomised(ElmanLayer(3, 3), g)
    layer.input.weight.copy_(torch.eye(3))  # so that a step's input is added to U s as it is
    k = whole(g, 1, 4)
    x = normal(g, 6, 3)
    return {"x": x, "states": layer(x[None])[0], "k": k, "layer": layer}


def _vanishing_by_hand(x: Tensor, states: Tensor, k: int, layer: ElmanLayer) -> Tensor:
    product, t = torch.eye(3), len(x) - 1  # counted from 0
    for i in range(t, t - k, -1):  # the factor of the last step stands on the left
        diagonal = torch.zeros(3, 3)
        for c in range(3):
            diagonal[c, c] = 1 - states[i, c] ** 2
        product = product @ diagonal @ layer.recurrent.weight
    return product


def _vanishing_companion(x: Tensor, states: Tensor, k: int, layer: ElmanLayer) -> Tensor:
    derivative = by_torch.jacobian(lambda inputs: layer(inputs[None])[0, -1], x)  # (d_h, steps, d_h)
    return derivative[:, len(x) - k] @ layer.recurrent.weight  # s_(t-k) comes in through U, one step later


def _vanishing_torch(x: Tensor, states: Tensor, k: int, layer: ElmanLayer) -> Tensor:
    def last(state: Tensor) -> Tensor:
        for step in x[len(x) - k :]:
            weights = (layer.input.weight, layer.recurrent.weight, layer.input.bias, torch.zeros(3))
            state = torch.rnn_tanh_cell(step[None], state[None], *weights)[0]
        return state

    return by_torch.jacobian(last, states[len(x) - 1 - k])


def _lstm_by_hand(x: Tensor, layer: LSTMLayer) -> tuple[Tensor, Tensor]:
    d_h = layer.recurrent.in_features
    w, u, b = layer.input.weight, layer.recurrent.weight, layer.input.bias
    s, c, states = torch.zeros(d_h), torch.zeros(d_h), []
    for e in x:
        sums = w @ e + u @ s + b  # in the order i, f, g, o
        i, f, o = (1 / (1 + torch.exp(-sums[k * d_h : (k + 1) * d_h])) for k in (0, 1, 3))
        g = torch.tensor([math.tanh(value) for value in sums[2 * d_h : 3 * d_h]])
        c = f * c + i * g
        s = o * torch.tensor([math.tanh(value) for value in c])
        states.append(s)
    return torch.stack(states), c


def _lstm_companion(x: Tensor, layer: LSTMLayer) -> tuple[Tensor, Tensor]:
    states, history = layer.by_hand(x[None])
    return states[0], history["cell"][0, -1]


def _lstm_torch(x: Tensor, layer: LSTMLayer) -> tuple[Tensor, Tensor]:
    d_h = layer.recurrent.in_features
    lstm = nn.LSTM(x.size(1), d_h)
    for name, value in (("weight_ih_l0", layer.input.weight), ("weight_hh_l0", layer.recurrent.weight)):
        lstm.get_parameter(name).data = value.data
    lstm.bias_ih_l0.data, lstm.bias_hh_l0.data = layer.input.bias.data, torch.zeros(4 * d_h)
    states, (_, cell) = lstm(x)
    return states, cell[0]


CHAIN_RULE = Equation(
    label="eq-language_model-chain-rule",
    symbols=(
        Symbol("p(x_1, \\dots, x_n)", "probability of the whole text"),
        TOKEN,
        Symbol("p(x_t \\mid x_1, \\dots, x_{t-1})", "probability of a token, given all before it"),
    ),
    draw=lambda g: {"x": tokens(g, 3, 4), "joint": distribution(g, 3**4).view(3, 3, 3, 3)},
    by_hand=_chain_rule_by_hand,
    companion=_chain_rule_companion,
    library=_chain_rule_torch,
)

EQUATIONS = (
    CHAIN_RULE,
    Equation(
        label="eq-language_model-ngram",
        symbols=(TOKEN, BEFORE, HISTORY, Symbol("w, v", "tokens of the vocabulary"), COUNT),
        draw=_counted,
        by_hand=_ngram_by_hand,
        library=_ngram_torch,
    ),
    Equation(
        label="eq-language_model-add-k",
        symbols=(
            HISTORY,
            Symbol("w, v", "tokens of the vocabulary"),
            COUNT,
            Symbol("k", "smoothing constant: what is added to each count"),
            Symbol("V", "vocabulary size"),
        ),
        draw=_counted,
        by_hand=_add_k_by_hand,
        companion=_add_k_companion,
        library=_add_k_torch,
    ),
    Equation(
        label="eq-language_model-kneser-ney",
        symbols=(
            HISTORY,
            Symbol("h'", "$h$ without its first token"),
            COUNT,
            Symbol("D", "discount: what is taken off each count that is not 0"),
            Symbol("N(h)", "number of different tokens that followed $h$"),
        ),
        draw=_counted,
        by_hand=_kneser_ney_by_hand,
        companion=_kneser_ney_companion,
        library=_kneser_ney_torch,
    ),
    Equation(
        label="eq-language_model-excess-nll",
        symbols=(
            Symbol(r"\mathbb{E}", "expectation over the texts of the source, and mean over their tokens"),
            Symbol("p", "probability under the source: the true distribution"),
            Symbol("q", "probability under the model"),
            TOKEN,
            BEFORE,
        ),
        draw=_two_processes,
        by_hand=_excess_by_hand,
        companion=_excess_companion,
        library=_excess_torch,
    ),
    Equation(
        label="eq-language_model-feed-forward",
        symbols=(
            VECTOR,
            Symbol("u_t", "embeddings of the last $n - 1$ tokens, concatenated", "(n-1)d"),
            Symbol("a, H", "bias and weight matrix of the hidden layer; learned", r"d_h,\; d_h \times (n-1)d"),
            Symbol("b, U", "bias and weight matrix of the output layer; learned", r"V,\; V \times d_h"),
            LOGITS,
        ),
        draw=lambda g: {"x": tokens(g, 5, 6), "model": randomised(FeedForwardLM(FeedForwardLMConfig(5, 4, 3, 4)), g)},
        by_hand=_feed_forward_by_hand,
        companion=_feed_forward_companion,
        library=_feed_forward_torch,
    ),
    Equation(
        label="eq-language_model-elman",
        symbols=(
            STATE,
            VECTOR,
            Symbol("W, b", "input weight matrix and bias", r"d_h \times d,\; d_h"),
            Symbol("U", "recurrent weight matrix", r"d_h \times d_h"),
            LOGITS,
            Symbol("C, c", "weight matrix and bias of the output layer", r"V \times d_h,\; V"),
        ),
        draw=lambda g: {"x": tokens(g, 5, 6), "model": randomised(RNN(RNNConfig(5, 3, 4)), g)},
        by_hand=_elman_by_hand,
        companion=_elman_companion,
        library=_elman_torch,
    ),
    Equation(
        label="eq-language_model-vanishing",
        symbols=(
            STATE,
            Symbol("k", "number of steps that the gradient travels back"),
            Symbol(r"\operatorname{diag}", "diagonal matrix with these entries", r"d_h \times d_h"),
            Symbol("U", "recurrent weight matrix", r"d_h \times d_h"),
        ),
        draw=_carried,
        by_hand=_vanishing_by_hand,
        companion=_vanishing_companion,
        library=_vanishing_torch,
    ),
    Equation(
        label="eq-language_model-lstm",
        symbols=(
            Symbol("i_t, f_t, o_t", "input, forget and output gate: what is written, kept and shown", "d_h"),
            Symbol("g_t", "candidate: what would be written", "d_h"),
            Symbol("c_t", "cell state after token $t$", "d_h"),
            STATE,
            VECTOR,
            Symbol("W_{i,f,o}, W_g", "input weight matrices", r"d_h \times d"),
            Symbol("U_{i,f,o}, U_g", "recurrent weight matrices", r"d_h \times d_h"),
            Symbol("b_{i,f,o}, b_g", "biases", "d_h"),
            Symbol(r"\sigma", "logistic function, elementwise"),
            PRODUCT,
        ),
        draw=lambda g: {"x": normal(g, 5, 3), "layer": randomised(LSTMLayer(3, 4), g)},
        by_hand=_lstm_by_hand,
        companion=_lstm_companion,
        library=_lstm_torch,
    ),
)
