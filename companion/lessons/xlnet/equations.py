"""Equations of ``book/algorithms/xlnet.ipynb``."""

import math
from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import distribution, normal, randomised, tokens
from companion.lessons.tiny_worlds import any_order_model
from companion.losses.permutation import Permuted, permutation_loss
from companion.models.xlnet import XLNet, XLNetConfig
from companion.nn.attention import scaled_dot_product_attention
from companion.nn.capture import capture
from companion.nn.masks import order_mask
from companion.nn.two_stream_attention import Relations, TwoStreamAttention, relate

PREDICTED = Symbol("z_t", "position that is predicted $t$-th, counted from 1")
BEFORE = Symbol("z_{<t}", "positions that are predicted before")


def _two_by_hand(words: Tensor, joint: Tensor) -> tuple[float, ...]:
    a, b = words.tolist()
    p_a, p_b, p_ab = float(joint[a].sum()), float(joint[:, b].sum()), float(joint[a, b])
    return p_a * (p_ab / p_a), p_ab, p_b * (p_ab / p_b)


def _two_companion(words: Tensor, joint: Tensor) -> tuple[Tensor, ...]:
    a_first, b_first = (_told_in_order(words, torch.tensor(z), joint) for z in ((0, 1), (1, 0)))
    return a_first, a_first, b_first


def _told_in_order(x: Tensor, z: Tensor, joint: Tensor) -> Tensor:
    """Probability of a text as a product in the order z: companion's loss is the mean of the negative logarithms."""
    order = z.argsort()[None]
    batch = Permuted(x[None], order, predict=z[None], targets=x[z][None], visible=order_mask(order))
    return torch.exp(-len(x) * permutation_loss(any_order_model(joint, x), batch))


def _two_torch(words: Tensor, joint: Tensor) -> tuple[Tensor, ...]:
    both = by_torch.log_prob(joint.flatten().log(), words @ torch.tensor([len(joint), 1])).exp()
    return both, both, both


def _chain_by_hand(x: Tensor, z: Tensor, joint: Tensor) -> float:
    product = 1.0
    for t in range(len(z)):
        masses = []
        for told in (z[: t + 1], z[:t]):  # with the t-th word, and before it: sum over all unknown words
            index = tuple(int(x[i]) if i in told else slice(None) for i in range(len(x)))
            masses.append(float(joint[index].sum()))
        product *= masses[0] / masses[1]
    return product


def _chain_companion(x: Tensor, z: Tensor, joint: Tensor) -> Tensor:
    return _told_in_order(x, z, joint)


def _chain_torch(x: Tensor, z: Tensor, joint: Tensor) -> Tensor:
    number = sum(int(token) * stride for token, stride in zip(x, joint.stride(), strict=True))
    return by_torch.log_prob(joint.flatten().log(), torch.tensor(number)).exp()


def _all_orders(g: Generator) -> dict[str, Any]:
    """A text, and for each order z the logits at z_t of a model that was shown the tokens at z_<t alone."""
    model = randomised(XLNet(XLNetConfig(vocab_size=6, n_layers=2, n_heads=2, d_model=4)), g)
    x, logits = tokens(g, 6, 3), {}
    for z in permutations(range(3)):
        rank = torch.tensor(z).argsort()
        for t in range(3):
            shown = torch.where(rank < t, x, tokens(g, 6, 3))  # other words at unknown positions
            logits[z, t] = model(shown[None], order=rank[None], targets=torch.tensor([[z[t]]]))[0, 0]
    return {"x": x, "logits": logits, "model": model}


def _objective_by_hand(x: Tensor, logits: dict[Any, Tensor], model: Any) -> float:
    total, orders = 0.0, list(permutations(range(len(x))))
    for z in orders:  # each as likely as any other
        for t in range(len(x)):
            scores = logits[z, t]
            total += math.log(math.exp(scores[x[z[t]]]) / sum(math.exp(s) for s in scores)) / len(orders)
    return -total


def _objective_companion(x: Tensor, logits: dict[Any, Tensor], model: Any) -> Tensor:
    z = torch.tensor(list(permutations(range(len(x)))))  # (orders, n)
    order, inputs = z.argsort(1), x.expand(len(z), -1)
    batch = Permuted(inputs, order, predict=z, targets=inputs.gather(1, z), visible=order_mask(order))
    return len(x) * permutation_loss(model, batch)  # companion divides by the number of positions


def _objective_torch(x: Tensor, logits: dict[Any, Tensor], model: Any) -> Tensor:
    answers = torch.stack([x[z[t]] for z, t in logits])
    log_probs = by_torch.log_prob(torch.stack(list(logits.values())), answers)
    return -log_probs.view(-1, len(x)).sum(1).mean()


