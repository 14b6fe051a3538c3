"""Equations of ``book/algorithms/gpt.ipynb``."""

import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.generation.beam_search import BeamSearch, beam_search
from companion.generation.decoding import DecodingState
from companion.generation.sampling import next_token_probabilities
from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.language_model.equations.counts import CHAIN_RULE
from companion.lessons.random_inputs import between, normal, randomised, tokens, whole
from companion.lessons.tiny_worlds import started, texts
from companion.losses import causal_loss
from companion.models.gpt import GPT, GPTConfig
from companion.nn.feed_forward import FeedForward
from companion.nn.mixture_of_experts import active_parameters

TOKEN = Symbol("x_t", "token $t$ of the text, counted from 1")
LENGTH = Symbol("n", "number of tokens in the text")
WIDTH = Symbol("d", "width of the residual stream, `d_model`")


def _gpt(g: Generator) -> Any:
    config = GPTConfig(vocab_size=5, context_length=6, n_layers=2, n_heads=2, d_model=4)
    return randomised(GPT(config), g)


def _text(g: Generator) -> dict[str, Any]:
    x, model = tokens(g, 5, 4), _gpt(g)
    z = torch.stack([model(started(x)[:, : t + 1])[0, -1] for t in range(len(x))])  # row t: from x_<t and no more
    return {"x": x, "z": z, "model": model}


def _loss_by_hand(x: Tensor, z: Tensor, model: Any) -> float:
    n, vocab_size = z.shape
    total = 0.0
    for t in range(n):
        total += math.log(math.exp(z[t, x[t]]) / sum(math.exp(z[t, w]) for w in range(vocab_size)))
    return -total / n


def _loss_companion(x: Tensor, z: Tensor, model: Any) -> Tensor:
    return causal_loss(model, started(x))  # all positions in one pass


def _loss_torch(x: Tensor, z: Tensor, model: Any) -> Tensor:
    return -by_torch.log_prob(z, x).mean()


def _forward_by_hand(x: Tensor, model: Any) -> Tensor:
    e, p = model.token_embedding.weight, model.position_embedding.weight
    h = torch.stack([e[x[t]] + p[t] for t in range(len(x))])
    for block in model.blocks:
        read = by_hand.layer_norm(h, block.attention_norm)
        u = h + by_hand.multi_head_attention(read, read, block.attention, causal=True)
        wide = by_hand.linear(by_hand.layer_norm(u, block.feed_forward_norm), block.feed_forward.expand)
        h = u + by_hand.linear(by_hand.gelu(wide), block.feed_forward.contract)
    logits: Tensor = by_hand.layer_norm(h, model.final_norm) @ e.T
    return logits


def _forward_companion(x: Tensor, model: Any) -> Tensor:
    logits: Tensor = model(x[None])[0]
    return logits


def _forward_torch(x: Tensor, model: Any) -> Tensor:
    h = F.embedding(x, model.token_embedding.weight) + model.position_embedding.weight[: len(x)]
    for block in model.blocks:
        read = by_torch.layer_norm(h, block.attention_norm)
        h = h + by_torch.multi_head_attention(read, read, block.attention, causal=True)
        wide = by_torch.linear(by_torch.layer_norm(h, block.feed_forward_norm), block.feed_forward.expand)
        h = h + by_torch.linear(F.gelu(wide, approximate="tanh"), block.feed_forward.contract)
    return F.linear(by_torch.layer_norm(h, model.final_norm), model.token_embedding.weight)


