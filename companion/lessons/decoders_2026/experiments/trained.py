"""One change at a time: small decoders that are trained on the same stories with the same FLOPs.

Chapter: ``book/algorithms/decoders_2026.ipynb``; ``benchmarks/decoders_2026.py`` trains each on five seeds.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from companion.losses.causal import causal_loss
from companion.losses.multi_token import multi_token_loss
from companion.metrics.language_model import excess_nll
from companion.models.baselines.ngram import NGram, NGramConfig
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.models.multi_token import MultiTokenDecoder
from companion.nn.gated_delta import GatedDeltaNet
from companion.nn.grouped_query_attention import GroupedQueryAttention
from companion.nn.latent_attention import LatentAttention, LatentSizes
from companion.nn.masks import combine_masks, window_mask
from companion.nn.mixture_of_experts import BiasBalancedMixture, active_parameters, record_routing
from companion.storyworld import Story, World, rows, story_batches
from companion.training.flops import measured_flops
from companion.training.loop import fit
from companion.training.settings import Optimization, Runtime

WORLD = World()
SIZES: dict[str, Any] = {"vocab_size": len(WORLD.vocabulary), "context_length": 144, "n_layers": 4, "n_heads": 4}
SIZES |= {"d_model": 64}
D_HEAD, D_FF = 16, 176
WINDOW = 16  # tokens, of a local layer
LATENT = LatentSizes(n_heads=4, d_latent=24, d_head=12, d_rotary=4, d_value=16)
EXPERTS = {"n_experts": 8, "experts_per_token": 2}
STEPS, BATCH, RATE = 120, 8, 0.006
BALANCE_RATE = 0.01  # of the experts' bias: a run has hundreds of steps, not hundreds of thousands
EXAM = 100  # held-out stories
Change = Callable[[ModernDecoder, int], nn.Module]  # (the plain decoder, width of its feed-forward networks) -> a model


def plain(model: ModernDecoder, d_ff: int) -> nn.Module:
    """The decoder as it is: Llama's parts, a key and a value for each head."""
    return model


def grouped(model: ModernDecoder, d_ff: int) -> nn.Module:
    """Two query heads for each head of keys and values."""
    for block in model.blocks:
        block.attention = GroupedQueryAttention(model.config.d_model, model.config.n_heads, 2, D_HEAD)
    return model


def latent(model: ModernDecoder, d_ff: int) -> nn.Module:
    """Keys and values of all heads from one latent; a few dimensions rotate, at the speeds that so few have."""
    every = D_HEAD // LATENT.d_rotary
    for block in model.blocks:
        block.attention = LatentAttention(model.config.d_model, LATENT)
        _turn(block, lambda part: part[..., ::every])
    return model


def sinks(model: ModernDecoder, d_ff: int) -> nn.Module:
    """A learned score without a value in the softmax of each head."""
    d_model, heads = model.config.d_model, model.config.n_heads
    for block in model.blocks:
        block.attention = GroupedQueryAttention(d_model, heads, heads, D_HEAD, sinks=True)
    return model


