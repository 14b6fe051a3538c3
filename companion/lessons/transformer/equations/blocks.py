"""Equations of ``book/concepts/transformer.ipynb``: embeddings, the residual stream and its sublayers."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, tokens, whole
from companion.lessons.tiny_worlds import entering
from companion.models.gpt import Block, GPTConfig
from companion.models.transformer import EncoderBlock, Transformer, TransformerConfig
from companion.nn.feed_forward import FeedForward
from companion.nn.positions import sinusoidal_positions

WIDTH = Symbol("d", "width of the residual stream, `d_model`")


STREAM = Symbol("h", "residual stream: one vector per position", r"n \times d")


NORM = Symbol(r"\mathrm{LN}", "layer norm of each position")


def _positions_by_hand(n: int, d: int) -> Tensor:
    table = torch.zeros(n, d)
    for p in range(n):
        for i in range(d // 2):
            table[p, 2 * i] = math.sin(p / 10000 ** (2 * i / d))
            table[p, 2 * i + 1] = math.cos(p / 10000 ** (2 * i / d))
    return table


def _positions_companion(n: int, d: int) -> Tensor:
    return sinusoidal_positions(n, d)


def _positions_torch(n: int, d: int) -> Tensor:
    speed = torch.exp(torch.arange(0, d, 2) * (-math.log(10000) / d))
    hands = torch.polar(torch.ones(n, d // 2), torch.outer(torch.arange(n).double(), speed))  # each a turning hand
    return torch.view_as_real(hands).flip(-1).flatten(1)


def _embed_by_hand(x: Tensor, model: Transformer) -> Tensor:
    table, d = model.token_embedding.weight, model.config.d_model
    return torch.stack([math.sqrt(d) * table[x[t]] + model.positions[t] for t in range(len(x))])  # t counts from 0


def _embed_companion(x: Tensor, model: Transformer) -> Tensor:
    return entering(model.encoder, lambda: model.encode(x[None]))[0]


def _embed_torch(x: Tensor, model: Transformer) -> Tensor:
    looked_up = F.embedding(x, model.token_embedding.weight)
    return torch.add(model.positions[: len(x)], looked_up, alpha=model.config.d_model**0.5)


def _residual_by_hand(h: Tensor, block: EncoderBlock) -> Tensor:
    return h + by_hand.multi_head_attention(h, h, block.attention)


def _residual_companion(h: Tensor, block: EncoderBlock) -> Tensor:
    return entering(block.attention_norm, lambda: block(h[None]))[0]


def _residual_torch(h: Tensor, block: EncoderBlock) -> Tensor:
    return h + by_torch.multi_head_attention(h, h, block.attention)


def _norm_by_hand(h: Tensor, layer: nn.LayerNorm) -> Tensor:
    d = len(h)
    mu = sum(float(h[c]) for c in range(d)) / d
    variance = sum((float(h[c]) - mu) ** 2 for c in range(d)) / d
    return layer.weight * (h - mu) / math.sqrt(variance + layer.eps) + layer.bias


def _norm_torch(h: Tensor, layer: nn.LayerNorm) -> Tensor:
    return F.layer_norm(h, (len(h),), layer.weight, layer.bias, layer.eps)


def _ffn_by_hand(h: Tensor, layer: FeedForward) -> Tensor:
    w_1, w_2 = layer.expand.weight.T, layer.contract.weight.T
    wide = h @ w_1 + layer.expand.bias
    for c in range(len(wide)):
        wide[c] = max(0.0, float(wide[c]))
    return wide @ w_2 + layer.contract.bias


def _ffn_companion(h: Tensor, layer: FeedForward) -> Tensor:
    result: Tensor = layer(h)
    return result


def _ffn_torch(h: Tensor, layer: FeedForward) -> Tensor:
    return by_torch.relu_ffn(h, layer)


def _prepost_by_hand(h: Tensor, post: EncoderBlock, pre: Block) -> tuple[Tensor, Tensor]:
    after = by_hand.layer_norm(h + by_hand.multi_head_attention(h, h, post.attention), post.attention_norm)
    after = by_hand.layer_norm(after + by_hand.relu_ffn(after, post.feed_forward), post.feed_forward_norm)
    read = by_hand.layer_norm(h, pre.attention_norm)
    before = h + by_hand.multi_head_attention(read, read, pre.attention, causal=True)
    return after, before + by_hand.relu_ffn(by_hand.layer_norm(before, pre.feed_forward_norm), pre.feed_forward)


def _prepost_companion(h: Tensor, post: EncoderBlock, pre: Block) -> tuple[Tensor, Tensor]:
    return post(h[None])[0], pre(h[None])[0]


def _prepost_torch(h: Tensor, post: EncoderBlock, pre: Block) -> tuple[Tensor, Tensor]:
    after = by_torch.layer_norm(h + by_torch.multi_head_attention(h, h, post.attention), post.attention_norm)
    after = by_torch.layer_norm(after + by_torch.relu_ffn(after, post.feed_forward), post.feed_forward_norm)
    read = by_torch.layer_norm(h, pre.attention_norm)
    before = h + by_torch.multi_head_attention(read, read, pre.attention, causal=True)
    return after, before + by_torch.relu_ffn(by_torch.layer_norm(before, pre.feed_forward_norm), pre.feed_forward)


def _two_blocks(g: Generator) -> dict[str, Any]:
    config = GPTConfig(vocab_size=7, context_length=6, n_layers=1, n_heads=2, d_model=4, activation="relu")
    blocks = {"post": EncoderBlock(4, 2, 16, "relu"), "pre": Block(config)}
    return {"h": normal(g, 5, 4)} | {name: randomised(block, g) for name, block in blocks.items()}


def _model(g: Generator) -> Any:
    config = TransformerConfig(vocab_size=7, context_length=6, n_layers=2, n_heads=2, d_model=4)
    return randomised(Transformer(config), g)


EQUATIONS = (
    Equation(
        label="eq-transformer-positions",
        symbols=(
            Symbol("P_p", "position encoding of position $p$, counted from 0", "d"),
            Symbol("P_{p,c}", "its component $c$, counted from 0"),
            WIDTH,
            Symbol("i", "index of the pair of components, $0$ to $d/2 - 1$"),
        ),
        draw=lambda g: {"n": whole(g, 1, 12), "d": 2 * whole(g, 1, 8)},
        by_hand=_positions_by_hand,
        companion=_positions_companion,
        library=_positions_torch,
    ),
    Equation(
        label="eq-transformer-embed",
        symbols=(
            Symbol("h^0_t", "input of the residual stream at token $t$, counted from 1", "d"),
            WIDTH,
            Symbol("E", "token embedding; $E_x$ is the row of token $x$", r"V \times d"),
            Symbol("x_t", "token $t$ of the source"),
            Symbol("P_{t-1}", "its position encoding, positions counted from 0", "d"),
        ),
        draw=lambda g: {"x": tokens(g, 7, 5), "model": _model(g)},
        by_hand=_embed_by_hand,
        companion=_embed_companion,
        library=_embed_torch,
    ),
    Equation(
        label="eq-transformer-residual",
        symbols=(STREAM,),
        draw=lambda g: {"h": normal(g, 5, 4), "block": randomised(EncoderBlock(4, 2, 16, "relu"), g)},
        by_hand=_residual_by_hand,
        companion=_residual_companion,
        library=_residual_torch,
    ),
    Equation(
        label="eq-transformer-norm",
        symbols=(
            Symbol("h", "vector of one position", "d"),
            Symbol(r"\gamma, \beta", "scale and shift of each component; learned", "d"),
            Symbol(r"\mu, \sigma^2", "mean and variance of the components of $h$"),
            Symbol(r"\varepsilon", "small constant that keeps the root from zero"),
            WIDTH,
        ),
        draw=lambda g: {"h": normal(g, 6), "layer": randomised(nn.LayerNorm(6), g)},
        by_hand=_norm_by_hand,
        library=_norm_torch,
    ),
    Equation(
        label="eq-transformer-ffn",
        symbols=(
            Symbol("h", "vector of one position", "d"),
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
        ),
        draw=lambda g: {"h": normal(g, 4), "layer": randomised(FeedForward(4, 16, "relu"), g)},
        by_hand=_ffn_by_hand,
        companion=_ffn_companion,
        library=_ffn_torch,
    ),
    Equation(
        label="eq-transformer-prepost",
        symbols=(STREAM, Symbol("f", "a sublayer: attention or the feed-forward network"), NORM),
        draw=_two_blocks,
        by_hand=_prepost_by_hand,
        companion=_prepost_companion,
        library=_prepost_torch,
    ),
)