def _ffn_by_hand(x: Tensor, layer: FeedForward) -> Tensor:
    w_1, b_1, w_2, b_2 = layer.expand.weight.T, layer.expand.bias, layer.contract.weight.T, layer.contract.bias
    wide = x @ w_1 + b_1
    gelu = 0.5 * wide * (1 + torch.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    return gelu @ w_2 + b_2


def _ffn_companion(x: Tensor, layer: FeedForward) -> Tensor:
    output: Tensor = layer(x)
    return output


def _ffn_torch(x: Tensor, layer: FeedForward) -> Tensor:
    return by_torch.linear(F.gelu(by_torch.linear(x, layer.expand), approximate="tanh"), layer.contract)


def _parameters_by_hand(v: int, n_max: int, layers: int, d: int) -> int:
    return v * d + n_max * d + layers * (12 * d**2 + 13 * d) + 2 * d


def _parameters_companion(v: int, n_max: int, layers: int, d: int) -> int:
    model = GPT(GPTConfig(vocab_size=v, context_length=n_max, n_layers=layers, n_heads=1, d_model=d))
    return active_parameters(model)


def _parameters_torch(v: int, n_max: int, layers: int, d: int) -> int:
    blocks = [nn.TransformerEncoderLayer(d, 1, 4 * d) for _ in range(layers)]
    parts = (nn.Embedding(v, d), nn.Embedding(n_max, d), *blocks, nn.LayerNorm(d))
    return sum(p.numel() for part in parts for p in part.parameters())


def _temperature_by_hand(z: Tensor, t: float) -> Tensor:
    total = sum(math.exp(z_j / t) for z_j in z)
    return torch.tensor([math.exp(z_i / t) / total for z_i in z])


def _temperature_companion(z: Tensor, t: float) -> Tensor:
    return next_token_probabilities(z, temperature=t)


def _temperature_torch(z: Tensor, t: float) -> Tensor:
    return F.softmax(z / t, dim=-1)


def _beam_inputs(g: Generator) -> dict[str, Any]:
    config = GPTConfig(vocab_size=3, context_length=6, n_layers=1, n_heads=2, d_model=4)
    model = randomised(GPT(config), g)
    prompt, longest = tokens(g, 3, 2), 3
    known = {
        y: [model(torch.cat([prompt, torch.tensor(y[:t]).long()])[None])[0, -1] for t in range(longest)]
        for y in texts(3, longest)
    }
    return {"prompt": prompt, "known": known, "alpha": between(g, 0.0, 2.0), "model": model}


def _beam_by_hand(prompt: Tensor, known: dict[tuple[int, ...], list[Tensor]], alpha: float, model: Any) -> float:
    scores = []
    for y, logits in known.items():  # every text that could be written; token 0 ends it
        length = y.index(0) + 1 if 0 in y else len(y)
        log_p = 0.0
        for t in range(length):
            log_p += math.log(math.exp(logits[t][y[t]]) / sum(math.exp(z) for z in logits[t]))
        scores.append(log_p / math.pow(length, alpha))
    return max(scores)


def _beam_companion(prompt: Tensor, known: dict[tuple[int, ...], list[Tensor]], alpha: float, model: Any) -> Tensor:
    search = BeamSearch(beams=9, length_penalty=alpha)  # enough beams for every text
    _ids, score = beam_search(DecodingState(model, prompt[None]), 3, search, stop=0)
    return score[0]


def _beam_torch(prompt: Tensor, known: dict[tuple[int, ...], list[Tensor]], alpha: float, model: Any) -> Tensor:
    y = torch.tensor(list(known))
    log_probs = by_torch.log_prob(torch.stack([torch.stack(z) for z in known.values()]), y)
    written = F.pad((y == 0).cumsum(1)[:, :-1], (1, 0)) == 0  # up to the token that ends the text
    return ((log_probs * written).sum(1) / written.sum(1) ** alpha).max()


EQUATIONS = (
    replace(
        CHAIN_RULE,
        label="eq-gpt-chain-rule",
        symbols=(
            Symbol("p(x_1, \\dots, x_n)", "probability of the whole text"),
            TOKEN,
            LENGTH,
            Symbol("p(x_t \\mid x_1, \\dots, x_{t-1})", "probability of a token, given all before it"),
        ),
    ),
    Equation(
        label="eq-gpt-loss",
        symbols=(
            Symbol(r"\mathcal{L}(\theta)", "loss, in nats"),
            LENGTH,
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            TOKEN,
            Symbol("x_{<t}", "all tokens before it"),
        ),
        draw=_text,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
    Equation(
        label="eq-gpt-forward",
        symbols=(
            Symbol(
                r"h^{\ell}", r"residual stream after block $\ell$ of $L$; $h^{\ell}_t$ at position $t$", r"n \times d"
            ),
            Symbol("E", "token embedding; $E_x$ is the row of token $x$", r"V \times d"),
            Symbol("P", "position embedding; $P_t$ is the row of position $t$", r"n_{\max} \times d"),
            Symbol(r"u^{\ell}", "residual stream between attention and the feed-forward network", r"n \times d"),
            Symbol(r"\mathrm{LN}", "layer norm of each position"),
            Symbol("z", "logits", r"n \times V"),
        ),
        draw=lambda g: {"x": tokens(g, 5, 5), "model": _gpt(g)},
        by_hand=_forward_by_hand,
        companion=_forward_companion,
        library=_forward_torch,
    ),
    Equation(
        label="eq-gpt-ffn",
        symbols=(
            Symbol("x", "input, one row per position", r"n \times d"),
            Symbol(
                "W_1, b_1",
                "weight matrix and bias of the first layer, which widens",
                r"d \times d_{\mathrm{ff}},\; d_{\mathrm{ff}}",
            ),
            Symbol(
                "W_2, b_2",
                "weight matrix and bias of the second layer, which narrows again",
                r"d_{\mathrm{ff}} \times d,\; d",
            ),
            Symbol(r"\mathrm{GELU}", "activation, elementwise, in GPT-2's form with tanh"),
        ),
        draw=lambda g: {"x": normal(g, 3, 4), "layer": randomised(FeedForward(4, 16, "gelu_new"), g)},
        by_hand=_ffn_by_hand,
        companion=_ffn_companion,
        library=_ffn_torch,
    ),
    Equation(
        label="eq-gpt-parameters",
        symbols=(
            Symbol("N", "number of parameters"),
            Symbol("V", "vocabulary size"),
            WIDTH,
            Symbol(r"n_{\max}", "context length, `context_length`"),
            Symbol("L", "number of layers (blocks), `n_layers`"),
        ),
        draw=lambda g: {
            "v": whole(g, 1, 50),
            "n_max": whole(g, 1, 20),
            "layers": whole(g, 1, 3),
            "d": 2 * whole(g, 1, 8),
        },
        by_hand=_parameters_by_hand,
        companion=_parameters_companion,
        library=_parameters_torch,
    ),
    Equation(
        label="eq-gpt-temperature",
        symbols=(
            Symbol("p_i", "probability of token $i$"),
            Symbol("z_i", "its logit"),
            Symbol("T", "temperature, above 0"),
        ),
        draw=lambda g: {"z": normal(g, 7), "t": between(g, 0.3, 3.0)},
        by_hand=_temperature_by_hand,
        companion=_temperature_companion,
        library=_temperature_torch,
    ),
    Equation(
        label="eq-gpt-beam",
        symbols=(
            Symbol("y", "generated text"),
            Symbol("x", "the prompt"),
            Symbol("|y|", "number of generated tokens"),
            Symbol(r"\alpha", "length penalty"),
        ),
        draw=_beam_inputs,
        by_hand=_beam_by_hand,
        companion=_beam_companion,
        library=_beam_torch,
    ),
)
