"""Exercises of ``book/practice/huggingface.ipynb``."""

import json
import math
from collections.abc import Callable

import torch
from safetensors.torch import save
from torch import Tensor

from companion.checkpoints.huggingface import first_difference, stored_tensors
from companion.lessons.exercise_check import Exercise, Mistake
from companion.lessons.random_inputs import seeded


def _header(raw: bytes) -> dict[str, object]:
    length = int.from_bytes(raw[:8], "little")
    header: dict[str, object] = json.loads(raw[8 : 8 + length])
    return header


def _sizes(raw: bytes) -> list[tuple[str, int]]:
    return sorted((tensor.name, tensor.end - tensor.start) for tensor in stored_tensors(raw))


def _numbers(raw: bytes) -> list[tuple[str, int]]:
    return sorted((tensor.name, math.prod(tensor.shape)) for tensor in stored_tensors(raw))


READ_HEADER = Exercise(
    name="read-header",
    task=(
        "From `raw`, the bytes of a safetensors file, return the sorted list of pairs (name, bytes): how many bytes "
        "each tensor takes."
    ),
    reference=_sizes,
    cases=lambda: [
        (save({"weight": torch.zeros(3, 4), "bias": torch.zeros(3)}),),
        (save({"embedding": torch.zeros(7, 2, dtype=torch.float16)}, metadata={"format": "pt"}),),
        (save({"a": torch.zeros(2, dtype=torch.float64), "b": torch.zeros(5, 5, dtype=torch.bfloat16)}),),
    ],
    mistakes=(
        Mistake(_numbers, "Those are numbers. How many bytes does one of them take? The header's offsets say it."),
        Mistake(
            lambda raw: sorted([*_sizes(raw), ("__metadata__", 0)]),
            'The header\'s key "__metadata__" is no tensor: leave it out.',
        ),
        Mistake(
            lambda raw: sorted((tensor.name, tensor.end) for tensor in stored_tensors(raw)),
            "That is where each ends. Take away where it begins.",
        ),
        Mistake(
            lambda raw: sorted((name, 4 * count) for name, count in _numbers(raw)),
            "You take four bytes for each number. That is float32; the file has others too.",
        ),
    ),
)


def _split(fused: Tensor) -> tuple[Tensor, ...]:
    return tuple(part.T for part in fused.chunk(3, dim=1))


SPLIT = Exercise(
    name="split-fused",
    task=(
        "From GPT-2's `fused` (d, 3 d), the matrix c_attn that is applied as x @ fused, return the three weights of "
        "torch's Linear, (d, d) each: of the query, the key and the value."
    ),
    reference=_split,
    cases=lambda: [(seeded(2, 6),), (seeded(4, 12, seed=1),)],
    mistakes=(
        Mistake(
            lambda fused: tuple(part.T for part in fused.T.reshape(fused.size(0), 3, -1).unbind(1)),
            "You take every third column together. Query, key and value lie side by side, each in one block.",
        ),
        Mistake(
            lambda fused: tuple(fused.chunk(3, dim=1)),
            "The blocks are right, and not transposed. torch's Linear stores (out, in), and this matrix is (in, out).",
        ),
        Mistake(
            lambda fused: _split(fused)[::-1],
            "The order is turned round: the query comes first, then the key, then the value.",
        ),
    ),
)


def _largest(a: Tensor, b: Tensor) -> float | None:
    if a.shape != b.shape or bool(a.isnan().any() | b.isnan().any()):
        return None
    return (a - b).abs().max().item()


def _pairs() -> list[tuple[Tensor, Tensor]]:
    a = seeded(3, 4, seed=2)
    off = a.clone()
    off[1, 2] -= 0.5
    nan = a.clone()
    nan[0, 0] = math.nan
    return [(a, a + 1e-3), (a, off), (a, nan), (a, a[:1]), (seeded(5), -seeded(5))]


LARGEST = Exercise(
    name="largest-difference",
    task=(
        "Return the largest absolute difference between the tensors `a` and `b`, as a number; None where their shapes "
        "are not the same, or where one of them holds a NaN."
    ),
    reference=_largest,
    cases=_pairs,
    mistakes=(
        Mistake(
            lambda a, b: None if _largest(a, b) is None else (a - b).max().item(),
            "Where b is the larger one your difference is negative, and the largest of them hides it: take |a - b|.",
        ),
        Mistake(
            lambda a, b: (a - b).nan_to_num().abs().max().item() if a.shape == b.shape else None,
            "A NaN passes. A model that returns one is broken, and every comparison with it is False.",
        ),
        Mistake(
            lambda a, b: None if bool((a - b).isnan().any()) else (a - b).abs().max().item(),
            "Other shapes pass: (1, 4) is stretched to (3, 4) without a word. Compare the shapes first.",
        ),
        Mistake(
            lambda a, b: None if _largest(a, b) is None else (a - b).abs().mean().item(),
            "That is the mean. One wrong number in a million does not show in it.",
        ),
    ),
)


