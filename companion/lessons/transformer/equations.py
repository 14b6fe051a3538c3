"""Equations of ``book/concepts/transformer.ipynb``."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, tokens, whole
from companion.lessons.tiny_worlds import entering
from companion.losses.cross_entropy import cross_entropy
from companion.models.gpt import Block, GPTConfig
from companion.models.transformer import EncoderBlock, Transformer, TransformerConfig
from companion.nn.feed_forward import FeedForward
from companion.nn.mixture_of_experts import active_parameters
from companion.nn.positions import sinusoidal_positions
from companion.training.flops import parameters_in_products

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


LAYERS = Symbol("L", "number of encoder blocks, and of decoder blocks")


def _model(g: Generator) -> Any:
    config = TransformerConfig(vocab_size=7, context_length=6, n_layers=2, n_heads=2, d_model=4)
    return randomised(Transformer(config), g)


def _text(g: Generator) -> dict[str, Any]:
    x, y, model = tokens(g, 7, 5), tokens(g, 7, 4), _model(g)
    late = torch.cat([torch.tensor([model.config.start_id]), y[:-1]])
    z = torch.stack([model(x[None], late[None, : t + 1])[0, -1] for t in range(len(y))])  # row t: from x and y_<t
    return {"x": x, "y": y, "late": late, "z": z, "model": model}


def _encoder_by_hand(h: Tensor, model: Any) -> Tensor:
    for block in model.encoder.blocks:
        u = by_hand.layer_norm(h + by_hand.multi_head_attention(h, h, block.attention), block.attention_norm)
        h = by_hand.layer_norm(u + by_hand.relu_ffn(u, block.feed_forward), block.feed_forward_norm)
    return h


def _encoder_companion(h: Tensor, model: Any) -> Tensor:
    output: Tensor = model.encoder(h[None])
    return output[0]


def _encoder_torch(h: Tensor, model: Any) -> Tensor:
    for block in model.encoder.blocks:
        h = _as_torch(block)(h[None])[0]
    return h


def _as_torch(block: Any) -> nn.TransformerEncoderLayer:
    """PyTorch's own encoder block, with the weights of companion's."""
    width, inner = block.attention_norm.weight.numel(), block.feed_forward.expand.weight.size(0)
    layer = nn.TransformerEncoderLayer(width, block.attention.n_heads, inner, 0.0, "relu", batch_first=True)
    projections = (block.attention.query, block.attention.key, block.attention.value)
    pairs = {
        "self_attn.out_proj": block.attention.output,
        "linear1": block.feed_forward.expand,
        "linear2": block.feed_forward.contract,
        "norm1": block.attention_norm,
        "norm2": block.feed_forward_norm,
    }
    weights = {f"{name}.{part}": getattr(ours, part) for name, ours in pairs.items() for part in ("weight", "bias")}
    for part in ("weight", "bias"):
        weights[f"self_attn.in_proj_{part}"] = torch.cat([getattr(one, part) for one in projections])
    layer.load_state_dict(weights)
    return layer.double()


def _decoder_by_hand(g: Tensor, memory: Tensor, model: Any) -> Tensor:
    for block in model.decoder.blocks:
        a = by_hand.layer_norm(
            g + by_hand.multi_head_attention(g, g, block.attention, causal=True), block.attention_norm
        )
        c = by_hand.layer_norm(
            a + by_hand.multi_head_attention(a, memory, block.cross_attention), block.cross_attention_norm
        )
        g = by_hand.layer_norm(c + by_hand.relu_ffn(c, block.feed_forward), block.feed_forward_norm)
    logits: Tensor = g @ model.token_embedding.weight.T
    return logits


def _decoder_companion(g: Tensor, memory: Tensor, model: Any) -> Tensor:
    return F.linear(model.decoder(g[None], memory[None], None), model.token_embedding.weight)[0]


def _decoder_torch(g: Tensor, memory: Tensor, model: Any) -> Tensor:
    for block in model.decoder.blocks:
        a = by_torch.layer_norm(
            g + by_torch.multi_head_attention(g, g, block.attention, causal=True), block.attention_norm
        )
        c = by_torch.layer_norm(
            a + by_torch.multi_head_attention(a, memory, block.cross_attention), block.cross_attention_norm
        )
        g = by_torch.layer_norm(c + by_torch.relu_ffn(c, block.feed_forward), block.feed_forward_norm)
    return torch.einsum("td,vd->tv", g, model.token_embedding.weight)


def _parameters_by_hand(v: int, d: int, layers: int) -> tuple[int, int]:
    taken_apart = v * d + layers * ((4 * d**2 + 8 * d**2) + (4 * d**2 + 4 * d**2 + 8 * d**2))
    return taken_apart, v * d + 28 * layers * d**2


def _parameters_companion(v: int, d: int, layers: int) -> tuple[int, int]:
    config = TransformerConfig(vocab_size=v, context_length=2, n_layers=layers, n_heads=1, d_model=d)
    model = Transformer(config)  # the embedding is the output matrix too, which is no linear layer of its own
    matrices = parameters_in_products(model) + active_parameters(model.token_embedding)
    return matrices, matrices


def _parameters_torch(v: int, d: int, layers: int) -> tuple[int, int]:
    blocks = (nn.TransformerEncoderLayer(d, 1, 4 * d), nn.TransformerDecoderLayer(d, 1, 4 * d))
    in_blocks = sum(p.numel() for block in blocks for p in block.parameters() if p.dim() == 2)
    matrices = nn.Embedding(v, d).weight.numel() + layers * in_blocks
    return matrices, matrices


def _loss_by_hand(x: Tensor, y: Tensor, late: Tensor, z: Tensor, model: Any) -> float:
    m, vocab_size = z.shape
    total = 0.0
    for t in range(m):
        p = math.exp(z[t, y[t]]) / sum(math.exp(z[t, w]) for w in range(vocab_size))
        total += math.log(p)
    return -total / m


def _loss_companion(x: Tensor, y: Tensor, late: Tensor, z: Tensor, model: Any) -> Tensor:
    return cross_entropy(model(x[None], late[None]), y[None])  # all positions in one pass


def _loss_torch(x: Tensor, y: Tensor, late: Tensor, z: Tensor, model: Any) -> Tensor:
    return -by_torch.log_prob(z, y).mean()


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
    Equation(
        label="eq-transformer-encoder",
        symbols=(
            Symbol(r"h^{\ell}", r"residual stream after block $\ell$; $h^0$ is the embedding", r"n \times d"),
            Symbol(r"u^{\ell}", "residual stream between the two sublayers of the block", r"n \times d"),
            NORM,
            LAYERS,
        ),
        draw=lambda g: {"h": normal(g, 5, 4), "model": _model(g)},
        by_hand=_encoder_by_hand,
        companion=_encoder_companion,
        library=_encoder_torch,
    ),
    Equation(
        label="eq-transformer-decoder",
        symbols=(
            Symbol(r"g^{\ell}", r"the decoder's residual stream after block $\ell$", r"m \times d"),
            Symbol(
                r"a^{\ell}, c^{\ell}", "residual stream after self-attention and after cross-attention", r"m \times d"
            ),
            Symbol("M", "memory: the encoder's output", r"n \times d"),
            NORM,
            Symbol("z", "logits", r"m \times V"),
            Symbol("E", "token embedding", r"V \times d"),
        ),
        draw=lambda g: {"g": normal(g, 4, 4), "memory": normal(g, 5, 4), "model": _model(g)},
        by_hand=_decoder_by_hand,
        companion=_decoder_companion,
        library=_decoder_torch,
    ),
    Equation(
        label="eq-transformer-parameters",
        symbols=(
            Symbol("N", "number of parameters, without biases and norms"),
            Symbol("V", "vocabulary size"),
            WIDTH,
            LAYERS,
        ),
        draw=lambda g: {"v": whole(g, 1, 50), "d": 2 * whole(g, 1, 8), "layers": whole(g, 1, 3)},
        by_hand=_parameters_by_hand,
        companion=_parameters_companion,
        library=_parameters_torch,
    ),
    Equation(
        label="eq-transformer-loss",
        symbols=(
            Symbol(r"\mathcal{L}(\theta)", "loss, in nats"),
            Symbol("m", "number of target tokens"),
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            Symbol("y_t", "token $t$ of the target, counted from 1"),
            Symbol("y_{<t}", "the tokens before it"),
            Symbol("x", "the source"),
        ),
        draw=_text,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
)
