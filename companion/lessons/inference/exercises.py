"""Exercises of ``book/algorithms/inference.ipynb``."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from companion.generation.costs import kv_bytes, latent_bytes
from companion.generation.speculative import residual
from companion.lessons.exercise_check import Exercise, Mistake
from companion.nn.quantization import Grid, quantize

CONFIGS: tuple[Mapping[str, int], ...] = (  # fields as in config.json files
    {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096},
    {
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "hidden_size": 1024,
        "head_dim": 128,
    },
    {"num_hidden_layers": 12, "num_attention_heads": 12, "hidden_size": 768},
    {
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "hidden_size": 7168,
    },
)


def _config_cache(config: Mapping[str, int]) -> int:
    if "kv_lora_rank" in config:
        return latent_bytes(config["num_hidden_layers"], config["kv_lora_rank"], config["qk_rope_head_dim"])
    return _plain_cache(config)


def _plain_cache(config: Mapping[str, int]) -> int:
    heads = config["num_attention_heads"]
    d_head = config.get("head_dim", config["hidden_size"] // heads)
    return kv_bytes(config["num_hidden_layers"], config.get("num_key_value_heads", heads), d_head)


def _query_heads(config: Mapping[str, int]) -> int:
    kept = {key: value for key, value in config.items() if key != "num_key_value_heads"}
    return _config_cache(kept)


def _equal_heads(config: Mapping[str, int]) -> int:
    return _config_cache({key: value for key, value in config.items() if key != "head_dim"})


CONFIG_CACHE = Exercise(
    name="config-cache",
    task="From the fields of a config.json, return the bytes per token of its cache in 16 bits.",
    reference=_config_cache,
    cases=lambda: [(dict(config),) for config in CONFIGS],
    mistakes=(
        Mistake(_query_heads, "You count the query heads. Only the heads of keys and values are cached."),
        Mistake(_equal_heads, "You divide the width by the heads though one config names its `head_dim`."),
        Mistake(_plain_cache, "One model has a `kv_lora_rank`: it caches one latent and one rotary key per layer."),
        Mistake(lambda config: _config_cache(config) // 2, "A number in 16 bits is two bytes."),
    ),
)


def _summary(scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weights = (scores - scores.max()).exp()
    return scores.max(), weights.sum(), weights @ values


def _summaries() -> list[tuple[Tensor, ...]]:
    """Both halves of each set of scores: near each other, far apart, and too large for their exponentials."""
    values = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [-1.0, 1.0]])
    sets = ([0.0, 1.0, 2.0, 0.5], [-3.0, 1.0, 2.0, 4.0], [200.0, 198.0, 199.0, 201.0])
    return [
        (*_summary(scores[:split], values[:split]), *_summary(scores[split:], values[split:]))
        for split, scores in zip((1, 2, 3), map(torch.tensor, sets), strict=True)
    ]


def _merged(m_1: Tensor, l_1: Tensor, o_1: Tensor, m_2: Tensor, l_2: Tensor, o_2: Tensor) -> Tensor:
    m = torch.maximum(m_1, m_2)
    one, two = (m_1 - m).exp(), (m_2 - m).exp()
    output: Tensor = (one * o_1 + two * o_2) / (one * l_1 + two * l_2)
    return output


MERGE_SOFTMAX = Exercise(
    name="merge-softmax",
    task=(
        "Two machines have attended from one query to half of the keys each. From the maximum, sum and weighted values "
        "of both halves, return the output over all keys."
    ),
    reference=_merged,
    cases=_summaries,
    mistakes=(
        Mistake(
            lambda m_1, l_1, o_1, m_2, l_2, o_2: (o_1 + o_2) / (l_1 + l_2),
            "The two sums lie below different maxima: bring both to the larger one first.",
        ),
        Mistake(
            lambda m_1, l_1, o_1, m_2, l_2, o_2: (o_1 / l_1 + o_2 / l_2) / 2,
            "You average two finished outputs. The half with the larger sum of exponentials counts more.",
        ),
        Mistake(
            lambda m_1, l_1, o_1, m_2, l_2, o_2: (
                (m_1.exp() * o_1 + m_2.exp() * o_2) / (m_1.exp() * l_1 + m_2.exp() * l_2)
            ),
            "Right on paper; but the exponential of a large score overflows. Subtract the larger maximum first.",
        ),
    ),
)


def _rounded(block: Tensor, bits: int) -> Tensor:
    most = 2 ** (bits - 1) - 1
    step = block.abs().max() / most
    weights: Tensor = step * (block / step).round()
    return weights


ROUND_BLOCK = Exercise(
    name="round-block",
    task="From a block of weights and the bits of a code, return the weights after rounding to the symmetric grid.",
    reference=lambda block, bits: quantize(block[None], Grid(bits, len(block))).widened()[0],
    cases=lambda: [
        (torch.tensor([1.75, -0.25, 0.5, 0.7]), 4),
        (torch.tensor([-3.0, 0.2, 0.9, 1.6]), 3),
        (torch.tensor([0.1, 127.0, -64.2, 3.6]), 8),
    ],
    mistakes=(
        Mistake(
            lambda block, bits: (block / (block.abs().max() / (2 ** (bits - 1) - 1))).round(),
            "These are the codes. A code stands for itself times the step.",
        ),
        Mistake(
            lambda block, bits: _rounded(block, bits + 1),
            "A symmetric grid needs a sign: with b bits the largest code is 2^(b-1) - 1.",
        ),
        Mistake(
            lambda block, bits: (block / (s := block.abs().max() / (2 ** (bits - 1) - 1))).trunc() * s,
            "You cut off. Round to the nearest.",
        ),
    ),
)

_PAIRS = (
    (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])),
    (torch.tensor([0.1, 0.6, 0.3]), torch.tensor([0.7, 0.2, 0.1])),
    (torch.tensor([0.25, 0.25, 0.5]), torch.tensor([0.5, 0.5, 0.0])),
)


def _scaled(values: Tensor) -> Tensor:
    return values / values.sum()


REDRAW = Exercise(
    name="redraw",
    task="From the target's p (vocab,) and the draft's q, return the distribution drawn from after a rejection.",
    reference=residual,
    cases=lambda: _PAIRS,
    mistakes=(
        Mistake(
            lambda p, q: p,
            "That is the bug: what the draft proposes too often would be drawn again, and come out too often.",
        ),
        Mistake(lambda p, q: (p - q).clamp(min=0), "Scale it, or it is no distribution."),
        Mistake(lambda p, q: _scaled((q - p).clamp(min=0)), "The other way round: what the draft proposes too rarely."),
        Mistake(
            lambda p, q: _scaled((p - q).abs()), "Where q is above p, nothing is missing: the difference there is 0."
        ),
    ),
)


def _rate(log: list[tuple[int, int]]) -> float:
    judged = sum(min(accepted + 1, proposed) for accepted, proposed in log)
    return sum(accepted for accepted, _ in log) / judged


ACCEPTANCE_RATE = Exercise(
    name="acceptance-rate",
    task="From a log of rounds, each (accepted, proposed), return the fraction of the judged proposals that were kept.",
    reference=_rate,
    cases=lambda: [([(4, 4), (0, 4), (2, 4), (4, 4), (1, 4)],), ([(0, 8), (3, 8)],), ([(2, 2), (2, 2), (1, 2)],)],
    mistakes=(
        Mistake(
            lambda log: sum(accepted for accepted, _ in log) / sum(proposed for _, proposed in log),
            "After a rejection the rest is thrown away unread: those proposals were never judged.",
        ),
        Mistake(
            lambda log: sum(accepted for accepted, _ in log) / sum(accepted + 1 for accepted, _ in log),
            "A round in which all are kept has no rejection: it judges as many as were proposed.",
        ),
        Mistake(
            lambda log: sum(accepted + 1 for accepted, _ in log) / len(log),
            "Those are tokens per run. Asked is how many of the judged proposals were kept.",
        ),
    ),
)


def _largest_batch(weight_bytes: float, text_bytes: float, memory: float, bandwidth: float, limit: float) -> int:
    fits = math.floor((memory - weight_bytes) / text_bytes)
    fast = math.floor((limit * bandwidth - weight_bytes) / text_bytes)
    return max(0, min(fits, fast))


LARGEST_BATCH = Exercise(
    name="largest-batch",
    task=(
        "From the bytes of the weights, the bytes of one text's cache, the memory and bandwidth of a machine, and a "
        "limit in seconds per token, return the largest batch; a step moves all weights and all caches once."
    ),
    reference=_largest_batch,
    cases=lambda: [
        (16e9, 1e9, 80e9, 3e12, 0.020),
        (16e9, 1e9, 80e9, 3e12, 0.050),
        (140e9, 2e9, 80e9, 3e12, 0.100),
        (16e9, 5e9, 80e9, 1e12, 0.030),
    ],
    mistakes=(
        Mistake(
            lambda weights, text, memory, bandwidth, limit: max(0, math.floor((memory - weights) / text)),
            "That many fit into memory; but how long does a step take that moves them all?",
        ),
        Mistake(
            lambda weights, text, memory, bandwidth, limit: max(0, math.floor((limit * bandwidth - weights) / text)),
            "That many are fast enough; but do they fit into memory?",
        ),
        Mistake(
            lambda weights, text, memory, bandwidth, limit: max(
                0, min(math.floor(memory / text), math.floor(limit * bandwidth / text))
            ),
            "The weights take memory too, and are moved in each step.",
        ),
    ),
)

EXERCISES = (CONFIG_CACHE, MERGE_SOFTMAX, ROUND_BLOCK, REDRAW, ACCEPTANCE_RATE, LARGEST_BATCH)
