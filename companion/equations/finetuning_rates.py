"""The equations of ``book/algorithms/finetuning.ipynb`` about which layer learns, and how fast."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.bert import Bert, BertConfig
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, randomised, whole
from companion.finetuning import TokenClassifier
from companion.freezing import discriminative_rates, layers
from companion.lora import LoRALinear


def _rates(g: Generator) -> dict[str, Any]:
    config = BertConfig(6, context_length=8, n_layers=whole(g, 1, 4), n_heads=2, d_model=4)
    return {"model": TokenClassifier(Bert(config), ("one", "two")), "factor": between(g, 1, 4)}


def _rates_hand(model: Any, factor: float) -> Tensor:
    top = len(model.bert.encoder.blocks) + 1  # the embeddings are layer 0, the head comes after the blocks
    found = [1.0]
    for _ in range(top):
        found.insert(0, found[0] / factor)
    return torch.tensor(found)


def _rates_ours(model: Any, factor: float) -> Tensor:
    rate = discriminative_rates(model, factor)
    one_of_each = {layer: name for name, layer in layers(model).items()}
    return torch.tensor([rate(one_of_each[layer], 1) for layer in sorted(one_of_each)])


def _rates_torch(model: Any, factor: float) -> Tensor:
    top = len(model.bert.encoder.blocks) + 1
    return torch.exp(-math.log(factor) * torch.arange(top, -1, -1))


def _lora(g: Generator) -> dict[str, Any]:
    return {"x": normal(g, 3, 4), "layer": randomised(LoRALinear(nn.Linear(4, 5), 2, between(g, 1, 20)), g)}


def _lora_hand(x: Tensor, layer: Any) -> Tensor:
    w, rank = layer.weight.clone(), len(layer.lora_a)
    for k in range(rank):
        w += layer.alpha / rank * layer.lora_b[:, k, None] * layer.lora_a[k]
    return x @ w.T + layer.bias


def _lora_ours(x: Tensor, layer: Any) -> Tensor:
    output: Tensor = layer(x)
    return output


def _lora_torch(x: Tensor, layer: Any) -> Tensor:
    w = torch.addmm(layer.weight, layer.lora_b, layer.lora_a, alpha=layer.alpha / layer.lora_a.size(0))
    return F.linear(x, w, layer.bias)


EQUATIONS = (
    Equation(
        "eq-finetuning-rates",
        (
            Symbol(r"\eta_\ell", r"learning rate of layer $\ell$; 0 = embeddings, $L + 1$ = heads"),
            Symbol(r"\eta", "learning rate of the heads"),
            Symbol("f", "factor from one layer to the next"),
            Symbol("L", "blocks, `n_layers`"),
        ),
        _rates,
        _rates_hand,
        _rates_ours,
        _rates_torch,
    ),
    Equation(
        "eq-finetuning-lora",
        (
            Symbol("W", "a trained matrix, which stays as it is", r"d_{\text{out}} \times d_{\text{in}}"),
            Symbol("A, B", "the adapter", r"r \times d_{\text{in}},\; d_{\text{out}} \times r"),
            Symbol("r", "rank of the adapter"),
            Symbol(r"\alpha", "scale of the change"),
        ),
        _lora,
        _lora_hand,
        _lora_ours,
        _lora_torch,
    ),
)
