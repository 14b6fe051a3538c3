"""Settings that a resumed run must have in common with the one before, and what is said of those that differ.

Chapter: ``book/concepts/optimization.ipynb``.
"""

import dis
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from companion.nn.wrappers import plain_name, unwrapped
from companion.training.settings import Evaluation, Optimization, Runtime

MISSING = "not given"
OPTIONAL = ("evaluation",)  # a run may have it or not
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object in memory: another in each process
SIMPLE = (str, int, float)  # values that are the same in every process
USES = ("LOAD_CONST", "LOAD_SMALL_INT", "RETURN_CONST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD")


def settings_of(
    model: nn.Module,
    loss: Callable[..., Any],
    learning_rate: float,
    how: Optimization,
    runtime: Runtime,
    evaluation: Evaluation | None = None,
) -> dict[str, Any]:
    """Settings of a run by name, as JSON keeps them: of the optimization, the loss, and the model.

    The number of steps is not among them, because a finished run may be continued; nor how many batches make a step, as
    the next batch is read in any case. Of functions they hold what :func:`described` says. An evaluation may be left
    out or begun later, but not exchanged: its values are compared with each other.
    """
    plain = unwrapped(model)
    frozen = [plain_name(name) for name, parameter in plain.named_parameters() if not parameter.requires_grad]
    found = {
        "loss": described(loss),
        "learning_rate": learning_rate,
        "optimizer": how.optimizer,
        "weight_decay": how.weight_decay,
        "schedule": how.schedule,
        "warmup": how.warmup,
        "lr_multiplier": how.lr_multiplier is not None,
        "max_grad_norm": how.max_grad_norm,
        "targets": None if how.targets is None else described(how.targets),
        "evaluation": None if evaluation is None else described(evaluation.function),
        "precision": runtime.precision,
        "seed": runtime.seed,
        "dtype": sorted({str(parameter.dtype).removeprefix("torch.") for parameter in plain.parameters()}),
        "frozen": frozen,
    }
    return dict(json.loads(json.dumps(found | dict(_sizes(plain)), default=repr)))


def described(function: Callable[..., Any]) -> str:
    """Name of a function, and the values that it was made with: those of a ``partial``, its defaults, its closure.

    Of a function that no package has, such as a notebook's, also the names and constants that it uses; what it does
    with them is not seen.

    >>> described(functools.partial(sum, start=3)), described(lambda model, batch: 2 * sum(batch))
    ('sum(start=3)', '<lambda> of 2, sum')
    """
    if isinstance(function, functools.partial):
        given = [*map(repr, function.args), *(f"{name}={value!r}" for name, value in function.keywords.items())]
        return f"{described(function.func)}({ADDRESS.sub('', ', '.join(given))})"
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if not isinstance(function, FunctionType):
        return name
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    made = {free: cell.cell_contents for free, cell in cells} | (function.__kwdefaults__ or {})
    made |= {f"default {place}": value for place, value in enumerate(function.__defaults__ or ())}
    parts = [f"{key}={value!r}" for key, value in made.items() if isinstance(value, SIMPLE)]
    if "<" in name or function.__module__ == "__main__":
        used = (one.argval for one in dis.get_instructions(function) if one.opname.startswith(USES))
        parts = [*(str(value) for value in used if isinstance(value, SIMPLE)), *parts]
    return f"{name} of {', '.join(parts)}" if parts else name


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two runs' settings differ in, each with both values.

    >>> differences({"seed": 0, "warmup": None}, {"seed": 3, "warmup": None})
    ['seed 0 (here 3)']
    """
    names = sorted(before.keys() | now.keys())
    pairs = ((name, before.get(name, MISSING), now.get(name, MISSING)) for name in names)
    return [
        f"{name} {there!r:.200} (here {here!r:.200})"
        for name, there, here in pairs
        if there != here and not (name in OPTIONAL and {there, here} & {None, MISSING})
    ]


def fingerprint(batch: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a batch: of its tensors' dtypes, shapes and numbers.

    >>> fingerprint(torch.tensor([1, 2])) == fingerprint((torch.tensor([1, 2]),))
    True
    """
    digest = hashlib.sha256()
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, tuple | list) else [batch]
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _sizes(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Fields of the configurations of a model and of those inside it, as pairs (name, value)."""
    yield "model", type(model).__name__
    seen: set[int] = set()
    for name, module in model.named_modules():
        config = getattr(module, "config", None)
        if is_dataclass(config) and not isinstance(config, type) and id(config) not in seen:
            seen.add(id(config))
            prefix = f"{plain_name(name)}." if name else ""
            yield from ((f"{prefix}config.{field.name}", getattr(config, field.name)) for field in fields(config))
