"""Sparse mixture of experts: feed-forward networks side by side, of which a router chooses a few for each token.

Chapters: ``book/algorithms/modern_decoder.ipynb``, ``book/algorithms/decoders_2026.ipynb``. Sources: Jiang et al. 2024,
"Mixtral of Experts", section 2; Fedus et al. 2022, "Switch Transformers", section 2.2 (the load-balancing loss);
DeepSeek-AI 2024, "DeepSeek-V3", section 2.1.2 (shared experts, balancing by a bias).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from companion.nn.checks import check_mask
from companion.nn.feed_forward import SwiGLU


class MixtureOfExperts(nn.Module):
    """A sparse mixture of SwiGLU experts with a top-k router.

    ``y = sum_e g_e(x) SwiGLU_e(x)``, where g is the softmax of the router's logits over all experts, cut to the
    ``experts_per_token`` largest and scaled to sum to 1: the same as a softmax over those logits alone
    (Jiang et al. 2024, section 2.1).

    Example:
        >>> layer = MixtureOfExperts(d_model=6, d_ff=8, n_experts=4, experts_per_token=2)
        >>> layer(torch.zeros(2, 5, 6)).shape, active_parameters(layer)
        (torch.Size([2, 5, 6]), 312)
    """

    def __init__(self, d_model: int, d_ff: int, n_experts: int, experts_per_token: int) -> None:
        """Make the router and the experts.

        Args:
            d_model: width of the input and of the output.
            d_ff: width inside each expert.
            n_experts: number of experts.
            experts_per_token: number of experts that process each token.

        Raises:
            ValueError: when no expert would process a token, or more than there are.
        """
        super().__init__()
        if not 1 <= experts_per_token <= n_experts:
            raise ValueError(
                f"experts_per_token must be 1 to n_experts; got {experts_per_token} and n_experts={n_experts}"
            )
        self.experts_per_token = experts_per_token
        self.router = nn.Linear(d_model, n_experts, bias=False)
        self.experts = nn.ModuleList(SwiGLU(d_model, d_ff) for _ in range(n_experts))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> (batch, length, d_model), each position for itself."""
        weights, chosen = self.route(self.router(x))  # (batch, length, experts_per_token)
        flat, weights, chosen = x.flatten(0, -2), weights.flatten(0, -2).to(x.dtype), chosen.flatten(0, -2)
        total = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            token, choice = (chosen == number).nonzero(as_tuple=True)  # tokens of this expert, and as which choice
            output = expert(flat[token]) * weights[token, choice, None]
            total = total.index_add(0, token, output.to(total.dtype))
        return total.view_as(x)

    def route(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights and indices of the chosen experts; see :func:`routed`."""
        return routed(logits, self.experts_per_token)


class BiasBalancedMixture(MixtureOfExperts):
    """DeepSeek-V3's mixture: many small experts, shared ones that process every token, balance by a bias.

    An expert's affinity is a sigmoid, not a softmax. The experts are chosen by affinity plus a bias, and weighted by
    affinity alone (eq. 12 to 16): so the bias decides who works and not how much is said, and no loss asks for balance.
    :meth:`rebalance` moves it. DeepSeek-V3's choice among groups of experts is left out.

    Example:
        >>> layer = BiasBalancedMixture(d_model=6, d_ff=4, n_experts=8, experts_per_token=2, n_shared=1)
        >>> layer(torch.zeros(2, 5, 6)).shape, layer.bias.tolist()
        (torch.Size([2, 5, 6]), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    """

    bias: Tensor

    def __init__(
        self, d_model: int, d_ff: int, n_experts: int, experts_per_token: int, *, n_shared: int = 1, scale: float = 1.0
    ) -> None:
        """Make the router, its bias, the experts and the shared ones.

        Args:
            d_model: width of the input and of the output.
            d_ff: width inside each expert.
            n_experts: number of routed experts.
            experts_per_token: number of routed experts that process each token.
            n_shared: number of shared experts, made as one network of ``n_shared * d_ff``.
            scale: multiplies the sum of the routed experts; 2.5 in DeepSeek-V3.

        Raises:
            ValueError: as :class:`MixtureOfExperts`, or when there is no shared expert.
        """
        super().__init__(d_model, d_ff, n_experts, experts_per_token)
        if n_shared < 1:
            raise ValueError(f"n_shared must be at least 1; got {n_shared}")
        self.scale = scale
        self.shared = SwiGLU(d_model, n_shared * d_ff)
        self.register_buffer("bias", torch.zeros(n_experts))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> (batch, length, d_model), each position for itself."""
        output: Tensor = super().forward(x) + self.shared(x)
        return output

    def route(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights, which sum to ``scale``, and the indices of the chosen experts."""
        affinity = logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()
        chosen = (affinity + self.bias).topk(self.experts_per_token).indices
        weights = affinity.gather(-1, chosen)
        return self.scale * weights / weights.sum(-1, keepdim=True), chosen

    @torch.no_grad()
    def rebalance(self, logits: Tensor, rate: float = 0.001) -> Tensor:
        """Raise the bias of experts with less than the mean load by ``rate``, lower the others', return the loads.

        Args:
            logits: (…, experts), of the router for a batch; see :func:`record_routing`.
            rate: the step; 0.001 for most of DeepSeek-V3's training.

        Returns:
            fraction of the choices that went to each expert, (experts,), before the step.
        """
        chosen = self.route(logits)[1].flatten()
        loads = chosen.bincount(minlength=len(self.experts)) / len(chosen)
        self.bias += rate * (1 / len(self.experts) - loads).sign()
        return loads


def routed(logits: Tensor, experts_per_token: int) -> tuple[Tensor, Tensor]:
    """Return the routing weights of the experts with the highest logits, and the indices of these experts.

    Args:
        logits: (…, experts), of the router.
        experts_per_token: number of experts that process each token.

    Returns:
        weights (…, experts_per_token), largest first, which sum to 1; and indices of the same shape.

    Example:
        >>> weights, experts = routed(torch.tensor([0.0, 5.0, 5.0]), experts_per_token=2)
        >>> weights.tolist(), sorted(experts.tolist())
        ([0.5, 0.5], [1, 2])
    """
    best = _probabilities(logits).topk(experts_per_token)
    return best.values / best.values.sum(-1, keepdim=True), best.indices


def _probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


@contextmanager
def record_routing(model: nn.Module) -> Iterator[list[Tensor]]:
    """Record the routers' logits, (batch, length, experts) per layer, of each run of ``model`` in the ``with`` block.

    A second run inside the same block replaces the record of the first. Gradients flow through the recorded logits.

    Raises:
        ValueError: when the model has no experts.

    Example:
        >>> model = nn.Sequential(MixtureOfExperts(6, 8, n_experts=4, experts_per_token=2))
        >>> with record_routing(model) as logits:
        ...     output = model(torch.zeros(2, 5, 6))
        >>> [tuple(layer.shape) for layer in logits]
        [(2, 5, 4)]
    """
    mixtures = [module for module in model.modules() if isinstance(module, MixtureOfExperts)]
    if not mixtures:
        raise ValueError(f"{type(model).__name__} has no mixture of experts to look into")
    logits: list[Tensor] = []

    def start(*_: Any) -> None:
        logits.clear()

    def keep(_: nn.Module, __: Any, output: Tensor) -> None:
        logits.append(output)

    handles = [model.register_forward_pre_hook(start)]
    handles += [mixture.router.register_forward_hook(keep) for mixture in mixtures]
    try:
        yield logits
    finally:
        for handle in handles:
            handle.remove()


def load_balancing_loss(
    logits: Sequence[Tensor], experts_per_token: int, attention_mask: Tensor | None = None
) -> Tensor:
    """Return the load-balancing loss: ``experts_per_token`` when all experts are used alike, at most ``n_experts``.

    ``L = n_experts sum_e f_e P_e``, with f_e the mean number of times per token that expert e is chosen and P_e its
    mean probability. The choices have no gradient, the probabilities do. Both means are over all tokens *and* layers,
    as in the Mixtral of ``transformers``, so that layers which lean on different experts balance each other. In Switch
    Transformers each layer has a loss of its own, over its tokens, and the losses are added (Fedus et al. 2022,
    eq. 4 to 6, section 2.2): ``sum(load_balancing_loss([layer], experts_per_token) for layer in logits)``.

    Args:
        logits: one tensor (batch, length, experts) per layer; see :func:`record_routing`.
        experts_per_token: number of experts that process each token.
        attention_mask: boolean (batch, length), True = a real token; the others do not count.

    Returns:
        scalar.

    Raises:
        ValueError: when there is no layer, no real token, or a mask of another shape.
        TypeError: on a mask that is not boolean.

    Example:
        >>> float(load_balancing_loss([torch.zeros(1, 3, 4)], experts_per_token=1))  # a router without preference
        1.0
        >>> layers = [torch.tensor([[[9.0, -9.0]]]), torch.tensor([[[-9.0, 9.0]]])]  # each uses one expert of two
        >>> [round(float(load_balancing_loss(some, 1)), 3) for some in (layers, layers[:1], layers[1:])]
        [1.0, 2.0, 2.0]
    """
    if not logits:
        raise ValueError("logits of at least one layer are needed; got none")
    check_mask(attention_mask, *logits[0].shape[:2])
    probabilities = _probabilities(torch.stack(tuple(logits)))  # (layers, batch, length, experts)
    chosen = probabilities.topk(experts_per_token).indices
    picks = torch.zeros_like(probabilities).scatter(-1, chosen, 1.0)
    if attention_mask is not None:
        if not bool(attention_mask.any()):
            raise ValueError("at least one token must be real; attention_mask has none")
        probabilities, picks = probabilities[:, attention_mask], picks[:, attention_mask]  # (layers, tokens, experts)
    experts = probabilities.size(-1)
    return experts * (picks.reshape(-1, experts).mean(0) * probabilities.reshape(-1, experts).mean(0)).sum()


def active_parameters(model: nn.Module) -> int:
    """Return the number of active parameters: those that process one token, all but those of its unused experts.

    Example:
        >>> active_parameters(MixtureOfExperts(d_model=6, d_ff=8, n_experts=4, experts_per_token=1))
        168
    """
    idle = 0
    for mixture in (module for module in model.modules() if isinstance(module, MixtureOfExperts)):
        expert = sum(p.numel() for p in mixture.experts[0].parameters())
        idle += (len(mixture.experts) - mixture.experts_per_token) * expert
    return sum(p.numel() for p in model.parameters()) - idle
