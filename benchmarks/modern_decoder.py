"""GPT-2 and today's decoder at one size and for the same steps, and what each of the differences is worth there.

    python benchmarks/modern_decoder.py

All read the same stories. GPT-2 and the decoder are tuned alike: the learning rate of each is the best of three by the
mean gap over all seeds, or of more where the best would be the lowest or the highest of them. A rate is given up where
its first two seeds are both worse than every seed of the best so far. Then each difference is taken back alone, at the
decoder's rate and, within 1 %, its number of parameters; in the row "experts" it is the number of parameters at work
for a token. The chapter `book/algorithms/modern_decoder.ipynb` trains the first two rows and the last.
"""

import statistics
from collections.abc import Callable
from typing import Any

import report
import torch
from torch import Tensor, nn

from companion.losses import causal_loss
from companion.losses.mixture_of_experts import causal_loss_with_load_balancing
from companion.metrics.language_model import excess_nll
from companion.models.gpt import GPT, GPTConfig
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.feed_forward import FeedForward
from companion.nn.initialization import sinusoidal_initialization
from companion.nn.mixture_of_experts import active_parameters
from companion.nn.positions import sinusoidal_positions
from companion.storyworld import VERSION, World, rows, story_batches
from companion.training import Optimization, Runtime, fit

STEPS = 320
RATES = (4e-3, 2e-3, 8e-3)  # in the order in which they are tried
TUNED = ("GPT-2", "today's decoder")
WORLD = World()
SIZES = {"vocab_size": len(WORLD.vocabulary), "context_length": 144, "n_layers": 3, "n_heads": 4, "d_model": 64}
QWEN = {"family": "qwen3", "n_kv_heads": 2, "d_ff": 212}
HELD_OUT = WORLD.stories(300, seed=1_000_000)


def gpt() -> GPT:
    """GPT-2, its positions beginning as sines."""
    model = GPT(GPTConfig(**SIZES))
    sinusoidal_initialization(model)
    return model


def decoder(**other: Any) -> ModernDecoder:
    """Today's decoder, its token embeddings beginning as large as the GPT's."""
    model = ModernDecoder(ModernConfig(**SIZES | QWEN | other))
    nn.init.normal_(model.token_embedding.weight, std=0.1)
    return model


class Placed(nn.Module):
    """Tokens and learned positions, added as in GPT-2."""

    def __init__(self, tokens: nn.Embedding) -> None:
        """Begin with sines."""
        super().__init__()
        self.tokens = tokens
        self.positions = nn.Embedding(SIZES["context_length"], SIZES["d_model"])
        self.positions.weight.data = 0.1 * sinusoidal_positions(*self.positions.weight.shape, base=1000.0)

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, length) -> (batch, length, d_model)."""
        return self.tokens(ids) + self.positions.weight[: ids.size(1)]


def learned_positions() -> ModernDecoder:
    """Nothing turns; positions are added instead."""
    model = decoder(d_ff=196)
    model.token_embedding = Placed(model.token_embedding)
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, given: (given[0], _still(given[1]), *given[2:]))
    return model


def _still(rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.ones_like(rotation[0]), torch.zeros_like(rotation[1])


def layer_norm() -> ModernDecoder:
    """The norms of the blocks and the last one subtract the mean, and shift."""
    model = decoder()
    for block in model.blocks:
        block.attention_norm = nn.LayerNorm(SIZES["d_model"])
        block.feed_forward_norm = nn.LayerNorm(SIZES["d_model"])
    model.final_norm = nn.LayerNorm(SIZES["d_model"])
    return model


def plain_feed_forward() -> ModernDecoder:
    """Two projections and a GELU, with biases."""
    model = decoder()
    for block in model.blocks:
        block.feed_forward = FeedForward(SIZES["d_model"], 315, "gelu_new")
        nn.init.normal_(block.feed_forward.expand.weight, std=0.02)
        nn.init.normal_(block.feed_forward.contract.weight, std=0.02 / 6**0.5)
        nn.init.zeros_(block.feed_forward.expand.bias)
        nn.init.zeros_(block.feed_forward.contract.bias)
    return model


ROWS: dict[str, Callable[[], nn.Module]] = {
    "GPT-2": gpt,
    "today's decoder": decoder,
    "learned positions, no RoPE": learned_positions,
    "LayerNorm, no RMSNorm": layer_norm,
    "GELU, no SwiGLU": plain_feed_forward,
    "keys and values for each head": lambda: decoder(n_kv_heads=4, d_ff=191),
    "keys and values for one head": lambda: decoder(n_kv_heads=1, d_ff=222),
    "no norm of queries and keys": lambda: decoder(family="llama"),
    "a window of 16": lambda: decoder(window=16),
    "no norm of queries and keys, 4 experts": lambda: decoder(
        family="mixtral", n_experts=4, experts_per_token=2, d_ff=106
    ),
}


def run(make: Callable[[], nn.Module], seed: int, rate: float, steps: int) -> dict[str, float]:
    """Train once and measure."""
    torch.manual_seed(seed)
    model = make()
    history = fit(
        model,
        story_batches(WORLD, batch_size=8, seed=seed),
        steps=steps,
        loss=causal_loss_with_load_balancing if getattr(model.config, "n_experts", None) else causal_loss,
        learning_rate=rate,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    gap = excess_nll(model, rows(HELD_OUT), [story.log_probs for story in HELD_OUT])
    return {
        "gap": gap.value,
        "cpu_seconds": history.cpu_seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "active_parameters": active_parameters(model),
    }


Runs = list[dict[str, float]]


def gaps(runs: Runs) -> list[float]:
    """The gap of each seed."""
    return [run["gap"] for run in runs]


def tuned(make: Callable[[], nn.Module], seeds: int, steps: int) -> tuple[float, dict[float, Runs]]:
    """Choose the learning rate of one row; return it with the runs of every rate."""
    tried: dict[float, Runs] = {}
    waiting, best = list(RATES), RATES[0]
    while waiting:
        rate = waiting.pop(0)
        tried[rate] = []
        for seed in range(seeds):
            tried[rate].append(run(make, seed, rate, steps))
            if rate != best and seed == 1 and min(gaps(tried[rate])) > max(gaps(tried[best])):
                break
        complete = [rate for rate, runs in tried.items() if len(runs) == seeds]
        best = min(complete, key=lambda rate: statistics.mean(gaps(tried[rate])))
        if not waiting and best in (min(tried), max(tried)):
            waiting.append(best * 2 if best == max(tried) else best / 2)
    return best, tried


def main() -> None:
    """Tune the first two rows, run every row, and write the table, anew after each."""
    given = report.arguments(__doc__, steps=STEPS)
    result: dict = {"world": {"version": VERSION, "size": "small", "language": "en"}, "steps": given.steps, "rows": {}}
    rate = RATES[0]
    for name, make in ROWS.items():
        if name in TUNED:
            rate, tried = tuned(make, given.seeds, given.steps)
        else:  # at the rate of the row "today's decoder", the last that was tuned
            tried = {rate: [run(make, seed, rate, given.steps) for seed in range(given.seeds)]}
        by_rate = {str(one): gaps(runs) for one, runs in sorted(tried.items())}
        row = {"learning_rate": rate, "tried": by_rate, "runs": tried[rate], "summary": report.summary(tried[rate])}
        result["rows"][name] = row
        print(f"{name:>40}: {rate}, {by_rate}", flush=True)
        report.write("modern_decoder", result)


if __name__ == "__main__":
    main()
