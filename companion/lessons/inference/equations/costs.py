"""Equations of ``book/algorithms/inference.ipynb``: time, memory, tiles and fewer bits."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.generation.costs import Machine, ServedModel, kv_bytes, latent_bytes
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, whole
from companion.nn.flash_attention import tiled_attention
from companion.nn.quantization import Grid, quantize

LAYERS = Symbol("L", "number of layers (blocks), `n_layers`")


BYTES = Symbol("s", "bytes of a number; 2 in 16 bits")


def _time_by_hand(f: float, b: float, peak: float, bandwidth: float) -> float:
    computing, moving = f / peak, b / bandwidth
    return computing if computing > moving else moving


def _time_companion(f: float, b: float, peak: float, bandwidth: float) -> float:
    return Machine(flops=peak, bandwidth=bandwidth).seconds(f, b)


def _time_torch(f: float, b: float, peak: float, bandwidth: float) -> Tensor:
    return torch.tensor([f / peak, b / bandwidth]).amax()


def _step_inputs(g: Generator) -> dict[str, Any]:
    heads, d_head, layers = whole(g, 1, 3), 2 * whole(g, 1, 3), whole(g, 1, 2)
    return {"rows": whole(g, 1, 4), "n": whole(g, 2, 9), "layers": layers, "heads": heads, "d_head": d_head}


def _weights(layers: int, d: int) -> int:
    return layers * 4 * d * d  # the four matrices of attention, and nothing else


def _step_by_hand(rows: int, n: int, layers: int, heads: int, d_head: int) -> tuple[int, int]:
    parameters, width, cached = _weights(layers, heads * d_head), heads * d_head, 2 * layers * heads * d_head * 2
    return rows * (2 * parameters + 4 * layers * width * n), 2 * parameters + rows * cached * n


def _step_companion(rows: int, n: int, layers: int, heads: int, d_head: int) -> tuple[float, float]:
    cached = kv_bytes(layers, heads, d_head)
    model = ServedModel(_weights(layers, heads * d_head), layers, heads * d_head, cached)
    load = model.run(batch=rows, past=n - 1)
    return load.operations, load.n_bytes


def _step_torch(rows: int, n: int, layers: int, heads: int, d_head: int) -> tuple[int, int]:
    """Operations as torch counts them, and the bytes of the tensors that they read."""
    d, moved = heads * d_head, 0
    x = torch.zeros(rows, d, dtype=torch.bfloat16)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        for _ in range(layers):
            matrices = torch.zeros(4, d, d, dtype=torch.bfloat16)
            keys, values = torch.zeros(2, rows, heads, n, d_head, dtype=torch.bfloat16)
            query, _, _ = (x @ matrix for matrix in matrices[:3])
            mixed = F.scaled_dot_product_attention(query.view(rows, heads, 1, d_head), keys, values)
            x = mixed.reshape(rows, d) @ matrices[3]
            moved += sum(tensor.numel() * tensor.element_size() for tensor in (matrices, keys, values))
    return counter.get_total_flops(), moved


def _cache_inputs(g: Generator) -> dict[str, int]:
    groups = whole(g, 1, 4)
    sizes = {"layers": whole(g, 1, 5), "heads": groups * whole(g, 1, 4), "groups": groups, "d_head": 2 * whole(g, 1, 9)}
    return {**sizes, "latent": whole(g, 1, 40), "rotary": 2 * whole(g, 1, 9)}


def _cache_by_hand(layers: int, heads: int, groups: int, d_head: int, latent: int, rotary: int) -> tuple[int, ...]:
    found = []
    for kept in (heads, groups, 1):
        total = 0
        for _ in range(layers):
            for _ in range(kept):
                total += (d_head + d_head) * 2  # a key and a value
        found.append(total)
    return (*found, sum((latent + rotary) * 2 for _ in range(layers)))


def _cache_companion(layers: int, heads: int, groups: int, d_head: int, latent: int, rotary: int) -> tuple[int, ...]:
    return (*(kv_bytes(layers, kept, d_head) for kept in (heads, groups, 1)), latent_bytes(layers, latent, rotary))


def _cache_torch(layers: int, heads: int, groups: int, d_head: int, latent: int, rotary: int) -> tuple[int, ...]:
    shapes = [(2, layers, kept, d_head) for kept in (heads, groups, 1)] + [(layers, latent + rotary)]
    return tuple(torch.zeros(shape, dtype=torch.bfloat16).nbytes for shape in shapes)


def _running_inputs(g: Generator) -> dict[str, Tensor]:
    return {"q": normal(g, 4), "keys": normal(g, 5, 4), "values": normal(g, 5, 3)}


def _running_by_hand(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    largest, total, mixed = -math.inf, 0.0, torch.zeros(3)
    for key, value in zip(keys, values, strict=True):
        score = float(q @ key) / math.sqrt(len(q))
        new = max(largest, score)
        shrink, weight = math.exp(largest - new), math.exp(score - new)
        largest, total, mixed = new, shrink * total + weight, shrink * mixed + weight * value
    output: Tensor = mixed / total
    return output


def _running_companion(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return tiled_attention(q[None], keys, values, key_tile=1).output[0]


def _running_torch(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q[None, None], keys[None], values[None])[0, 0]


def _round_inputs(g: Generator) -> dict[str, Any]:
    return {"w": normal(g, 8).float().double(), "b": whole(g, 2, 8)}


def _round_by_hand(w: Tensor, b: int) -> Tensor:
    step = float(max(abs(x) for x in w.tolist())) / (2 ** (b - 1) - 1)
    step = torch.tensor(step).half().double().item()  # as it is stored
    most = 2 ** (b - 1) - 1
    return torch.tensor([max(-most, min(most, round(x / step))) for x in w.tolist()])


def _round_companion(w: Tensor, b: int) -> Tensor:
    return quantize(w[None], Grid(b, len(w))).codes[0, 0]


def _round_torch(w: Tensor, b: int) -> Tensor:
    most = 2 ** (b - 1) - 1
    step = (w.abs().amax() / most).half().item()
    rounded = torch.fake_quantize_per_tensor_affine(w.float(), step, 0, -most, most)
    codes: Tensor = (rounded.double() / step).round()
    return codes


EQUATIONS = (
    Equation(
        label="eq-inference-roofline",
        symbols=(
            Symbol("t", "shortest time of a run, in seconds"),
            Symbol("F", "operations of the run"),
            Symbol("B", "bytes moved between memory and processor"),
            Symbol(r"\pi", "operations per second at the machine's best"),
            Symbol(r"\beta", "bytes per second at the machine's best (bandwidth)"),
        ),
        draw=lambda g: {
            "f": between(g, 1, 1e6),
            "b": between(g, 1, 1e6),
            "peak": between(g, 1, 1e3),
            "bandwidth": between(g, 1, 1e3),
        },
        by_hand=_time_by_hand,
        companion=_time_companion,
        library=_time_torch,
    ),
    Equation(
        label="eq-inference-step",
        symbols=(
            Symbol("F", "operations of a decode step"),
            Symbol("b", "number of texts in the batch"),
            Symbol("N", "number of weights in matrix products"),
            LAYERS,
            Symbol("d", "width of all query heads together"),
            Symbol("n", "length of each text, the new token included"),
            Symbol("B", "bytes that it moves"),
            BYTES,
            Symbol("c", "bytes of the cache per token"),
        ),
        draw=_step_inputs,
        by_hand=_step_by_hand,
        companion=_step_companion,
        library=_step_torch,
    ),
    Equation(
        label="eq-inference-cache",
        symbols=(
            Symbol(r"c_{\text{multi-head}}", "bytes per token, each query head with its own key and value"),
            Symbol(r"c_{\text{grouped}}", "bytes per token, query heads in groups"),
            Symbol(r"c_{\text{multi-query}}", "bytes per token, one key and value for all heads"),
            Symbol(r"c_{\text{latent}}", "bytes per token of latent attention"),
            LAYERS,
            Symbol("n_q", "query heads, `n_heads`"),
            Symbol("n_{kv}", "key/value heads, `n_kv_heads`"),
            Symbol("d_h", "width of a head, `d_head`"),
            Symbol("d_c", "size of the latent vector, `d_latent`"),
            Symbol("d_r", "size of the rotary key that all heads share, `d_rotary`"),
            BYTES,
        ),
        draw=_cache_inputs,
        by_hand=_cache_by_hand,
        companion=_cache_companion,
        library=_cache_torch,
    ),
    Equation(
        label="eq-inference-running",
        symbols=(
            Symbol("m", r"largest score so far, $-\infty$ before the first key; $m'$ with the new key"),
            Symbol("s", "score of the new key"),
            Symbol(r"\ell", "sum of exponentials so far, 0 before the first key"),
            Symbol("o", "sum of the values so far, weighted by those exponentials", "d_v"),
            Symbol("v", "value of the new key", "d_v"),
        ),
        draw=_running_inputs,
        by_hand=_running_by_hand,
        companion=_running_companion,
        library=_running_torch,
    ),
    Equation(
        label="eq-inference-round",
        symbols=(
            Symbol(r"\Delta", "step of the block's grid, stored in 16 bits"),
            Symbol("w_i", "weight $i$ of the block"),
            Symbol("b", "bits of a code"),
            Symbol("c_i", r"code of weight $i$, a whole number; it stands for $\Delta\, c_i$"),
        ),
        draw=_round_inputs,
        by_hand=_round_by_hand,
        companion=_round_companion,
        library=_round_torch,
    ),
)
