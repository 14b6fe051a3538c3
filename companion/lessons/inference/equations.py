"""Equations of ``book/algorithms/inference.ipynb``."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.generation.constrained import TokenMask, constrained
from companion.generation.costs import Machine, ServedModel, kv_bytes, latent_bytes
from companion.generation.draws import outcomes
from companion.generation.grammar import words
from companion.generation.speculative import acceptance, expected_tokens, residual, speculative_round
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, distribution, normal, whole
from companion.nn.flash_attention import tiled_attention
from companion.nn.quantization import Grid, quantize

TARGET = Symbol("p", "the target's probabilities of the next token; $p(x)$ of token $x$", "V")
DRAFT = Symbol("q", "the draft's probabilities of the same token", "V")
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


def _pair(g: Generator) -> dict[str, Tensor]:
    return {"p": distribution(g, 5), "q": distribution(g, 5)}


def _keep_by_hand(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    keep = [min(1.0, float(a) / float(b)) for a, b in zip(p, q, strict=True)]
    more = [max(0.0, float(a) - float(b)) for a, b in zip(p, q, strict=True)]
    return torch.tensor(keep), torch.tensor([x / sum(more) for x in more])


def _keep_companion(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return acceptance(p, q), residual(p, q)


def _keep_torch(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    return (p / q).clamp(max=1), F.normalize(F.relu(p - q), p=1, dim=0)


def _exact_by_hand(p: Tensor, q: Tensor) -> Tensor:
    keep, again = _keep_by_hand(p, q)
    rejected = 1 - sum(float(b) * float(a) for a, b in zip(keep, q, strict=True))
    return torch.stack([q[x] * keep[x] + rejected * again[x] for x in range(len(p))])


def _exact_companion(p: Tensor, q: Tensor) -> Tensor:
    def first(draw: Any) -> int:
        return speculative_round([0], lambda text, proposed: torch.stack([p, p]), lambda text: q, 1, draw).tokens[0]

    found = outcomes(first)  # the sampler itself, along every branch
    return torch.tensor([found[x] for x in range(len(p))])


def _exact_target(p: Tensor, q: Tensor) -> Tensor:
    return p


def _expected_by_hand(alpha: float, k: int) -> float:
    return float((1 - alpha ** (k + 1)) / (1 - alpha))


def _expected_companion(alpha: float, k: int) -> float:
    return expected_tokens(alpha, k)


def _expected_torch(alpha: float, k: int) -> Tensor:
    return 1 + torch.full((k,), alpha).cumprod(0).sum()  # the chance that at least so many are kept, summed


LANGUAGE = ("ac", "ad", "bd")  # texts of two letters that the mask lets through
PLACES = [tuple("abcd".index(letter) for letter in text) for text in LANGUAGE]


def _masked_inputs(g: Generator) -> dict[str, Tensor]:
    return {"first": normal(g, 4), "second": normal(g, 4, 4)}  # logits of a to d, at the start and after each letter


def _softmax(z: list[float]) -> list[float]:
    return [math.exp(x) / sum(math.exp(y) for y in z) for x in z]


def _masked_by_hand(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    start = _softmax(first.tolist())
    local, whole_text = [], []
    for x, y in PLACES:
        then = _softmax(second[x].tolist())
        allowed = {b for a, b in PLACES if a == x}
        local.append(start[x] / (start[0] + start[1]) * then[y] / sum(then[b] for b in allowed))
        whole_text.append(start[x] * then[y])
    return torch.tensor(local), torch.tensor([p / sum(whole_text) for p in whole_text])


def _masked_companion(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    def after(text: Sequence[int]) -> Tensor:
        if len(text) == 2:
            return torch.tensor([-math.inf] * 4 + [0.0])  # the end
        return F.pad(second[text[0]] if text else first, (0, 1), value=-math.inf)

    def written(*texts: str) -> Tensor:
        mask = TokenMask(words(*texts), [*"abcd", None], stop=4)
        found = outcomes(lambda draw: tuple(constrained([], after, mask, draw, longest=3)))
        return torch.tensor([found[(*place, 4)] for place in PLACES])

    unmasked = written(*(a + b for a in "abcd" for b in "abcd"))
    return written(*LANGUAGE), unmasked / unmasked.sum()


def _masked_torch(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    allowed = torch.tensor([[True, True], [False, True]])  # (a or b, c or d)
    then = second.log_softmax(1)[:2, 2:].masked_fill(~allowed, -math.inf)
    local = first[:2].log_softmax(0)[:, None] + then.log_softmax(1)
    joint = (first.log_softmax(0)[:2, None] + then).flatten().softmax(0)
    return local[allowed].exp(), joint.unflatten(0, (2, 2))[allowed]


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
    Equation(
        label="eq-inference-keep",
        symbols=(
            Symbol("a(x)", "probability that a proposed token is kept"),
            TARGET,
            DRAFT,
            Symbol("r(x)", "probability of the token that is drawn after a rejection"),
        ),
        draw=_pair,
        by_hand=_keep_by_hand,
        companion=_keep_companion,
        library=_keep_torch,
    ),
    Equation(
        label="eq-inference-exact",
        symbols=(
            DRAFT,
            Symbol("a(x)", "probability that a proposed token is kept"),
            Symbol("r(x)", "probability of the token that is drawn after a rejection"),
            TARGET,
        ),
        draw=_pair,
        by_hand=_exact_by_hand,
        companion=_exact_companion,
        library=_exact_target,
        library_name="the target",
    ),
    Equation(
        label="eq-inference-expected",
        symbols=(
            Symbol(r"\mathbb{E}[\text{tokens}]", "expected tokens per run of the target"),
            Symbol(r"\alpha", "probability that a proposal is kept, below 1"),
            Symbol("k", "number of proposals per run, `lookahead`"),
        ),
        draw=lambda g: {"alpha": between(g, 0.05, 0.95), "k": whole(g, 1, 8)},
        by_hand=_expected_by_hand,
        companion=_expected_companion,
        library=_expected_torch,
    ),
    Equation(
        label="eq-inference-mask",
        symbols=(
            Symbol(r"p_{\text{masked}}(y)", "probability that the masked sampler writes the text $y$"),
            Symbol("p(y_t \\mid y_{<t})", "the model's probability of token $t$"),
            Symbol(r"Z(y_{<t})", "the model's probability of all tokens that the mask allows next"),
            Symbol(r"p(y \mid S)", "the model's probability of $y$, given that the text is allowed"),
            Symbol("S", "set of the allowed texts"),
        ),
        draw=_masked_inputs,
        by_hand=_masked_by_hand,
        companion=_masked_companion,
        library=_masked_torch,
    ),
)
