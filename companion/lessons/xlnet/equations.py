"""The equations of ``book/algorithms/xlnet.ipynb``."""

import math
from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_hand
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import normal, randomised, shares, tokens
from companion.lessons.tiny_worlds import Table, started
from companion.losses import causal_loss
from companion.losses.permutation import Permuted, permutation_loss
from companion.models.xlnet import XLNet, XLNetConfig
from companion.nn.attention import scaled_dot_product_attention
from companion.nn.masks import order_mask
from companion.nn.two_stream_attention import Relations, TwoStreamAttention, relate

TOLD = Symbol("z_t", "the place that is told $t$-th, counted from 1")
BEFORE = Symbol("z_{<t}", "the places told before")


def _two_hand(words: Tensor, joint: Tensor) -> tuple[float, ...]:
    a, b = words.tolist()
    p_a, p_b, p_ab = float(joint[a].sum()), float(joint[:, b].sum()), float(joint[a, b])
    return p_a * (p_ab / p_a), p_ab, p_b * (p_ab / p_b)


def _two_ours(words: Tensor, joint: Tensor) -> tuple[Tensor, ...]:
    a_first = torch.exp(-2 * causal_loss(Table(joint), started(words)))
    b_first = torch.exp(-2 * causal_loss(Table(joint.T), started(words.flip(0))))
    return a_first, a_first, b_first


def _two_torch(words: Tensor, joint: Tensor) -> tuple[Tensor, ...]:
    both = torch.distributions.Categorical(joint.flatten()).log_prob(words @ torch.tensor([len(joint), 1])).exp()
    return both, both, both


def _chain_hand(x: Tensor, z: Tensor, joint: Tensor) -> float:
    product = 1.0
    for t in range(len(z)):
        masses = []
        for told in (z[: t + 1], z[:t]):  # with the t-th word, and before it: sum over all that is not told
            places = [int(x[i]) if i in told else slice(None) for i in range(len(x))]
            masses.append(float(joint[tuple(places)].sum()))
        product *= masses[0] / masses[1]
    return product


def _chain_ours(x: Tensor, z: Tensor, joint: Tensor) -> Tensor:
    return torch.exp(-len(x) * causal_loss(Table(joint.permute(*z.tolist())), started(x[z])))


def _chain_torch(x: Tensor, z: Tensor, joint: Tensor) -> Tensor:
    number = sum(int(token) * stride for token, stride in zip(x, joint.stride(), strict=True))
    return torch.distributions.Categorical(joint.flatten()).log_prob(torch.tensor(number)).exp()


def _all_orders(g: Generator) -> dict[str, Any]:
    """A text, and for each order z the logits at z_t of a model to which nothing but z_<t was shown."""
    model = randomised(XLNet(XLNetConfig(vocab_size=6, n_layers=2, n_heads=2, d_model=4)), g)
    x, logits = tokens(g, 6, 3), {}
    for z in permutations(range(3)):
        rank = torch.tensor(z).argsort()
        for t in range(3):
            shown = torch.where(rank < t, x, tokens(g, 6, 3))  # other words where nothing is told yet
            logits[z, t] = model(shown[None], order=rank[None], targets=torch.tensor([[z[t]]]))[0, 0]
    return {"x": x, "logits": logits, "model": model}


def _objective_hand(x: Tensor, logits: dict[Any, Tensor], model: Any) -> float:
    total, orders = 0.0, list(permutations(range(len(x))))
    for z in orders:  # each as likely as any other
        for t in range(len(x)):
            scores = logits[z, t]
            total += math.log(math.exp(scores[x[z[t]]]) / sum(math.exp(s) for s in scores)) / len(orders)
    return -total


def _objective_ours(x: Tensor, logits: dict[Any, Tensor], model: Any) -> Tensor:
    z = torch.tensor(list(permutations(range(len(x)))))  # (orders, n)
    order, inputs = z.argsort(1), x.expand(len(z), -1)
    batch = Permuted(inputs, order, predict=z, targets=inputs.gather(1, z), visible=order_mask(order))
    return len(x) * permutation_loss(model, batch)  # the package divides by the number of places


def _objective_torch(x: Tensor, logits: dict[Any, Tensor], model: Any) -> Tensor:
    answers = torch.stack([x[z[t]] for z, t in logits])
    log_probs = torch.distributions.Categorical(logits=torch.stack(list(logits.values()))).log_prob(answers)
    return -log_probs.view(-1, len(x)).sum(1).mean()


