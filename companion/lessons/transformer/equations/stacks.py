"""Equations of ``book/concepts/transformer.ipynb``: decoders, encoder, and what they count and lose."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, tokens, whole
from companion.lessons.transformer.equations.blocks import NORM, WIDTH, _model
from companion.losses.cross_entropy import cross_entropy
from companion.models.gpt import GPT, GPTConfig
from companion.models.transformer import Transformer, TransformerConfig
from companion.nn.mixture_of_experts import active_parameters
from companion.training.flops import parameters_in_products

LAYERS = Symbol("L", "number of encoder blocks, and of decoder blocks")


def _text(g: Generator) -> dict[str, Any]:
    x, y, model = tokens(g, 7, 5), tokens(g, 7, 4), _model(g)
    late = torch.cat([torch.tensor([model.config.start_id]), y[:-1]])
    z = torch.stack([model(x[None], late[None, : t + 1])[0, -1] for t in range(len(y))])  # row t: from x and y_<t
    return {"x": x, "y": y, "late": late, "z": z, "model": model}


def _gpt(g: Generator) -> Any:
    config = GPTConfig(vocab_size=7, context_length=6, n_layers=2, n_heads=2, d_model=4, activation="relu")
    return randomised(GPT(config), g)


def _block_by_hand(x: Tensor, model: Any) -> Tensor:
    h = model.token_embedding.weight[x] + model.position_embedding.weight[: len(x)]
    for block in model.blocks:
        read = by_hand.layer_norm(h, block.attention_norm)
        u = h + by_hand.multi_head_attention(read, read, block.attention, causal=True)
        h = u + by_hand.relu_ffn(by_hand.layer_norm(u, block.feed_forward_norm), block.feed_forward)
    logits: Tensor = by_hand.layer_norm(h, model.final_norm) @ model.token_embedding.weight.T
    return logits


def _block_companion(x: Tensor, model: Any) -> Tensor:
    logits: Tensor = model(x[None])[0]
    return logits


def _block_torch(x: Tensor, model: Any) -> Tensor:
    h = F.embedding(x, model.token_embedding.weight) + model.position_embedding.weight[: len(x)]
    for block in model.blocks:
        read = by_torch.layer_norm(h, block.attention_norm)
        h = h + by_torch.multi_head_attention(read, read, block.attention, causal=True)
        h = h + by_torch.relu_ffn(by_torch.layer_norm(h, block.feed_forward_norm), block.feed_forward)
    return F.linear(by_torch.layer_norm(h, model.final_norm), model.token_embedding.weight)


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
        label="eq-transformer-block",
        symbols=(
            Symbol(r"h^{\ell}", r"residual stream after block $\ell$; $h^0$ is the embedding", r"n \times d"),
            Symbol(r"u^{\ell}", "residual stream between the two sublayers of the block", r"n \times d"),
            NORM,
            Symbol("L", "number of blocks"),
            Symbol("z", "logits", r"n \times V"),
            Symbol("E", "token embedding", r"V \times d"),
        ),
        draw=lambda g: {"x": tokens(g, 7, 5), "model": _gpt(g)},
        by_hand=_block_by_hand,
        companion=_block_companion,
        library=_block_torch,
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
