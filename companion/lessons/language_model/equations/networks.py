"""Equations of ``book/concepts/language_model.ipynb``: networks that read word by word."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.distributions import Categorical

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, tokens, whole
from companion.models.baselines import RNN, FeedForwardLM, FeedForwardLMConfig, RNNConfig
from companion.models.baselines.recurrent import ElmanLayer, LSTMLayer

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


EQUATIONS = (
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