def _streams_hand(g: Tensor, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    new_g, new_h = torch.zeros_like(g), torch.zeros_like(h)
    for t in range(len(z)):
        for old, new, seen in ((g, new_g, z[:t]), (h, new_h, z[: t + 1])):
            if len(seen):  # the first place has nothing to read from
                a = by_hand.softmax(h[seen] @ old[z[t]] / math.sqrt(h.size(1)))
                new[z[t]] = sum((a[j] * h[seen[j]] for j in range(len(seen))), torch.zeros(h.size(1)))
    return new_g, new_h


def _streams_ours(g: Tensor, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    rank = z.argsort()
    new_g, _ = scaled_dot_product_attention(g, h, h, order_mask(rank))
    new_h, _ = scaled_dot_product_attention(h, h, h, order_mask(rank, own=True))
    return new_g, new_h


def _streams_torch(g: Tensor, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    lower = torch.ones(len(z), len(z), dtype=torch.bool).tril()
    told = (h[z], h[z], h[z])  # written down in the order of telling, "before" is a triangle
    new_h = F.scaled_dot_product_attention(*told, attn_mask=lower)[z.argsort()]
    later = F.scaled_dot_product_attention(g[z][1:], *told[1:], attn_mask=lower[:-1])
    return torch.cat([torch.zeros(1, g.size(1)), later])[z.argsort()], new_h


def _relative(g: Generator) -> dict[str, Any]:
    x = normal(g, 1, 5, 6)
    relations = relate(x, token_type_ids=tokens(g, 2, 1, 5))
    return {"x": x[0], "relations": relations, "layer": randomised(TwoStreamAttention(6, 2), g)}


def _score_hand(x: Tensor, relations: Relations, layer: Any) -> Tensor:
    n, d_k = len(x), x.size(1) // layer.n_heads
    s = torch.zeros(layer.n_heads, n, n)
    for head in range(layer.n_heads):
        rows = slice(head * d_k, (head + 1) * d_k)
        q, k = x @ layer.query.weight[rows].T, x @ layer.key.weight[rows].T
        u, v, b = layer.content_bias[rows], layer.position_bias[rows], layer.segment_bias[rows]
        for i in range(n):
            for j in range(n):
                r = relations.sinusoids[n - (i - j)]  # the table begins with distance n
                e = layer.segment_embedding[int(relations.other_segment[0, i, j]), head]  # type: ignore[index]
                by_distance = (q[i] + v) @ (layer.position.weight[rows] @ r)
                s[head, i, j] = ((q[i] + u) @ k[j] + by_distance + (q[i] + b) @ e) / math.sqrt(d_k)
    return by_hand.softmax(s)


def _score_ours(x: Tensor, relations: Relations, layer: Any) -> Tensor:
    seen: list[Tensor] = []
    layer.content_attention.observers = [lambda weights: seen.append(weights) or weights]  # type: ignore[func-returns-value]
    layer(x[None], relations)
    return seen[0][0]


def _score_torch(x: Tensor, relations: Relations, layer: Any) -> Tensor:
    heads, n = layer.n_heads, len(x)
    q, k = (part(x).view(n, heads, -1) for part in (layer.query, layer.key))
    u, v, b = (bias.view(heads, -1) for bias in (layer.content_bias, layer.position_bias, layer.segment_bias))
    distance = torch.arange(n)[:, None] - torch.arange(n)
    r = F.linear(relations.sinusoids, layer.position.weight).view(2 * n, heads, -1)[n - distance]  # (i, j, heads, d_k)
    e = layer.segment_embedding[relations.other_segment[0].long()]  # type: ignore[index]
    scores = torch.einsum("ihc,jhc->hij", q + u, k)
    scores += torch.einsum("ihc,ijhc->hij", q + v, r) + torch.einsum("ihc,ijhc->hij", q + b, e)
    return F.softmax(scores / q.size(-1) ** 0.5, dim=-1)


EQUATIONS = (
    Equation(
        "eq-xlnet-two",
        (
            Symbol("a, b", "words in the first and in the second gap"),
            Symbol("p(a)", "probability of $a$, whatever $b$ is"),
            Symbol("p(b \\mid a)", "probability of $b$ when $a$ is known"),
            Symbol("p(a, b)", "probability of both"),
        ),
        lambda g: {"words": tokens(g, 4, 2), "joint": shares(g, 16).view(4, 4)},
        _two_hand,
        _two_ours,
        _two_torch,
    ),
    Equation(
        "eq-xlnet-chain",
        (Symbol("x_i", "word at place $i$, 1 to $n$"), TOLD, Symbol("p", "probability of words at places")),
        lambda g: {
            "x": tokens(g, 3, 4),
            "z": torch.randperm(4, generator=g),
            "joint": shares(g, 3**4).view(3, 3, 3, 3),
        },
        _chain_hand,
        _chain_ours,
        _chain_torch,
    ),
    Equation(
        "eq-xlnet-objective",
        (
            Symbol(r"\mathcal{L}(\theta)", "loss of a text, in nats"),
            Symbol(r"\mathbb{E}_z", "mean over all factorisation orders $z$"),
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            TOLD,
            BEFORE,
        ),
        _all_orders,
        _objective_hand,
        _objective_ours,
        _objective_torch,
    ),
    Equation(
        "eq-xlnet-streams",
        (
            Symbol("g_i^{(m)}", "query stream at place $i$ after layer $m$: where and not what", "d"),
            Symbol("h_i^{(m)}", "content stream at place $i$ after layer $m$: where and what", "d"),
            Symbol(r"\mathrm{Att}(q; S)", "attention of the query $q$ over the contents at the places in $S$"),
            TOLD,
            BEFORE,
        ),
        lambda g: {"g": normal(g, 5, 4), "h": normal(g, 5, 4), "z": torch.randperm(5, generator=g)},
        _streams_hand,
        _streams_ours,
        _streams_torch,
    ),
    Equation(
        "eq-xlnet-score",
        (
            Symbol("s_{ij}", "score of place $i$ for place $j$ (checked after the softmax along the row)"),
            Symbol("q_i, k_j", "query of $i$ and key of $j$, of a head", "d_k"),
            Symbol("u, v, b", "what the head likes whoever asks; learned", "d_k"),
            Symbol("W^R", "matrix that makes a key of a distance", r"d_k \times d"),
            Symbol("r_{i-j}", "sines and cosines of the distance", "d"),
            Symbol("e_{ij}", "one of two learned vectors: same segment, or another", "d_k"),
        ),
        _relative,
        _score_hand,
        _score_ours,
        _score_torch,
    ),
)
