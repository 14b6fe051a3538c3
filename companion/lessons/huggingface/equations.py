"""Checked equations of ``book/practice/huggingface.ipynb``."""

from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Generator, Tensor

from companion.checkpoints.huggingface import first_difference, stored_tensors
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, whole

BYTES = {torch.float64: 8, torch.float32: 4, torch.float16: 2}
MANTISSA = 52  # bits of a float64's fraction


def _draw_file(generator: Generator) -> dict[str, Any]:
    dtypes = list(BYTES)
    tensors = {
        f"layer.{i}": normal(generator, whole(generator, 1, 5), whole(generator, 1, 9)).to(
            dtypes[whole(generator, 0, 2)]
        )
        for i in range(whole(generator, 1, 6))
    }
    raw = save(tensors)
    return {"tensors": tensors, "raw": raw}


def _file_by_hand(tensors: dict[str, Tensor], raw: bytes) -> int:
    total: int = 8 + sum(byte * 256**place for place, byte in enumerate(raw[:8]))
    for tensor in tensors.values():
        numbers = 1
        for size in tensor.shape:
            numbers *= int(size)
        total += BYTES[tensor.dtype] * numbers
    return total


def _file_companion(tensors: dict[str, Tensor], raw: bytes) -> int:
    return stored_tensors(raw)[-1].end


def _file_safetensors(tensors: dict[str, Tensor], raw: bytes) -> int:
    return len(raw)


def _draw_number(generator: Generator) -> dict[str, Any]:
    return {"x": between(generator, -1, 1) * 10 ** between(generator, -6, 6)}


def _spacing_by_hand(x: float) -> float:
    exponent = next(one for one in range(-64, 64) if 2.0**one <= abs(x) < 2.0 ** (one + 1))
    return float(2.0 ** (exponent - MANTISSA))


def _spacing_numpy(x: float) -> float:
    return float(np.spacing(abs(x)))


def _draw_depth(generator: Generator) -> dict[str, Any]:
    return {"layers": whole(generator, 1, 130)}


def _bisection_by_hand(layers: int) -> int:
    return next(comparisons for comparisons in range(64) if 2**comparisons >= layers + 1)


def _bisection_companion(layers: int) -> int:
    counts = []
    for fault in range(layers + 1):
        asked: list[int] = []

        def differ(state: int, fault: int = fault, asked: list[int] = asked) -> bool:
            asked.append(state)
            return state >= fault

        first_difference(differ, layers)
        counts.append(len(asked))
    return max(counts)


def _bisection_bits(layers: int) -> int:
    return layers.bit_length()


EQUATIONS = (
    Equation(
        label="eq-huggingface-file",
        symbols=(
            Symbol("B", "bytes of the file"),
            Symbol("H", "bytes of its header, which the first eight bytes say"),
            Symbol("b_t", "bytes per number of tensor $t$: 4 for float32, 2 for float16 and bfloat16"),
            Symbol("s_{t,i}", "size of tensor $t$ along axis $i$"),
        ),
        draw=_draw_file,
        by_hand=_file_by_hand,
        companion=_file_companion,
        library=_file_safetensors,
        library_name="safetensors",
    ),
    Equation(
        label="eq-huggingface-spacing",
        symbols=(
            Symbol(r"\Delta(x)", "spacing: distance from $x$ to the next larger number that the dtype has"),
            Symbol("x", "a number that is not 0"),
            Symbol("m", "bits of the fraction: 52 in float64, 23 in float32, 10 in float16, 7 in bfloat16"),
        ),
        draw=_draw_number,
        by_hand=_spacing_by_hand,
        library=_spacing_numpy,
        library_name="NumPy",
    ),
    Equation(
        label="eq-huggingface-bisection",
        symbols=(
            Symbol("c", "comparisons, at the most, until the layer is found"),
            Symbol("L", "number of layers; there are $L + 1$ hidden states, the input of the first among them"),
        ),
        draw=_draw_depth,
        by_hand=_bisection_by_hand,
        companion=_bisection_companion,
        library=_bisection_bits,
        library_name="the binary digits of L",
    ),
)