class _Runs:
    """Two runs that part at a state; each comparison costs, and there are few to spend."""

    def __init__(self, fault: int, n: int) -> None:
        self.fault, self.left = fault, n.bit_length()

    def __call__(self, state: int) -> bool:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("there are no comparisons left; halve what is left to search with each")
        return state >= self.fault

    def __repr__(self) -> str:
        return f"two runs that part at {self.fault}"


def _without_budget(search: Callable[[int, int], int]) -> Callable[[_Runs, int], int]:
    return lambda differ, n: search(differ.fault, n)


BISECT = Exercise(
    name="first-difference",
    task=(
        "The function `differ(k)` says whether the states number k of two runs differ, k = 0 … n; from the first that "
        "does on, all do, and number n does. Return the number of the first, with at most ⌈log2(n + 1)⌉ calls."
    ),
    reference=first_difference,
    cases=lambda: [(_Runs(fault, n), n) for fault, n in ((7, 12), (0, 12), (12, 12), (19, 30), (0, 1), (1, 1))],
    mistakes=(
        Mistake(
            _without_budget(lambda fault, n: max(fault - 1, 0)),
            "That is the last state at which they agree. The first that differs is the next one.",
        ),
        Mistake(
            _without_budget(lambda fault, n: min(fault + 1, n)),
            "One too far: when `differ(middle)` is true, middle itself may be the first.",
        ),
        Mistake(
            _without_budget(lambda fault, n: n),
            "That is where they differ at the end. Look at the middle, and keep the half in which they part.",
        ),
    ),
)


def _keys(file: list[str], model: list[str]) -> tuple[list[str], list[str]]:
    return sorted(set(model) - set(file)), sorted(set(file) - set(model))


KEYS = Exercise(
    name="missing-keys",
    task=(
        "From the names of the tensors in a `file` and of those in a `model`, return two sorted lists as in a loading "
        "report: the missing ones, which the model has and the file has not, and the unexpected ones."
    ),
    reference=_keys,
    cases=lambda: [
        (["wte.weight", "h.0.bias"], ["wte.weight", "score.weight"]),
        (["a", "b"], ["b", "a"]),
        (["pooler.weight", "a"], ["a"]),
        ([], ["b", "a"]),
    ],
    mistakes=(
        Mistake(
            lambda file, model: _keys(file, model)[::-1],
            "The two are swapped. Missing is what the model waits for in vain: it keeps random numbers there.",
        ),
        Mistake(
            lambda file, model: (sorted(set(file) ^ set(model)), sorted(set(file) ^ set(model))),
            "You put both kinds into both lists. One side each.",
        ),
        Mistake(
            lambda file, model: (_keys(file, model)[0], sorted(file)),
            "All names of the file are unexpected in yours. Leave out those that the model has.",
        ),
    ),
)

_WIDTHS = {"float32": 4, "bfloat16": 2, "int8": 1}


def _widest(parameters: int, memory: int, room: float) -> str:
    return next(
        (name for name, width in _WIDTHS.items() if parameters * width <= (1 - room) * memory), "a smaller model"
    )


WIDEST = Exercise(
    name="widest-dtype",
    task=(
        'Return "float32", "bfloat16" or "int8": the first of them in which the weights of a model of so many '
        "`parameters` fit into `memory` bytes when the fraction `room` of these is kept free for the rest; "
        '"a smaller model" when none does.'
    ),
    reference=_widest,
    cases=lambda: [
        (135_000_000, 2 * 10**9, 0.3),
        (7_000_000_000, 24 * 10**9, 0.2),
        (7_000_000_000, 16 * 10**9, 0.3),
        (70_000_000_000, 80 * 10**9, 0.25),
        (1_000_000_000, 5 * 10**9, 0.25),
    ],
    mistakes=(
        Mistake(
            lambda parameters, memory, room: _widest(parameters, memory, 0.0),
            "The weights fit, and nothing else does: leave `room` for activations and the cache of keys and values.",
        ),
        Mistake(
            lambda parameters, memory, room: _widest(parameters // 2, memory, room),
            "Your numbers are half as wide as they are: float32 takes 4 bytes, bfloat16 takes 2, int8 takes 1.",
        ),
        Mistake(
            lambda parameters, memory, room: _widest(parameters, memory, 1 - room),
            "You keep too much: `room` is what stays free, not what the weights may take.",
        ),
        Mistake(
            lambda parameters, memory, room: "float32" if parameters * 4 <= (1 - room) * memory else "bfloat16",
            "In bfloat16 it need not fit either. Check each.",
        ),
    ),
)

EXERCISES = (READ_HEADER, SPLIT, LARGEST, BISECT, KEYS, WIDEST)
