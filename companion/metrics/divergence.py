"""Jensen–Shannon divergence of two distributions, and of the attention heads of two models, in bits.

``JS(p, q) = KL(p || m) / 2 + KL(q || m) / 2`` with ``m = (p + q) / 2``. It is symmetric, 0 where the two are equal, and
at most 1 bit, where no outcome has a probability in both; unlike ``KL(p || q)`` it stays finite where ``q`` is 0.
Chapter: ``book/algorithms/distillation.ipynb``, "Look inside". Sources: Lin 1991, "Divergence Measures Based on the
Shannon Entropy"; Clark et al. 2019, "What Does BERT Look At?", section 6, where heads are compared by it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from companion.data.batch import upcast


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Jensen–Shannon divergence over the last dimension, in bits: ``H((p + q) / 2) - (H(p) + H(q)) / 2``.

    >>> jensen_shannon(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    tensor([0., 1.])

    Args:
        p: distributions (…, outcomes).
        q: others, of a shape that can be broadcast to that of p.

    Returns:
        (…), between 0 and 1.

    Raises:
        ValueError: when the two are over different numbers of outcomes.
    """
    if p.size(-1) != q.size(-1):
        raise ValueError(f"both must be over as many outcomes; got {p.size(-1)} and {q.size(-1)}")
    p, q = upcast(p), upcast(q)
    of_mean, of_p, of_q = (torch.special.entr(one).sum(-1) for one in ((p + q) / 2, p, q))
    bits: Tensor = (of_mean - (of_p + of_q) / 2) / math.log(2)
    return bits.clamp(0, 1)  # rounding reaches beyond both ends


def head_divergence(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Divergence of each head of one model from the head of the same layer and number in another, in bits.

    ``mean_i JS(a_i, b_i)`` over the queries i of all texts, ``a_i`` and ``b_i`` being the weights of the same query in
    both. Where one model has more layers, give those of it that are to be compared:

    >>> even = torch.full((1, 1, 2, 2), 0.5)  # batch, heads, query, key
    >>> teacher, student = [even, torch.eye(2)[None, None]], [even]
    >>> [head_divergence([teacher[layer]], student).item() for layer in (0, 1)]
    [0.0, 0.3112781047821045]

    Args:
        one: attention by layer, each (batch, heads, query, key), as :func:`companion.nn.capture.capture` records it,
            of texts without padding.
        other: attention of the other model over the same tokens.

    Returns:
        (layers, heads), between 0 and 1.

    Raises:
        ValueError: when there is no layer, not as many in both, or two that are compared have different shapes.
    """
    if not one or len(one) != len(other):
        raise ValueError(f"both must have as many layers, at least 1; got {len(one)} and {len(other)}")
    for layer, (a, b) in enumerate(zip(one, other, strict=True)):
        if a.shape != b.shape:
            raise ValueError(f"layer {layer} must have one shape in both; got {tuple(a.shape)} and {tuple(b.shape)}")
    return torch.stack([jensen_shannon(a, b).mean((0, 2)) for a, b in zip(one, other, strict=True)])
