"""Equations of ``book/algorithms/denoising.ipynb``."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from companion.lessons import by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import distribution, randomised, tokens
from companion.losses.spans import sequence_loss, teacher_forcing
from companion.models.transformer import Transformer, TransformerConfig

END = 1  # the end token, after the text


def _corrupted(g: Generator) -> dict[str, Any]:
    """A text, three corrupted versions, the probability of each, and the model's logits for each."""
    config = TransformerConfig(vocab_size=7, context_length=6, n_layers=1, n_heads=2, d_model=4)
    model, x = randomised(Transformer(config), g), torch.cat([tokens(g, 7, 3), torch.tensor([END])])
    noisy = [tokens(g, 7, length) for length in (3, 2, 4)]
    late = torch.cat([torch.tensor([config.start_id]), x[:-1]])
    z = [torch.stack([model(n[None], late[None, : t + 1])[0, -1] for t in range(4)]) for n in noisy]
    return {"x": x, "q": distribution(g, 3), "z": z, "noisy": noisy, "model": model}


def _loss_by_hand(x: Tensor, q: Tensor, z: list[Tensor], noisy: list[Tensor], model: Any) -> float:
    expected = 0.0
    for chance, logits in zip(q, z, strict=True):  # one corrupted text after the other
        total = 0.0
        for t in range(len(x)):  # n tokens and the end
            total += math.log(math.exp(logits[t, x[t]]) / sum(math.exp(score) for score in logits[t]))
        expected += float(chance) * -total / len(x)
    return expected


def _loss_companion(x: Tensor, q: Tensor, z: list[Tensor], noisy: list[Tensor], model: Any) -> Tensor:
    start = model.config.start_id
    masks = [torch.ones(1, len(text), dtype=torch.bool) for text in noisy]
    batches = [teacher_forcing(text[None], mask, x[None], start) for text, mask in zip(noisy, masks, strict=True)]
    return q @ torch.stack([sequence_loss(model, batch) for batch in batches])


def _loss_torch(x: Tensor, q: Tensor, z: list[Tensor], noisy: list[Tensor], model: Any) -> Tensor:
    log_probs = by_torch.log_prob(torch.stack(z), x)  # (corrupted texts, n + 1)
    return -torch.einsum("s,st->", q, log_probs) / len(x)


EQUATIONS = (
    Equation(
        label="eq-denoising-loss",
        symbols=(
            Symbol(r"\mathcal{L}(\theta)", "loss, in nats"),
            Symbol(r"\tilde{x}", "corrupted text, which the encoder reads"),
            Symbol(r"q(\tilde{x} \mid x)", "noise: probability of each corrupted text"),
            Symbol("n", "number of tokens of the original text; its end token is number $n + 1$"),
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            Symbol("x_t", "token $t$ of the original text, counted from 1"),
            Symbol("x_{<t}", "tokens before it"),
        ),
        draw=_corrupted,
        by_hand=_loss_by_hand,
        companion=_loss_companion,
        library=_loss_torch,
    ),
)