def local_global(model: ModernDecoder, d_ff: int) -> nn.Module:
    """A window in all blocks but the last."""

    def narrow(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        x, rotation, mask, *rest = given
        near = window_mask(x.size(1), x.size(1), WINDOW, x.device)
        return x, rotation, combine_masks(near, mask), *rest

    for block in list(model.blocks)[:-1]:
        block.register_forward_pre_hook(narrow)
    return model


def without_positions(model: ModernDecoder, d_ff: int) -> nn.Module:
    """No rotary positions in the last block (NoPE in one of four)."""
    _turn(model.blocks[-1], lambda part: part[..., :0])
    return model


def hybrid(model: ModernDecoder, d_ff: int) -> nn.Module:
    """A gated DeltaNet in the place of attention in all blocks but the last."""
    for block in list(model.blocks)[:-1]:
        block.attention = _Positionless(GatedDeltaNet(model.config.d_model, model.config.n_heads, D_HEAD))
    return model


def experts(model: ModernDecoder, d_ff: int) -> nn.Module:
    """Eight experts of this width, two of which process a token, and one for all; balanced by a bias."""
    for block in model.blocks:
        block.feed_forward = BiasBalancedMixture(model.config.d_model, d_ff, **EXPERTS)
    return model


def two_ahead(model: ModernDecoder, d_ff: int) -> nn.Module:
    """One module that predicts the token after the next, in training."""
    return MultiTokenDecoder(model, depth=1)


CHANGES: dict[str, Change] = {
    "plain": plain,
    "two tokens ahead": two_ahead,
    "sinks": sinks,
    "grouped queries": grouped,
    "latent attention": latent,
    "gated DeltaNet": hybrid,
    "local and global": local_global,
    "experts, shared one": experts,
    "NoPE in one layer": without_positions,
}


class _Positionless(nn.Module):
    """A layer of the stream alone in the place of one that is given positions and a mask."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, *_: object) -> Tensor:
        mixed: Tensor = self.layer(x)
        return mixed


def _turn(block: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Give a block other cosines and sines."""
    block.register_forward_pre_hook(lambda _, given: (given[0], tuple(map(change, given[1])), *given[2:]))


def decoder(change: str, seed: int, d_ff: int | None = None) -> nn.Module:
    """New decoder with one change, or with none for "plain"; the width is that of :func:`width` when not given.

    >>> type(decoder("two tokens ahead", seed=0, d_ff=8)).__name__
    'MultiTokenDecoder'
    """
    d_ff = width(change) if d_ff is None else d_ff
    torch.manual_seed(seed)
    body = ModernDecoder(ModernConfig(**SIZES, d_ff=d_ff))
    model = CHANGES[change](body, d_ff)
    body.initialize(model)
    nn.init.normal_(body.token_embedding.weight, std=0.1)
    return model


def objective(model: nn.Module, ids: Tensor) -> Tensor:
    """Loss that a decoder of the comparison is trained with; where it has experts, their bias makes a step, too."""
    if isinstance(model, MultiTokenDecoder):
        return multi_token_loss(model, ids)
    mixtures = [part for part in model.modules() if isinstance(part, BiasBalancedMixture)]
    if not mixtures:
        return causal_loss(model, ids)
    with record_routing(model) as routed:
        loss = causal_loss(model, ids)
    for mixture, logits in zip(mixtures, routed, strict=True):
        mixture.rebalance(logits, BALANCE_RATE)
    return loss


def flops(change: str, d_ff: int) -> float:
    """FLOPs per token of a training step, measured on eight stories of the longest kind."""
    ids = torch.zeros(BATCH, SIZES["context_length"] + 1, dtype=torch.long)
    return measured_flops(decoder(change, 0, d_ff), ids, objective).per_token


@cache
def width(change: str) -> int:
    """Width of the feed-forward networks, or of each expert, with which a step costs as much as the plain decoder's.

    FLOPs are linear in the width, so that two widths say all.

    >>> width("plain")
    176
    """
    if change == "plain":
        return D_FF
    narrow, wide = flops(change, 8), flops(change, 16)
    return round(8 + 8 * (flops("plain", D_FF) - narrow) / (wide - narrow))


class Trained(NamedTuple):
    """One run of the comparison.

    Attributes:
        gap: excess NLL on the held-out stories, in nats per token.
        parameters: of the model that is trained.
        active: of these, the parameters that process a token.
        cpu_seconds: processor time of the training.
    """

    gap: float
    parameters: int
    active: int
    cpu_seconds: float


def train(change: str, seed: int, *, steps: int = STEPS, rate: float = RATE) -> tuple[nn.Module, Trained]:
    """Decoder with one change, trained on the stories of a seed, and what came of it.

    >>> train("plain", seed=0, steps=1)[1].parameters
    204544

    Args:
        change: of ``CHANGES``.
        seed: of the initial weights and of the stories; the stories are the same for all changes.
        steps: of the optimizer.
        rate: peak learning rate.
    """
    model = decoder(change, seed)
    history = fit(
        model,
        story_batches(WORLD, batch_size=BATCH, seed=seed),
        steps=steps,
        loss=objective,
        learning_rate=rate,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        runtime=Runtime(device="cpu", precision="float32", seed=seed),
        progress=False,
    )
    count = sum(weight.numel() for weight in model.parameters())
    return model, Trained(gap(model), count, active_parameters(model), history.cpu_seconds)


def gap(model: nn.Module) -> float:
    """Excess NLL of a model on the held-out stories: what it loses to the world's own probabilities."""
    told = exam()
    return excess_nll(model, rows(told), [story.log_probs for story in told]).value


def count_gap(order: int) -> float:
    """Excess NLL of an n-gram model that has counted as many stories as a decoder reads: a bar for what has learned."""
    told = WORLD.stories(STEPS * BATCH, seed="counted/0")
    return gap(NGram(NGramConfig(len(WORLD.vocabulary), order)).count(rows(told)))


@cache
def exam() -> list[Story]:
    """Stories that no run reads."""
    return WORLD.stories(EXAM, seed=1_000_000)
