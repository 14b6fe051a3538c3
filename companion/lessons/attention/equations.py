"""The equations of ``book/concepts/attention.ipynb`` about one head."""

import math
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised, shares, whole
from companion.nn.attention import MultiHeadAttention, scaled_dot_product_attention

SHARE = Symbol("a_{ij}", "share of its reading that token $i$ gives to token $j$")
SCORE = Symbol("s_{ij}", "score of the pair: how well $j$ fits what $i$ looks for")
READ = Symbol("o_i", "what token $i$ has read", r"d_v")
QUERY = Symbol("q_i", "query of token $i$: what it looks for", "d_k")
KEY = Symbol("k_j", "key of token $j$: what it can be found by", "d_k")
VALUE = Symbol("v_j", "value of token $j$: what it hands over", "d_v")
KEY_SIZE = Symbol("d_k", "length of a query and of a key")


def _average_hand(a: Tensor, x: Tensor) -> Tensor:
    n = len(x)
    return torch.stack([sum((a[i, j] * x[j] for j in range(n)), torch.zeros(x.size(1))) for i in range(n)])


def _average_ours(a: Tensor, x: Tensor) -> Tensor:
    output, _ = scaled_dot_product_attention(torch.zeros_like(x), x, x, bias=a.log())
    return output


def _average_torch(a: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("ij,jc->ic", a, x)


def _softmax_hand(s: Tensor) -> Tensor:
    n = len(s)
    rows = [[math.exp(s[i, j]) / sum(math.exp(s[i, m]) for m in range(n)) for j in range(n)] for i in range(n)]
    return torch.tensor(rows)


def _softmax_ours(s: Tensor) -> Tensor:
    nothing = torch.zeros(len(s), 1)
    _, weights = scaled_dot_product_attention(nothing, nothing, nothing, bias=s)
    return weights


def _softmax_torch(s: Tensor) -> Tensor:
    return F.softmax(s, dim=-1)


def _qkv_hand(x: Tensor, layer: MultiHeadAttention) -> tuple[Tensor, ...]:
    results = []
    for w in (layer.query.weight.T, layer.key.weight.T, layer.value.weight.T):  # each (d, d_k)
        rows = [[sum(float(x_i[a] * w[a, c]) for a in range(len(w))) for c in range(w.size(1))] for x_i in x]
        results.append(torch.tensor(rows))
    return tuple(results)


def _qkv_ours(x: Tensor, layer: MultiHeadAttention) -> tuple[Tensor, ...]:
    return layer.query(x), layer.key(x), layer.value(x)


def _qkv_torch(x: Tensor, layer: MultiHeadAttention) -> tuple[Tensor, ...]:
    return tuple(F.linear(x, part.weight) for part in (layer.query, layer.key, layer.value))


def _position_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, d_k = q.shape
    output = torch.zeros(n, v.size(1))
    for i in range(n):
        s = [sum(float(q[i, c] * k[j, c]) for c in range(d_k)) / math.sqrt(d_k) for j in range(n)]
        a = [math.exp(s[j]) / sum(math.exp(s[m]) for m in range(n)) for j in range(n)]
        output[i] = sum((a[j] * v[j] for j in range(n)), torch.zeros(v.size(1)))
    return output


def _position_ours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    output, _ = scaled_dot_product_attention(q, k, v)
    return output


def _position_torch(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def _matrix_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    powers = (q @ k.T / math.sqrt(q.size(1))).exp()
    return powers / powers.sum(1, keepdim=True) @ v


def _mask_hand(q: Tensor, k: Tensor, m: Tensor) -> Tensor:
    n, d_k = q.shape
    shares = torch.zeros(n, n)
    for i in range(n):
        s = [float(q[i] @ k[j]) / math.sqrt(d_k) if m[i, j] else -math.inf for j in range(n)]
        shares[i] = torch.tensor([math.exp(s[j]) / sum(map(math.exp, s)) for j in range(n)])
    return shares


def _mask_ours(q: Tensor, k: Tensor, m: Tensor) -> Tensor:
    _, weights = scaled_dot_product_attention(q, k, k, m)
    return weights


def _mask_torch(q: Tensor, k: Tensor, m: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, torch.eye(len(k)), attn_mask=m)  # each value is its token's number


def _three(generator: Generator) -> dict[str, Any]:
    return {"q": normal(generator, 4, 3), "k": normal(generator, 4, 3), "v": normal(generator, 4, 2)}


def _masked(generator: Generator) -> dict[str, Any]:
    mask = (normal(generator, 5, 5) > 0) | torch.eye(5, dtype=torch.bool)  # each may read itself at least
    return {"q": normal(generator, 5, 3), "k": normal(generator, 5, 3), "m": mask}


WIDTH = Symbol("d", "width of the vectors that come in and go out")
LENGTH = Symbol("n", "tokens in the text")


def _permutation_hand(x: Tensor, order: Tensor, layer: MultiHeadAttention) -> Tensor:
    p = torch.zeros(len(x), len(x))
    for i in range(len(x)):
        p[i, order[i]] = 1.0
    return by_hand.multi_head_attention(p @ x, p @ x, layer)  # the left side


def _permutation_ours(x: Tensor, order: Tensor, layer: MultiHeadAttention) -> Tensor:
    return layer(x[None])[0][order]  # the right side


def _permutation_torch(x: Tensor, order: Tensor, layer: MultiHeadAttention) -> Tensor:
    return F.one_hot(order, len(x)).double() @ by_torch.multi_head_attention(x, x, layer)


def _heads_hand(x: Tensor, layer: MultiHeadAttention) -> Tensor:
    d_k = x.size(1) // layer.n_heads
    heads = []
    for i in range(layer.n_heads):
        rows = slice(i * d_k, (i + 1) * d_k)  # of head i in the matrices, which lie side by side
        w_q, w_k, w_v = (part.weight[rows].T for part in (layer.query, layer.key, layer.value))  # each (d, d_k)
        a = by_hand.softmax((x @ w_q) @ (x @ w_k).T / d_k**0.5)
        heads.append(a @ (x @ w_v))
    return torch.cat(heads, dim=1) @ layer.output.weight.T


def _heads_ours(x: Tensor, layer: MultiHeadAttention) -> Tensor:
    output: Tensor = layer(x[None])
    return output[0]


def _heads_torch(x: Tensor, layer: MultiHeadAttention) -> Tensor:
    return by_torch.multi_head_attention(x, x, layer)


def _parameters_hand(d: int, h: int) -> int:
    return 4 * d**2 + 4 * d


def _parameters_ours(d: int, h: int) -> int:
    return sum(p.numel() for p in MultiHeadAttention(d_model=d, n_heads=h).parameters())


def _parameters_torch(d: int, h: int) -> int:
    return sum(p.numel() for p in nn.MultiheadAttention(d, h).parameters())


def _flops_hand(n: int, d: int, h: int) -> int:
    return 8 * n * d**2 + 2 * n**2 * d + 2 * n**2 * d


def _flops_ours(n: int, d: int, h: int) -> int:
    layer, step_by_step = MultiHeadAttention(d_model=d, n_heads=h), sdpa_kernel(SDPBackend.MATH)
    with step_by_step, FlopCounterMode(display=False) as counter:  # each product can be counted
        layer(torch.zeros(1, n, d))
    return counter.get_total_flops()


def _flops_torch(n: int, d: int, h: int) -> int:
    layer, x = nn.MultiheadAttention(d, h), torch.zeros(n, 1, d)
    with FlopCounterMode(display=False) as counter:
        layer(x, x, x)
    return counter.get_total_flops()


def _variance_hand(values: Tensor, chances: Tensor) -> tuple[float, float]:
    total = 0.0
    for c in range(values.size(1)):  # one component of q and the same of k
        mean = square = 0.0
        for a, b in product(range(2), range(2)):
            chance = float(chances[0, c, a] * chances[1, c, b])
            qk = float(values[0, c, a] * values[1, c, b])
            mean, square = mean + chance * qk, square + chance * qk**2
        total += square - mean**2
    return total, total / math.sqrt(values.size(1)) ** 2


def _variance_ours(values: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    (query, key), (p, r) = (_outcomes(x) for x in values), (_outcomes(x).prod(1) for x in chances)
    key = torch.cat([key, torch.zeros_like(key[:1])])  # a key of score 0, to read the other scores off
    _, weights = scaled_dot_product_attention(query, key, key)
    scores = (weights[:, :-1] / weights[:, -1:]).log()  # q · k / sqrt(d_k)
    chance = p[:, None] * r
    variance = (chance * scores**2).sum() - (chance * scores).sum() ** 2
    return variance * query.size(1), variance


def _variance_torch(values: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    (query, key), (p, r) = (_outcomes(x) for x in values), (_outcomes(x).prod(1) for x in chances)
    scores, chance = (query @ key.T).flatten(), torch.outer(p, r).flatten()
    scaled = scores / math.sqrt(query.size(1))
    return tuple(torch.cov(s, correction=0, aweights=chance) for s in (scores, scaled))  # type: ignore[return-value]


def _outcomes(choices: Tensor) -> Tensor:
    """Every way to choose one of two numbers for each component (d_k, 2): (2^d_k, d_k)."""
    return torch.stack([torch.stack(way) for way in product(*choices)])


def _two_values(generator: Generator) -> dict[str, Any]:
    chance = torch.tensor([[between(generator, 0.2, 0.8) for _ in range(3)] for _ in range(2)])  # (q and k, d_k)
    chances = torch.stack([chance, 1 - chance], dim=-1)
    odds = ((1 - chance) / chance).sqrt()
    return {"values": torch.stack([odds, -1 / odds], dim=-1), "chances": chances}  # mean 0, variance 1


def _jacobian_hand(s: Tensor) -> Tensor:
    n = len(s)
    a = [math.exp(s[j]) / sum(math.exp(s[m]) for m in range(n)) for j in range(n)]  # one row i
    return torch.tensor([[a[j] * ((1 if j == m else 0) - a[m]) for m in range(n)] for j in range(n)])


def _jacobian_ours(s: Tensor) -> Tensor:
    nothing = torch.zeros(1, 1), torch.zeros(len(s), 1), torch.zeros(len(s), 1)
    derivative = torch.func.jacrev(lambda scores: scaled_dot_product_attention(*nothing, bias=scores[None])[1][0])
    return derivative(s)


def _jacobian_torch(s: Tensor) -> Tensor:
    result: Tensor = torch.autograd.functional.jacobian(lambda scores: F.softmax(scores, dim=0), s)
    return result


EQUATIONS = (
    Equation(
        "eq-attention-average",
        (Symbol("o_i", "what token $i$ has read", "d"), SHARE, Symbol("x_j", "vector of token $j$", "d")),
        lambda g: {"a": shares(g, 5, 5), "x": normal(g, 5, 3)},
        _average_hand,
        _average_ours,
        _average_torch,
    ),
    Equation(
        "eq-attention-softmax",
        (SHARE, SCORE, Symbol("l", "runs over the tokens that can be read, 1 to $n$")),
        lambda g: {"s": normal(g, 5, 5)},
        _softmax_hand,
        _softmax_ours,
        _softmax_torch,
    ),
    Equation(
        "eq-attention-qkv",
        (
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
            Symbol("Q, K", "queries and keys, one a row", r"n \times d_k"),
            Symbol("V", "values, one a row", r"n \times d_v"),
            Symbol("W^Q, W^K", "matrices that make queries and keys; learned", r"d \times d_k"),
            Symbol("W^V", "matrix that makes values; learned", r"d \times d_v"),
        ),
        lambda g: {"x": normal(g, 4, 6), "layer": randomised(MultiHeadAttention(6, 1, d_head=3, bias=False), g)},
        _qkv_hand,
        _qkv_ours,
        _qkv_torch,
    ),
    Equation(
        "eq-attention-position",
        (SCORE, SHARE, READ, QUERY, KEY, VALUE, KEY_SIZE),
        _three,
        _position_hand,
        _position_ours,
        _position_torch,
    ),
    Equation(
        "eq-attention-matrix",
        (
            Symbol("Q, K", "queries and keys, one a row", r"n \times d_k"),
            Symbol("V", "values, one a row", r"n \times d_v"),
            KEY_SIZE,
        ),
        _three,
        _matrix_hand,
        _position_ours,
        _position_torch,
    ),
    Equation(
        "eq-attention-mask",
        (SCORE, QUERY, KEY, KEY_SIZE, Symbol("M_{ij}", "1 where $i$ may read $j$, else 0")),
        _masked,
        _mask_hand,
        _mask_ours,
        _mask_torch,
    ),
    Equation(
        "eq-attention-permutation",
        (
            Symbol("P", "matrix that permutes rows: a single 1 in each row and column, else 0", r"n \times n"),
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
        ),
        lambda g: {
            "x": normal(g, 5, 6),
            "order": torch.randperm(5, generator=g),
            "layer": randomised(MultiHeadAttention(6, 2), g),
        },
        _permutation_hand,
        _permutation_ours,
        _permutation_torch,
    ),
    Equation(
        "eq-attention-heads",
        (
            Symbol(r"\mathrm{head}_i", "what head $i$ has read, $i = 1, \\dots, h$", r"n \times d_v"),
            Symbol("X", "vectors of all tokens, one a row", r"n \times d"),
            Symbol("W_i^Q, W_i^K", "matrices that make the queries and keys of head $i$", r"d \times d_k"),
            Symbol("W_i^V", "matrix that makes the values of head $i$", r"d \times d_v"),
            Symbol("W^O", "matrix that mixes what the heads found", r"h d_v \times d"),
            Symbol("h", "heads"),
        ),
        lambda g: {"x": normal(g, 4, 6), "layer": randomised(MultiHeadAttention(6, 3, bias=False), g)},
        _heads_hand,
        _heads_ours,
        _heads_torch,
    ),
    Equation(
        "eq-attention-parameters",
        (Symbol("N", "parameters of the layer"), WIDTH),
        lambda g: {"d": 12 * whole(g, 1, 8), "h": whole(g, 1, 4)},
        _parameters_hand,
        _parameters_ours,
        _parameters_torch,
    ),
    Equation(
        "eq-attention-flops",
        (Symbol("F", "operations: multiplications and additions"), LENGTH, WIDTH),
        lambda g: {"n": whole(g, 1, 20), "d": 12 * whole(g, 1, 4), "h": whole(g, 1, 4)},
        _flops_hand,
        _flops_ours,
        _flops_torch,
    ),
    Equation(
        "eq-attention-variance",
        (
            Symbol(r"\operatorname{Var}", "variance over all that may be drawn"),
            Symbol("q, k", "a query and a key, with independent components of mean 0 and variance 1", "d_k"),
            Symbol("q_c, k_c", "their components, $c = 1, \\dots, d_k$"),
            Symbol("d_k", "length of a query and of a key"),
        ),
        _two_values,
        _variance_hand,
        _variance_ours,
        _variance_torch,
    ),
    Equation(
        "eq-attention-jacobian",
        (
            Symbol("a_{ij}", "share of its reading that token $i$ gives to token $j$"),
            Symbol("s_{il}", "score of the pair $i$, $l$"),
            Symbol(r"\delta_{jl}", "1 if $j = l$, else 0"),
        ),
        lambda g: {"s": normal(g, 5)},
        _jacobian_hand,
        _jacobian_ours,
        _jacobian_torch,
    ),
)
