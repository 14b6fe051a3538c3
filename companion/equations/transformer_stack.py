"""The equations of ``book/concepts/transformer.ipynb`` about the whole model."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.equations.byhand import attended, normed, rectified
from companion.equations.bytorch import attend, norm, relu_network
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import normal, randomised, tokens, whole
from companion.objectives.batches import cross_entropy
from companion.transformer import Transformer, TransformerConfig

NORM = Symbol(r"\mathrm{LN}", "layer norm of each position")
LAYERS = Symbol("L", "blocks of the encoder, and as many of the decoder")
WIDTH = Symbol("d", "width of the streams, `d_model`")


def _model(g: Generator) -> Any:
    config = TransformerConfig(vocab_size=7, context_length=6, n_layers=2, n_heads=2, d_model=4)
    return randomised(Transformer(config), g)


def _text(g: Generator) -> dict[str, Any]:
    x, y, model = tokens(g, 7, 5), tokens(g, 7, 4), _model(g)
    late = torch.cat([torch.tensor([model.config.start_id]), y[:-1]])
    z = torch.stack([model(x[None], late[None, : t + 1])[0, -1] for t in range(len(y))])  # row t has seen x and y_<t
    return {"x": x, "y": y, "late": late, "z": z, "model": model}


def _encoder_hand(h: Tensor, model: Any) -> Tensor:
    for block in model.encoder.blocks:
        u = normed(h + attended(h, h, block.attention), block.attention_norm)
        h = normed(u + rectified(u, block.feed_forward), block.feed_forward_norm)
    return h


def _encoder_ours(h: Tensor, model: Any) -> Tensor:
    return model.encoder(h[None])[0]


def _encoder_torch(h: Tensor, model: Any) -> Tensor:
    for block in model.encoder.blocks:
        h = _as_torch(block)(h[None])[0]
    return h


def _as_torch(block: Any) -> nn.TransformerEncoderLayer:
    """PyTorch's own encoder block, with our weights."""
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


def _decoder_hand(g: Tensor, memory: Tensor, model: Any) -> Tensor:
    for block in model.decoder.blocks:
        a = normed(g + attended(g, g, block.attention, causal=True), block.attention_norm)
        c = normed(a + attended(a, memory, block.cross_attention), block.cross_attention_norm)
        g = normed(c + rectified(c, block.feed_forward), block.feed_forward_norm)
    return g @ model.token_embedding.weight.T


def _decoder_ours(g: Tensor, memory: Tensor, model: Any) -> Tensor:
    return F.linear(model.decoder(g[None], memory[None], None), model.token_embedding.weight)[0]


def _decoder_torch(g: Tensor, memory: Tensor, model: Any) -> Tensor:
    for block in model.decoder.blocks:
        a = norm(g + attend(g, g, block.attention, causal=True), block.attention_norm)
        c = norm(a + attend(a, memory, block.cross_attention), block.cross_attention_norm)
        g = norm(c + relu_network(c, block.feed_forward), block.feed_forward_norm)
    return torch.einsum("td,vd->tv", g, model.token_embedding.weight)


def _parameters_hand(v: int, d: int, layers: int) -> tuple[int, int]:
    taken_apart = v * d + layers * ((4 * d**2 + 8 * d**2) + (4 * d**2 + 4 * d**2 + 8 * d**2))
    return taken_apart, v * d + 28 * layers * d**2


def _parameters_ours(v: int, d: int, layers: int) -> tuple[int, int]:
    config = TransformerConfig(vocab_size=v, context_length=2, n_layers=layers, n_heads=1, d_model=d)
    matrices = sum(p.numel() for p in Transformer(config).parameters() if p.dim() == 2)  # no biases, no norms
    return matrices, matrices


def _parameters_torch(v: int, d: int, layers: int) -> tuple[int, int]:
    blocks = (nn.TransformerEncoderLayer(d, 1, 4 * d), nn.TransformerDecoderLayer(d, 1, 4 * d))
    in_blocks = sum(p.numel() for block in blocks for p in block.parameters() if p.dim() == 2)
    matrices = nn.Embedding(v, d).weight.numel() + layers * in_blocks
    return matrices, matrices


def _loss_hand(x: Tensor, y: Tensor, late: Tensor, z: Tensor, model: Any) -> float:
    m, vocab_size = z.shape
    total = 0.0
    for t in range(m):
        p = math.exp(z[t, y[t]]) / sum(math.exp(z[t, w]) for w in range(vocab_size))
        total += math.log(p)
    return -total / m


def _loss_ours(x: Tensor, y: Tensor, late: Tensor, z: Tensor, model: Any) -> Tensor:
    return cross_entropy(model(x[None], late[None]), y[None])  # all places in one pass


def _loss_torch(x: Tensor, y: Tensor, late: Tensor, z: Tensor, model: Any) -> Tensor:
    return -torch.distributions.Categorical(logits=z).log_prob(y).mean()


EQUATIONS = (
    Equation(
        "eq-transformer-encoder",
        (
            Symbol(r"h^{\ell}", r"the stream after block $\ell$; $h^0$ is the embedding", r"n \times d"),
            Symbol(r"u^{\ell}", "the stream between the two sublayers of the block", r"n \times d"),
            NORM,
            LAYERS,
        ),
        lambda g: {"h": normal(g, 5, 4), "model": _model(g)},
        _encoder_hand,
        _encoder_ours,
        _encoder_torch,
    ),
    Equation(
        "eq-transformer-decoder",
        (
            Symbol(r"g^{\ell}", r"the decoder's stream after block $\ell$", r"m \times d"),
            Symbol(r"a^{\ell}, c^{\ell}", "the stream after self-attention and after cross-attention", r"m \times d"),
            Symbol("M", "memory: the encoder's output", r"n \times d"),
            NORM,
            Symbol("z", "logits", r"m \times V"),
            Symbol("E", "table of the words' vectors", r"V \times d"),
        ),
        lambda g: {"g": normal(g, 4, 4), "memory": normal(g, 5, 4), "model": _model(g)},
        _decoder_hand,
        _decoder_ours,
        _decoder_torch,
    ),
    Equation(
        "eq-transformer-parameters",
        (
            Symbol("N", "parameters, without biases and norms"),
            Symbol("V", "words in the vocabulary"),
            WIDTH,
            LAYERS,
        ),
        lambda g: {"v": whole(g, 1, 50), "d": 2 * whole(g, 1, 8), "layers": whole(g, 1, 3)},
        _parameters_hand,
        _parameters_ours,
        _parameters_torch,
    ),
    Equation(
        "eq-transformer-loss",
        (
            Symbol(r"\mathcal{L}(\theta)", "loss, in nats"),
            Symbol("m", "tokens of the target"),
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            Symbol("y_t", "token $t$ of the target, counted from 1"),
            Symbol("y_{<t}", "the tokens before it"),
            Symbol("x", "the source"),
        ),
        _text,
        _loss_hand,
        _loss_ours,
        _loss_torch,
    ),
)
