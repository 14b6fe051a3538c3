"""Checked equations of ``book/practice/scaling_out.ipynb``."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, whole


def _draw_rows(generator: Generator) -> dict[str, Any]:
    return {"x": normal(generator, 12, 3), "y": normal(generator, 12), "w": normal(generator, 3)}


def _gradient_by_hand(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    # of the mean of (x w - y)²; three processes with four rows each
    parts = []
    for first in range(0, 12, 4):
        rows = slice(first, first + 4)
        parts.append(2 * ((x[rows] @ w - y[rows])[:, None] * x[rows]).sum(0) / 4)
    return torch.stack(parts).sum(0) / 3


def _gradient_torch(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    free = w.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.mse_loss(x @ free, y), free)
    return gradient


def _draw_memory(generator: Generator) -> dict[str, Any]:
    return {"n": whole(generator, 10, 400)}


def _memory_by_hand(n: int) -> float:
    return n * (2 + 2 + 4 + 4 + 4)


def _memory_torch(n: int) -> int:
    weight = torch.zeros(n, dtype=torch.bfloat16)
    master = torch.zeros(n, dtype=torch.float32, requires_grad=True)
    master.grad = torch.zeros_like(master)
    adam = torch.optim.Adam([master])
    adam.step()
    kept = [weight, torch.zeros_like(weight), master, adam.state[master]["exp_avg"], adam.state[master]["exp_avg_sq"]]
    return sum(one.numel() * one.element_size() for one in kept)


def _draw_stages(generator: Generator) -> dict[str, Any]:
    return {"n": between(generator, 1, 100), "w": whole(generator, 1, 64)}


def _stages_by_hand(n: float, w: int) -> list[float]:
    return [4 * n + 12 * n / w, 2 * n + 14 * n / w, 16 * n / w]


def _stages_torch(n: float, w: int) -> list[float]:
    sizes = torch.tensor([2.0, 2.0, 12.0], dtype=torch.float64)  # weights, gradients, optimizer states
    divided = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.float64)
    found: list[float] = (n * (sizes * torch.where(divided > 0, 1 / w, 1.0)).sum(1)).tolist()
    return found


def _draw_ring(generator: Generator) -> dict[str, Any]:
    processes = whole(generator, 2, 6)
    return {"w": processes, "v": processes * whole(generator, 1, 5)}


def _ring_by_hand(w: int, v: int) -> float:
    return 2 * (w - 1) / w * v


def _ring_torch(w: int, v: int) -> float:
    # what each process sends when sums go round in pieces, and the sum must come out in all of them
    vectors = torch.arange(w * v, dtype=torch.float64).view(w, w, -1)  # (process, piece, number)
    held, sent = vectors.clone(), 0
    for phase in range(2):
        for step in range(w - 1):
            pieces = (torch.arange(w) - step + phase) % w
            messages = held[torch.arange(w), pieces].clone()
            to = (torch.arange(w) + 1) % w
            held[to, pieces] = messages + held[to, pieces] * (phase == 0)
            sent += messages[0].numel()
    return float(sent) if torch.equal(held, vectors.sum(0).expand_as(held)) else math.nan


def _draw_network(generator: Generator) -> dict[str, Any]:
    return {"x": normal(generator, 4, 6), "a": normal(generator, 6, 8), "b": normal(generator, 8, 6)}


def _gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def _tensor_by_hand(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return sum((_gelu(x @ a[:, i : i + 2]) @ b[i : i + 2] for i in range(0, 8, 2)), torch.zeros(4, 6).double())


def _tensor_torch(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return F.linear(F.gelu(F.linear(x, a.T)), b.T)


def _draw_pipeline(generator: Generator) -> dict[str, Any]:
    return {"p": whole(generator, 1, 8), "m": whole(generator, 1, 20)}


def _bubble_by_hand(p: int, m: int) -> float:
    return (p - 1) / (m + p - 1)


def _bubble_torch(p: int, m: int) -> Tensor:
    # who is busy when: a micro-batch can start in a process once the one before it has let it go
    done = torch.zeros(p, m, dtype=torch.float64)
    for rank in range(p):
        for number in range(m):
            ready = done[rank - 1, number] if rank else 0.0
            free = done[rank, number - 1] if number else 0.0
            done[rank, number] = max(float(ready), float(free)) + 1
    return 1 - p * m / (p * done.max())


EQUATIONS = (
    Equation(
        label="eq-scaling_out-gradient",
        symbols=(
            Symbol("L", "mean loss per target"),
            Symbol("B", "batch"),
            Symbol("W", "number of processes"),
            Symbol("B_w", "part of the batch that process $w$ has, with as many targets as any other"),
        ),
        draw=_draw_rows,
        by_hand=_gradient_by_hand,
        library=_gradient_torch,
    ),
    Equation(
        label="eq-scaling_out-memory",
        symbols=(
            Symbol("M", "bytes of weights, gradients and optimizer states"),
            Symbol("N", "number of parameters"),
        ),
        draw=_draw_memory,
        by_hand=_memory_by_hand,
        library=_memory_torch,
    ),
    Equation(
        label="eq-scaling_out-zero",
        symbols=(
            Symbol("M_1", "bytes per process when the optimizer states are sharded"),
            Symbol("N", "number of parameters"),
            Symbol("W", "number of processes"),
            Symbol("M_2", "bytes per process when gradients are sharded as well"),
            Symbol("M_3", "bytes per process when weights are sharded, too"),
        ),
        draw=_draw_stages,
        by_hand=_stages_by_hand,
        library=_stages_torch,
    ),
    Equation(
        label="eq-scaling_out-ring",
        symbols=(
            Symbol("S", "bytes that each process sends"),
            Symbol("W", "number of processes"),
            Symbol("V", "bytes of the vector that is summed"),
        ),
        draw=_draw_ring,
        by_hand=_ring_by_hand,
        library=_ring_torch,
        library_name="a ring played through",
    ),
    Equation(
        label="eq-scaling_out-tensor",
        symbols=(
            Symbol("X", "vectors of the tokens", r"n \times d"),
            Symbol("A", "first matrix", r"d \times d_{\text{ff}}"),
            Symbol("B", "second matrix", r"d_{\text{ff}} \times d"),
            Symbol("W", "number of processes"),
            Symbol("A_w", "columns of $A$ that process $w$ has", r"d \times d_{\text{ff}} / W"),
            Symbol("B_w", "rows of $B$ that process $w$ has", r"d_{\text{ff}} / W \times d"),
        ),
        draw=_draw_network,
        by_hand=_tensor_by_hand,
        library=_tensor_torch,
    ),
    Equation(
        label="eq-scaling_out-bubble",
        symbols=(
            Symbol(r"\beta", "bubble: fraction of all time in which processes are idle"),
            Symbol("p", "number of processes in the pipeline"),
            Symbol("m", "number of micro-batches"),
        ),
        draw=_draw_pipeline,
        by_hand=_bubble_by_hand,
        library=_bubble_torch,
        library_name="a pipeline played through",
    ),
)
