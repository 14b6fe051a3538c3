"""Equations of ``book/practice/interpretability.ipynb``."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import distribution, whole
from companion.losses.sparsity import sparse_reconstruction
from companion.metrics.attribution import attention_rollout, logit_direction, recovery
from companion.models.sparse_autoencoder import SparseAutoencoder

EPS = 1e-5
FEATURES = Symbol("f", "features, none negative", "m")
STATE = Symbol("x", "hidden state", "d")
COUNT = Symbol("m", "number of features")


def _draw_maps(generator: Generator) -> dict[str, Any]:
    layers, heads, length = whole(generator, 1, 4), whole(generator, 1, 4), whole(generator, 2, 6)
    return {"maps": distribution(generator, layers, heads, length, length)}


def _rollout_by_hand(maps: Tensor) -> Tensor:
    length = maps.size(-1)
    rolled = [[float(i == j) for j in range(length)] for i in range(length)]
    for layer in maps:
        mixed = [
            [(sum(float(head[i, j]) for head in layer) / len(layer) + (i == j)) / 2 for j in range(length)]
            for i in range(length)
        ]
        rolled = [
            [sum(mixed[i][k] * rolled[k][j] for k in range(length)) for j in range(length)] for i in range(length)
        ]
    return torch.tensor(rolled)


def _rollout_companion(maps: Tensor) -> Tensor:
    return attention_rollout(list(maps[:, None]))[0]


def _rollout_torch(maps: Tensor) -> Tensor:
    mixed = torch.lerp(maps.mean(1), torch.eye(maps.size(-1)), 0.5)
    chain: Tensor = torch.linalg.multi_dot([*mixed.flip(0), torch.eye(maps.size(-1))])
    return chain


def _draw_parts(generator: Generator) -> dict[str, Any]:
    parts, width = whole(generator, 2, 5), whole(generator, 3, 6)
    return {
        "parts": torch.randn(parts, width, generator=generator),
        "rows": torch.randn(2, width, generator=generator),
        "gain": torch.randn(width, generator=generator),
        "shift": torch.randn(width, generator=generator),
    }


def _attribution_by_hand(parts: Tensor, rows: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    width = parts.size(1)
    stream = [sum(float(part[i]) for part in parts) for i in range(width)]
    mean = sum(stream) / width
    spread = (sum((value - mean) ** 2 for value in stream) / width + EPS) ** 0.5
    pulled = [float(gain[i] * (rows[0, i] - rows[1, i])) for i in range(width)]
    g = [(one - sum(pulled) / width) / spread for one in pulled]
    k = sum(float(shift[i] * (rows[0, i] - rows[1, i])) for i in range(width))
    return torch.tensor(sum(float(part[i]) * g[i] for part in parts for i in range(width)) + k)


def _norm(gain: Tensor, shift: Tensor) -> nn.LayerNorm:
    norm = nn.LayerNorm(len(gain), eps=EPS)
    norm.load_state_dict({"weight": gain, "bias": shift})
    return norm


def _attribution_companion(parts: Tensor, rows: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    model = SimpleNamespace(final_norm=_norm(gain, shift), unembedding=SimpleNamespace(weight=rows))
    g = logit_direction(model, parts.sum(0)[None], torch.tensor([0]), torch.tensor([1]))[0]
    return (parts @ g).sum() + (rows[0] - rows[1]) @ shift


def _attribution_torch(parts: Tensor, rows: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = _norm(gain, shift)(parts.sum(0)) @ rows.T
    return logits[0] - logits[1]


def _draw_differences(generator: Generator) -> dict[str, Any]:
    texts = whole(generator, 2, 6)
    patched, corrupted, clean = torch.randn(3, texts, generator=generator)
    return {"patched": patched, "corrupted": corrupted - 3, "clean": clean + 3}


def _recovery_by_hand(patched: Tensor, corrupted: Tensor, clean: Tensor) -> float:
    means = [sum(map(float, values)) / len(values) for values in (patched, corrupted, clean)]
    return (means[0] - means[1]) / (means[2] - means[1])


def _recovery_torch(patched: Tensor, corrupted: Tensor, clean: Tensor) -> Tensor:
    ends = torch.stack([corrupted.mean(), clean.mean()])
    design = torch.stack([torch.ones(2), ends], dim=1)
    line: Tensor = torch.linalg.solve(design, torch.tensor([0.0, 1.0]))  # through (corrupted, 0), (clean, 1)
    return line[0] + line[1] * patched.mean()


def _draw_autoencoder(generator: Generator) -> dict[str, Any]:
    width, features = whole(generator, 2, 5), whole(generator, 2, 7)
    return {
        "x": torch.randn(width, generator=generator),
        "encoder": torch.randn(features, width, generator=generator),
        "encoder_bias": torch.randn(features, generator=generator),
        "decoder": torch.randn(features, width, generator=generator),
        "bias": torch.randn(width, generator=generator),
    }


def _autoencoder_by_hand(
    x: Tensor, encoder: Tensor, encoder_bias: Tensor, decoder: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    features, width = encoder.shape
    active, rebuilt = torch.zeros(features), bias.clone()
    for i in range(features):
        total = float(encoder_bias[i])
        for j in range(width):
            total += float(encoder[i, j] * (x[j] - bias[j]))
        active[i] = max(total, 0.0)
        length = sum(float(value) ** 2 for value in decoder[i]) ** 0.5
        for j in range(width):
            rebuilt[j] += active[i] * decoder[i, j] / length
    return active, rebuilt


def _autoencoder_companion(**weights: Tensor) -> tuple[Tensor, Tensor]:
    x = weights.pop("x")
    sae = SparseAutoencoder(x.size(0), len(weights["encoder"]))
    sae.load_state_dict(weights)
    with torch.no_grad():
        reconstruction, features = sae(x)
    return features, reconstruction


def _autoencoder_torch(
    x: Tensor, encoder: Tensor, encoder_bias: Tensor, decoder: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    features = nn.functional.linear(x - bias, encoder, encoder_bias).clamp(min=0)
    directions = decoder / torch.linalg.vector_norm(decoder, dim=1, keepdim=True)
    return features, torch.addmv(bias, directions.T, features)


def _draw_loss(generator: Generator) -> dict[str, Any]:
    width, features = whole(generator, 2, 5), whole(generator, 2, 7)
    return {
        "x": torch.randn(width, generator=generator),
        "reconstruction": torch.randn(width, generator=generator),
        "features": torch.randn(features, generator=generator).relu(),
        "penalty": float(torch.rand((), generator=generator)),
    }


def _loss_by_hand(x: Tensor, reconstruction: Tensor, features: Tensor, penalty: float) -> float:
    error = sum((float(a) - float(b)) ** 2 for a, b in zip(x, reconstruction, strict=True))
    return error + penalty * sum(abs(float(value)) for value in features)


def _loss_companion(x: Tensor, reconstruction: Tensor, features: Tensor, penalty: float) -> Tensor:
    return sparse_reconstruction(x[None], reconstruction[None], features[None], penalty)


def _loss_torch(x: Tensor, reconstruction: Tensor, features: Tensor, penalty: float) -> Tensor:
    price: Tensor = penalty * torch.linalg.vector_norm(features, ord=1)
    return nn.functional.mse_loss(reconstruction, x, reduction="sum") + price


EQUATIONS = (
    Equation(
        label="eq-interpretability-rollout",
        symbols=(
            Symbol("R", "attention rollout: how much of each token reaches each position", r"n \times n"),
            Symbol(r"\hat A_L", "averaged map of the last layer, with the residual connection", r"n \times n"),
            Symbol(r"\hat A_\ell", "the same of layer $\\ell$", r"n \times n"),
            Symbol("H", "number of heads"),
            Symbol(r"A_{\ell,h}", "attention weights of head $h$ in layer $\\ell$", r"n \times n"),
            Symbol("I", "identity: the residual connection keeps everything in place", r"n \times n"),
        ),
        draw=_draw_maps,
        by_hand=_rollout_by_hand,
        companion=_rollout_companion,
        library=_rollout_torch,
    ),
    Equation(
        label="eq-interpretability-attribution",
        symbols=(
            Symbol("z_a", "logit of token $a$"),
            Symbol("z_b", "logit of token $b$"),
            Symbol("c", "what one part added to the residual stream", "d"),
            Symbol("g", "direction of the logit difference", "d"),
            Symbol("k", "constant, from the norm's bias"),
            Symbol("P", "projection that takes off the mean"),
            Symbol(r"\gamma", "gain of the last norm", "d"),
            Symbol("u_a", "row of the output matrix for token $a$", "d"),
            Symbol("u_b", "row of the output matrix for token $b$", "d"),
            Symbol(r"\sigma", "what the last norm divides by, in this run"),
        ),
        draw=_draw_parts,
        by_hand=_attribution_by_hand,
        companion=_attribution_companion,
        library=_attribution_torch,
    ),
    Equation(
        label="eq-interpretability-recovery",
        symbols=(
            Symbol("r", "recovery"),
            Symbol(r"\bar d_{\text{patched}}", "mean logit difference of the corrupted run with the patch"),
            Symbol(r"\bar d_{\text{corrupted}}", "mean logit difference of the corrupted run"),
            Symbol(r"\bar d_{\text{clean}}", "mean logit difference of the clean run"),
        ),
        draw=_draw_differences,
        by_hand=_recovery_by_hand,
        companion=recovery,
        library=_recovery_torch,
    ),
    Equation(
        label="eq-interpretability-autoencoder",
        symbols=(
            FEATURES,
            Symbol("W_e", "encoder", r"m \times d"),
            STATE,
            Symbol("b", "bias that is taken off first and added last", "d"),
            Symbol("b_e", "bias of the encoder", "m"),
            Symbol(r"\hat x", "reconstruction", "d"),
            COUNT,
            Symbol("f_i", "feature $i$"),
            Symbol("d_i", "direction of feature $i$, of length 1", "d"),
        ),
        draw=_draw_autoencoder,
        by_hand=_autoencoder_by_hand,
        companion=_autoencoder_companion,
        library=_autoencoder_torch,
    ),
    Equation(
        label="eq-interpretability-sparsity",
        symbols=(
            Symbol(r"\mathcal{L}", "loss of one hidden state"),
            STATE,
            Symbol(r"\hat x", "reconstruction", "d"),
            Symbol(r"\lambda", "penalty: price of a feature"),
            COUNT,
            Symbol("f_i", "feature $i$"),
        ),
        draw=_draw_loss,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
)
