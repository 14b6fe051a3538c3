"""What the machine computes fast, by measuring once and never by the name of a device.

Chapter: ``book/concepts/optimization.ipynb``.
"""

import math
import platform
import time
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.nn.device import pick_device

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIDES = {"cpu": 512}  # of the matrices; elsewhere larger ones, or starting a product is all that is measured
SIDE = 4096
SHORT = 128  # positions of the text that attention is measured with
SECONDS = 0.03  # for each precision
GAIN = 1.5  # half precision must be so much faster in products, as all else of a step gains nothing from it


@cache
def matrix_rates(kind: str) -> dict[str, float]:
    """Operations per second of a matrix product, in each precision that a kind of device has.

    Measured once in a process, in about a tenth of a second; the best of the products counts.

    Args:
        kind: "cpu", "cuda" or "mps".

    >>> sorted(matrix_rates("cpu"))
    ['bfloat16', 'float32']
    """
    found = {}
    for name, dtype in PRECISIONS.items():
        try:
            side = SIDES.get(kind, SIDE)
            matrix = torch.ones(side, side, dtype=dtype, device=kind)
            found[name] = 2 * side**3 / _shortest(matrix)
        except (RuntimeError, TypeError):  # the device has no such product
            continue
    return found


def fastest_precision(device: torch.device) -> str:
    """Precision to train in: "bfloat16" where matrix products are so much faster that training is, or "float32".

    On a CPU it is "float32" in any case: a run there has the same weights on every machine, which a measurement that
    is near the limit would not leave so. :func:`env` says what would be gained.

    >>> fastest_precision(torch.device("cpu"))
    'float32'
    """
    if device.type == "cpu":
        return "float32"
    rates = matrix_rates(device.type)
    return "bfloat16" if rates.get("bfloat16", 0.0) > GAIN * rates.get("float32", 0.0) else "float32"


@cache
def fused_attention_is_fast(kind: str, dtype: torch.dtype) -> bool:
    """Whether torch's fused kernel of attention is the faster way to train, or the products one by one are.

    Measured once in a process, in some hundredths of a second. A kernel may know no instruction for a type that the
    products have one for: in bfloat16 on a CPU its backward pass can take several times as long.

    Args:
        kind: "cpu", "cuda" or "mps".
        dtype: of queries, keys and values.
    """
    x = torch.ones(8, 4, SHORT, 32, dtype=dtype, device=kind, requires_grad=True)
    fused, plain = (_shortest_step(step, x) for step in (_fused, _plain))
    return fused <= plain


def env() -> dict[str, str | int | float]:
    """What a run depends on: versions, threads, the device, and how fast its matrix products are in each precision.

    >>> env()["torch"] == torch.__version__
    True
    """
    device = pick_device()
    rates = {f"{name}_gflops": round(rate / 1e9, 1) for name, rate in matrix_rates(device.type).items()}
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": device.type,
        **rates,
        "precision": fastest_precision(device),
    }


def _fused(x: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, is_causal=True)


def _plain(x: Tensor) -> Tensor:
    later = torch.full((SHORT, SHORT), -math.inf, dtype=x.dtype, device=x.device).triu(1)
    return (x @ x.mT + later).softmax(-1) @ x


def _shortest_step(step: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Seconds of the shortest of some forward and backward passes, after a first one."""
    clock, taken = _clock(x), []
    for _ in range(4):
        started = clock()
        (of_x,) = torch.autograd.grad(step(x).sum(), x)
        float(of_x.flatten()[0])  # waits until it is computed
        taken.append(clock() - started)
    return min(taken[1:])


def _clock(tensor: Tensor) -> Callable[[], float]:
    """Clock for what computes where a tensor is: on a CPU that of the processor's time, as others may use it, too."""
    return time.process_time if tensor.device.type == "cpu" else time.perf_counter


def _shortest(matrix: Tensor) -> float:
    """Seconds of the shortest of the products of a matrix with itself, after a first one."""
    clock = _clock(matrix)
    taken: list[float] = []
    while len(taken) < 4 or sum(taken) < SECONDS:
        started = clock()
        product = matrix @ matrix
        float(product[0, 0])  # waits until it is computed
        taken.append(clock() - started)
    return min(taken[1:])