def _streams_by_hand(g: Tensor, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    new_g, new_h = torch.zeros_like(g), torch.zeros_like(h)
    for t in range(len(z)):
        for old, new, seen in ((g, new_g, z[:t]), (h, new_h, z[: t + 1])):
            if len(seen):  # the first position has nothing to attend to
                a = by_hand.softmax(h[seen] @ old[z[t]] / math.sqrt(h.size(1)))
                new[z[t]] = sum((a[j] * h[seen[j]] for j in range(len(seen))), torch.zeros(h.size(1)))
    return new_g, new_h


def _streams_companion(g: Tensor, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    rank = z.argsort()
    new_g, _ = scaled_dot_product_attention(g, h, h, order_mask(rank))
    new_h, _ = scaled_dot_product_attention(h, h, h, order_mask(rank, own=True))
    return new_g, new_h


def _streams_torch(g: Tensor, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    lower = torch.ones(len(z), len(z), dtype=torch.bool).tril()
    ordered = (h[z], h[z], h[z])  # in the order of prediction, "before" is a triangle
    new_h = F.scaled_dot_product_attention(*ordered, attn_mask=lower)[z.argsort()]
    later = F.scaled_dot_product_attention(g[z][1:], *ordered[1:], attn_mask=lower[:-1])
    return torch.cat([torch.zeros(1, g.size(1)), later])[z.argsort()], new_h


def _relative(g: Generator) -> dict[str, Any]:
    x = normal(g, 1, 5, 6)
    relations = relate(x, token_type_ids=tokens(g, 2, 1, 5))
    return {"x": x[0], "relations": relations, "layer": randomised(TwoStreamAttention(6, 2), g)}


def _score_by_hand(x: Tensor, relations: Relations, layer: Any) -> Tensor:
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


def _score_companion(x: Tensor, relations: Relations, layer: Any) -> Tensor:
    with capture(layer) as record:
        layer(x[None], relations)
    return record.attention[0][0]


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
        label="eq-xlnet-two",
        symbols=(
            Symbol("a, b", "words in the first and in the second gap"),
            Symbol("p(a)", "marginal probability of $a$"),
            Symbol("p(b \\mid a)", "conditional probability of $b$ given $a$"),
            Symbol("p(a, b)", "joint probability"),
        ),
        draw=lambda g: {"words": tokens(g, 4, 2), "joint": distribution(g, 16).view(4, 4)},
        by_hand=_two_by_hand,
        companion=_two_companion,
        library=_two_torch,
    ),
    Equation(
        label="eq-xlnet-chain",
        symbols=(
            Symbol("x_i", "word at position $i$, 1 to $n$"),
            PREDICTED,
            Symbol("p", "probability of words at positions"),
        ),
        draw=lambda g: {
            "x": tokens(g, 3, 4),
            "z": torch.randperm(4, generator=g),
            "joint": distribution(g, 3**4).view(3, 3, 3, 3),
        },
        by_hand=_chain_by_hand,
        companion=_chain_companion,
        library=_chain_torch,
    ),
    Equation(
        label="eq-xlnet-objective",
        symbols=(
            Symbol(r"\mathcal{L}(\theta)", "loss of a text, in nats"),
            Symbol(r"\mathbb{E}_z", "expectation over the factorisation orders $z$"),
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            PREDICTED,
            BEFORE,
        ),
        draw=_all_orders,
        by_hand=_objective_by_hand,
        companion=_objective_companion,
        library=_objective_torch,
    ),
    Equation(
        label="eq-xlnet-streams",
        symbols=(
            Symbol(
                "g_i^{(m)}", "query stream at position $i$ after layer $m$: knows the position and not the token", "d"
            ),
            Symbol("h_i^{(m)}", "content stream at position $i$ after layer $m$: knows position and token", "d"),
            Symbol(r"\mathrm{Att}(q; S)", "attention of the query $q$ over the content stream at the positions in $S$"),
            PREDICTED,
            BEFORE,
        ),
        draw=lambda g: {"g": normal(g, 5, 4), "h": normal(g, 5, 4), "z": torch.randperm(5, generator=g)},
        by_hand=_streams_by_hand,
        companion=_streams_companion,
        library=_streams_torch,
    ),
    Equation(
        label="eq-xlnet-score",
        symbols=(
            Symbol(
                "s_{ij}", "attention score of position $i$ for position $j$ (checked after the softmax along the row)"
            ),
            Symbol("q_i, k_j", "query of $i$ and key of $j$, of a head", "d_k"),
            Symbol("u, v, b", "biases of the query, which do not depend on it; learned", "d_k"),
            Symbol("W^R", "projection of distances to keys", r"d_k \times d"),
            Symbol("r_{i-j}", "sinusoidal encoding of the distance", "d"),
            Symbol("e_{ij}", "segment embedding: one of two learned vectors, same segment or another", "d_k"),
        ),
        draw=_relative,
        by_hand=_score_by_hand,
        companion=_score_companion,
        library=_score_torch,
    ),
)
