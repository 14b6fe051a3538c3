"""The equations of ``book/concepts/transformer.ipynb`` about the parts of the model."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.equations.byhand import attended, normed, rectified
from companion.equations.bytorch import attend, linear, norm, relu_network
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import normal, randomised, tokens, whole
from companion.gpt import Block, GPTConfig
from companion.positions import sinusoidal_positions
from companion.transformer import EncoderBlock, FeedForward, Transformer, TransformerConfig

WIDTH = Symbol("d", "width of the stream, `d_model`")
STREAM = Symbol("h", "the stream: one vector for each position", r"n \times d")
NORM = Symbol(r"\mathrm{LN}", "layer norm of each position")
SIZES = {"vocab_size": 7, "context_length": 6, "n_layers": 2, "n_heads": 2, "d_model": 4}


def _positions_hand(n: int, d: int) -> Tensor:
    table = torch.zeros(n, d)
    for p in range(n):
        for i in range(d // 2):
            table[p, 2 * i] = math.sin(p / 10000 ** (2 * i / d))
            table[p, 2 * i + 1] = math.cos(p / 10000 ** (2 * i / d))
    return table


def _positions_ours(n: int, d: int) -> Tensor:
    return sinusoidal_positions(n, d)


def _positions_torch(n: int, d: int) -> Tensor:
    speed = torch.exp(torch.arange(0, d, 2) * (-math.log(10000) / d))
    hands = torch.polar(torch.ones(n, d // 2), torch.outer(torch.arange(n).double(), speed))  # each a turning hand
    return torch.view_as_real(hands).flip(-1).flatten(1)


def _embed_hand(x: Tensor, model: Transformer) -> Tensor:
    table, d = model.token_embedding.weight, model.config.d_model
    return torch.stack([math.sqrt(d) * table[x[t]] + model.positions[t] for t in range(len(x))])  # t counts from 0


def _embed_ours(x: Tensor, model: Transformer) -> Tensor:
    heard: list[Tensor] = []
    handle = model.encoder.register_forward_pre_hook(lambda _, arguments: heard.append(arguments[0]))
    model.encode(x[None])
    handle.remove()
    return heard[0][0]


def _embed_torch(x: Tensor, model: Transformer) -> Tensor:
    looked_up = F.embedding(x, model.token_embedding.weight)
    return torch.add(model.positions[: len(x)], looked_up, alpha=model.config.d_model**0.5)


def _residual_hand(h: Tensor, block: EncoderBlock) -> Tensor:
    return h + attended(h, h, block.attention)


def _residual_ours(h: Tensor, block: EncoderBlock) -> Tensor:
    return h + block.attention(h[None])[0]


def _residual_torch(h: Tensor, block: EncoderBlock) -> Tensor:
    return h + attend(h, h, block.attention)


def _norm_hand(h: Tensor, layer: nn.LayerNorm) -> Tensor:
    d = len(h)
    mu = sum(float(h[c]) for c in range(d)) / d
    variance = sum((float(h[c]) - mu) ** 2 for c in range(d)) / d
    return layer.weight * (h - mu) / math.sqrt(variance + layer.eps) + layer.bias


def _norm_ours(h: Tensor, layer: nn.LayerNorm) -> Tensor:
    result: Tensor = layer(h)  # companion takes PyTorch's layer
    return result


def _norm_torch(h: Tensor, layer: nn.LayerNorm) -> Tensor:
    return F.group_norm(h[None], 1, layer.weight, layer.bias, layer.eps)[0]  # one group of all numbers


def _ffn_hand(h: Tensor, layer: FeedForward) -> Tensor:
    w_1, w_2 = layer.expand.weight.T, layer.contract.weight.T
    wide = h @ w_1 + layer.expand.bias
    for c in range(len(wide)):
        wide[c] = max(0.0, float(wide[c]))
    return wide @ w_2 + layer.contract.bias


def _ffn_ours(h: Tensor, layer: FeedForward) -> Tensor:
    result: Tensor = layer(h)
    return result


def _ffn_torch(h: Tensor, layer: FeedForward) -> Tensor:
    return linear(F.relu(linear(h, layer.expand)), layer.contract)


def _prepost_hand(h: Tensor, post: EncoderBlock, pre: Block) -> tuple[Tensor, Tensor]:
    after = normed(h + attended(h, h, post.attention), post.attention_norm)
    after = normed(after + rectified(after, post.feed_forward), post.feed_forward_norm)
    read = normed(h, pre.attention_norm)
    before = h + attended(read, read, pre.attention, causal=True)
    return after, before + rectified(normed(before, pre.feed_forward_norm), pre.feed_forward)


def _prepost_ours(h: Tensor, post: EncoderBlock, pre: Block) -> tuple[Tensor, Tensor]:
    return post(h[None])[0], pre(h[None])[0]


def _prepost_torch(h: Tensor, post: EncoderBlock, pre: Block) -> tuple[Tensor, Tensor]:
    after = norm(h + attend(h, h, post.attention), post.attention_norm)
    after = norm(after + relu_network(after, post.feed_forward), post.feed_forward_norm)
    read = norm(h, pre.attention_norm)
    before = h + attend(read, read, pre.attention, causal=True)
    return after, before + relu_network(norm(before, pre.feed_forward_norm), pre.feed_forward)


def _two_blocks(g: Generator) -> dict[str, Any]:
    config = GPTConfig(vocab_size=7, context_length=6, n_layers=1, n_heads=2, d_model=4, activation="relu")
    blocks = {"post": EncoderBlock(4, 2, 16, "relu"), "pre": Block(config)}
    return {"h": normal(g, 5, 4)} | {name: randomised(block, g) for name, block in blocks.items()}


EQUATIONS = (
    Equation(
        "eq-transformer-positions",
        (
            Symbol("P_p", "vector of position $p$, counted from 0", "d"),
            Symbol("P_{p,c}", "its number at place $c$, counted from 0"),
            WIDTH,
            Symbol("i", "number of the pair of places, $0$ to $d/2 - 1$"),
        ),
        lambda g: {"n": whole(g, 1, 12), "d": 2 * whole(g, 1, 8)},
        _positions_hand,
        _positions_ours,
        _positions_torch,
    ),
    Equation(
        "eq-transformer-embed",
        (
            Symbol("h^0_t", "where the stream begins at token $t$, counted from 1", "d"),
            WIDTH,
            Symbol("E", "table of the words' vectors; $E_x$ is row $x$", r"V \times d"),
            Symbol("x_t", "token $t$ of the source"),
            Symbol("P_{t-1}", "vector of its position, counted from 0", "d"),
        ),
        lambda g: {"x": tokens(g, 7, 5), "model": randomised(Transformer(TransformerConfig(**SIZES)), g)},  # type: ignore[arg-type]
        _embed_hand,
        _embed_ours,
        _embed_torch,
    ),
    Equation(
        "eq-transformer-residual",
        (STREAM,),
        lambda g: {"h": normal(g, 5, 4), "block": randomised(EncoderBlock(4, 2, 16, "relu"), g)},
        _residual_hand,
        _residual_ours,
        _residual_torch,
    ),
    Equation(
        "eq-transformer-norm",
        (
            Symbol("h", "vector of one position", "d"),
            Symbol(r"\gamma, \beta", "scale and shift of each number; learned", "d"),
            Symbol(r"\mu, \sigma^2", "mean and variance of the numbers of $h$"),
            Symbol(r"\varepsilon", "small number that keeps the root from zero"),
            WIDTH,
        ),
        lambda g: {"h": normal(g, 6), "layer": randomised(nn.LayerNorm(6), g)},
        _norm_hand,
        _norm_ours,
        _norm_torch,
    ),
    Equation(
        "eq-transformer-ffn",
        (
            Symbol("h", "vector of one position", "d"),
            Symbol("W_1, b_1", "matrix and vector that widen", r"d \times d_{\mathrm{ff}},\; d_{\mathrm{ff}}"),
            Symbol("W_2, b_2", "matrix and vector that narrow again", r"d_{\mathrm{ff}} \times d,\; d"),
        ),
        lambda g: {"h": normal(g, 4), "layer": randomised(FeedForward(4, 16, "relu"), g)},
        _ffn_hand,
        _ffn_ours,
        _ffn_torch,
    ),
    Equation(
        "eq-transformer-prepost",
        (STREAM, Symbol("f", "a sublayer: attention or the feed-forward network"), NORM),
        _two_blocks,
        _prepost_hand,
        _prepost_ours,
        _prepost_torch,
    ),
)
