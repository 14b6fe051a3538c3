"""Exercises of ``book/algorithms/decoders_2026.ipynb``."""

import statistics

import torch
from torch import Tensor

from companion.lessons.decoders_2026.experiments import DECODERS
from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded
from companion.metrics.confidence import interval


def _weights(affinity: Tensor, bias: Tensor, k: int) -> Tensor:
    chosen = (affinity + bias).topk(k).indices
    kept = torch.zeros_like(affinity).scatter(-1, chosen, affinity.gather(-1, chosen))
    return kept / kept.sum(-1, keepdim=True)


def _biased_weights(affinity: Tensor, bias: Tensor, k: int) -> Tensor:
    moved = affinity + bias
    chosen = moved.topk(k).indices
    kept = torch.zeros_like(affinity).scatter(-1, chosen, moved.gather(-1, chosen))
    return kept / kept.sum(-1, keepdim=True)


BIAS = Exercise(
    name="balanced-weights",
    task="From affinity (tokens, experts), bias (experts,) and k, return each expert's weight (tokens, experts).",
    reference=_weights,
    cases=lambda: [
        (torch.tensor([[0.6, 0.5, 0.2]]), torch.tensor([0.0, 0.0, 0.5]), 2),
        (seeded(4, 5).sigmoid(), 0.3 * seeded(5, seed=1), 2),
        (seeded(3, 4, seed=2).sigmoid(), torch.zeros(4), 4),
    ],
    mistakes=(
        Mistake(_biased_weights, "Your bias reaches the weights. It chooses the experts; the weights are affinities."),
        Mistake(
            lambda affinity, bias, k: _weights(affinity, torch.zeros_like(bias), k),
            "You choose without the bias. Take the k largest of affinity plus bias.",
        ),
        Mistake(
            lambda affinity, bias, k: _weights(affinity, bias, k) * affinity.sum(-1, keepdim=True),
            "Your weights do not sum to 1. Divide by the sum over the chosen experts alone.",
        ),
    ),
)


def _step(state: Tensor, key: Tensor, value: Tensor, decay: float, rate: float) -> Tensor:
    state = decay * state
    return state + rate * torch.outer(value - state @ key, key)


DELTA = Exercise(
    name="delta-step",
    task="From state (d_v, d_k), key (d_k,), value (d_v,), decay and rate, return the next state.",
    reference=_step,
    cases=lambda: [
        (torch.tensor([[2.0, 0.0]]), torch.tensor([1.0, 0.0]), torch.tensor([5.0]), 1.0, 1.0),
        (seeded(3, 2), torch.tensor([0.6, 0.8]), seeded(3, seed=1), 0.9, 0.5),
        (seeded(2, 3, seed=2), torch.tensor([0.0, 1.0, 0.0]), seeded(2, seed=3), 0.5, 0.0),
    ],
    mistakes=(
        Mistake(
            lambda state, key, value, decay, rate: decay * state + rate * torch.outer(value, key),
            "That adds the value to what the state answers already, and does not correct it. Subtract the answer.",
        ),
        Mistake(
            lambda state, key, value, decay, rate: decay * state + rate * torch.outer(value - state @ key, key),
            "You ask the state before it has decayed. Decay first, then correct.",
        ),
        Mistake(
            lambda state, key, value, decay, rate: state + rate * torch.outer(value - state @ key, key),
            "Your state forgets nothing: multiply it by the decay.",
        ),
    ),
)


def _cached(n_layers: int, full_every: int, window: int, length: int) -> int:
    full = n_layers // full_every
    return full * length + (n_layers - full) * min(window, length)


CACHE = Exercise(
    name="local-global-cache",
    task="From n_layers, full_every, window and length, return how many positions all layers' caches hold together.",
    reference=_cached,
    cases=lambda: [(18, 6, 512, 1000), (24, 2, 128, 100), (32, 4, 4096, 65536)],
    mistakes=(
        Mistake(
            lambda n_layers, full_every, window, length: n_layers * length,
            "You let every layer keep the whole text. Local layers keep a window.",
        ),
        Mistake(
            lambda n_layers, full_every, window, length: (
                n_layers // full_every * length + (n_layers - n_layers // full_every) * window
            ),
            "A text shorter than the window fills no window: take the smaller of the two.",
        ),
        Mistake(
            lambda n_layers, full_every, window, length: (
                n_layers // full_every * min(window, length) + (n_layers - n_layers // full_every) * length
            ),
            "You have exchanged the two kinds: one layer of full_every keeps all, the others a window.",
        ),
    ),
)
LARGEST = Exercise(
    name="predicted-cache",
    task="From names, a list of models of the table, return the one with the largest cache for 32,768 tokens.",
    reference=lambda names: max(names, key=lambda name: DECODERS[name].cache_bytes(32768)),
    cases=lambda: [
        (["Llama 3.1 8B", "DeepSeek-V3"],),
        (["Olmo 3 7B", "GLM-4.7", "gpt-oss 20B"],),
        (["Gemma 3 270M", "Qwen3-Next 80B-A3B"],),
    ],
    mistakes=(
        Mistake(
            lambda names: max(names, key=lambda name: DECODERS[name].d_model),
            "You took the widest. A cache does not know the stream: only layers, key/value heads and their width.",
        ),
        Mistake(
            lambda names: min(names, key=lambda name: DECODERS[name].cache_bytes(32768)),
            "That is the smallest.",
        ),
        Mistake(lambda names: names[-1], "Work it out for each: layers that keep all, heads, width of a head."),
    ),
)


def _undecided(rows: dict[str, list[float]]) -> list[str]:
    found = []
    for name, differences in rows.items():
        _, low, high = interval(differences)
        if low <= 0 <= high:
            found.append(name)
    return found


UNDECIDED = Exercise(
    name="undecided-rows",
    task="From rows, a dict of five paired differences for each name, return the list of names that are undecided.",
    reference=_undecided,
    cases=lambda: [
        ({"a": [0.1, 0.2, 0.15, 0.12, -0.005], "b": [0.3, -0.1, 0.2, 0.1, -0.05]},),
        ({"c": [-0.02, -0.03, -0.02, -0.04, -0.03], "d": [0.001, 0.01, 0.03, 0.02, 0.002]},),
        ({"e": [0.01, 0.01, 0.01, 0.01, 0.02]},),
    ],
    mistakes=(
        Mistake(
            lambda rows: [name for name, one in rows.items() if min(one) <= 0 <= max(one)],
            "You ask whether the seeds differ in sign. Five of one sign may still leave the mean undecided.",
        ),
        Mistake(
            lambda rows: [name for name in rows if name not in _undecided(rows)],
            "These are the decided ones: their interval lies on one side of 0.",
        ),
        Mistake(
            lambda rows: [
                name
                for name, one in rows.items()
                if abs(statistics.mean(one)) <= 1.96 * statistics.stdev(one) / len(one) ** 0.5
            ],
            "With five runs 1.96 is too small a factor; `interval` takes Student's t, 2.78.",
        ),
    ),
)
EXERCISES = (BIAS, DELTA, CACHE, LARGEST, UNDECIDED)
