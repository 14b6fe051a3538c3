"""LoRA: a low-rank update beside each frozen matrix, which can be merged into it and unmerged again.

Chapter: ``book/algorithms/finetuning.ipynb``. Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language
Models", section 4.1.
"""

import json
import math
import re
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from companion.nn.checks import check_integer
from companion.nn.wrappers import plain_name, unwrapped
from companion.training import run_file

PASSED_OVER = (nn.MultiheadAttention, nn.TransformerEncoderLayer)  # whose linear layers are not always called


class LoRALinear(nn.Linear):
    """Linear layer with the matrix ``W + (alpha / rank) B A``, W frozen; B starts at zero, and so does the update.

    ``A`` is (rank, in), ``B`` is (out, rank) (section 4.1, eq. 3).
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        """Share weight and bias with ``linear``, under the same names, and add A and B.

        Raises:
            ValueError: when the rank is no integer from 1 to the smaller side of W, or alpha no number that is positive
                and finite.
        """
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        widest = min(linear.in_features, linear.out_features)
        check_integer("rank", rank, least=-widest)
        if not 1 <= rank <= widest:
            raise ValueError(f"rank must be 1 to {widest}, the smaller side of the matrix; got {rank}")
        scale: object = alpha
        if not isinstance(scale, Real) or isinstance(scale, bool) or not 0 < float(scale) < math.inf:  # NaN too
            raise ValueError(f"alpha must be positive and finite; got {alpha!r:.80}")
        self.weight, self.bias = linear.weight, linear.bias
        self.lora_a = nn.Parameter(torch.empty_like(linear.weight[:rank]).normal_(std=linear.in_features**-0.5))
        self.lora_b = nn.Parameter(torch.zeros_like(linear.weight[:, :rank]))
        self.rank, self.alpha = int(rank), float(alpha)  # numpy's would not go into a file
        self.merged = False
        self.train(linear.training)

    def change(self) -> Tensor:
        """Weight update ``(alpha / rank) B A``, (out, in)."""
        return self.alpha / self.rank * self.lora_b @ self.lora_a

    def forward(self, x: Tensor) -> Tensor:
        """Output of the layer, (…, in) -> (…, out)."""
        if self.merged and self.training:
            raise RuntimeError("the adapters are merged into the weights; call unmerge before training them")
        y = super().forward(x)
        if self.merged:
            return y
        return y + self.alpha / self.rank * F.linear(F.linear(x, self.lora_a), self.lora_b)


def add_lora(
    model: nn.Module, pattern: str, *, rank: int = 8, alpha: float = 16.0, also: str | None = None
) -> list[str]:
    """Freeze a model, and add LoRA adapters to the linear layers whose names match.

    >>> model = nn.ModuleDict({"query": nn.Linear(6, 6), "key": nn.Linear(6, 6)})
    >>> add_lora(model, "query", rank=2)
    ['query']
    >>> [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    ['query.lora_a', 'query.lora_b']

    Args:
        model: the model, changed in place.
        pattern: regular expression; each ``nn.Linear`` whose name has a match gets an adapter. ``"query|value"``
            selects these two projections in every block.
        rank: r, rank of the updates.
        alpha: scale; the updates are multiplied by alpha / r.
        also: regular expression of parameters that are trained too, such as those of a new head.

    Returns:
        names of the adapted layers.

    Raises:
        ValueError: when a pattern is no regular expression or matches nothing, the model has adapters already, a
            matrix is used elsewhere too, or rank or alpha is out of range.
    """
    linears = [name for name, module in model.named_modules() if name and isinstance(module, nn.Linear)]
    for given in (pattern, also or ""):
        _check_pattern(given)
    names = [name for name in linears if re.search(pattern, name)]
    if not names:
        raise ValueError(f"pattern {pattern!r} matches none of the {len(linears)} linear layers: {', '.join(linears)}")
    trained = [name for name, _ in model.named_parameters() if also and re.search(also, name)]
    if also and not trained:
        raise ValueError(f"also={also!r} matches none of the parameters")
    _attach(model, names, rank, alpha)
    for name in trained:
        model.get_parameter(name).requires_grad_(True)
    return names


def adapters(model: nn.Module) -> dict[str, LoRALinear]:
    """Layers with an adapter, by name.

    Raises:
        ValueError: when there is none.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}
    if not found:
        raise ValueError(f"{type(model).__name__} has no adapters; call add_lora first")
    return found


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Merge the adapters into the weights, ``W <- W + (alpha / r) B A``: same outputs, as fast as without them.

    >>> model = nn.ModuleDict({"query": nn.Linear(6, 6)})
    >>> _ = add_lora(model, "query", rank=2)
    >>> merge(model)
    >>> model["query"].merged
    True

    Raises:
        ValueError: when there are none, or they are merged already.
    """
    for name, layer in adapters(model).items():
        if layer.merged:
            raise ValueError(f"the adapter of {name} is merged already")
        layer.weight += layer.change()
        layer.merged = True


@torch.no_grad()
def unmerge(model: nn.Module) -> None:
    """Subtract merged adapters from the weights again, exactly up to rounding.

    >>> model = nn.ModuleDict({"query": nn.Linear(6, 6)})
    >>> _ = add_lora(model, "query", rank=2)
    >>> merge(model)
    >>> unmerge(model)
    >>> model["query"].merged
    False

    Raises:
        ValueError: when there are none, or they are not merged.
    """
    for name, layer in adapters(model).items():
        if not layer.merged:
            raise ValueError(f"the adapter of {name} is not merged")
        layer.weight -= layer.change()
        layer.merged = False


def remove_lora(model: nn.Module) -> None:
    """Turn the adapted layers into plain ``nn.Linear`` again, and make every parameter trainable.

    Merged adapters stay in the weights, and ``save_pretrained`` then writes an ordinary checkpoint; unmerged ones are
    discarded, and the model is what it was before :func:`add_lora`.

    Raises:
        ValueError: when there are none.
    """
    for name, layer in adapters(model).items():
        plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        plain.weight, plain.bias = layer.weight, layer.bias
        _replace(model, name, plain.train(layer.training))
    model.requires_grad_(True)


def save_adapters(model: nn.Module, path: str | Path) -> None:
    """Write all trainable parameters, adapters and heads, to one safetensors file, without the frozen weights.

    >>> import tempfile
    >>> model, again = (nn.ModuleDict({"query": nn.Linear(6, 6)}) for _ in range(2))
    >>> _ = add_lora(model, "query", rank=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_adapters(model, f"{folder}/adapters.safetensors")
    ...     load_adapters(again, f"{folder}/adapters.safetensors")
    >>> torch.equal(again["query"].lora_a, model["query"].lora_a)
    True

    Raises:
        ValueError: when the model has no adapters.
        OSError: when the file cannot be written; what stood there stays.
    """
    plain = unwrapped(model)
    found = adapters(plain)
    first = next(iter(found.values()))
    tensors = {plain_name(name): p.detach().cpu() for name, p in plain.named_parameters() if p.requires_grad}
    about = {"layers": list(map(plain_name, found)), "rank": first.rank, "alpha": first.alpha}
    run_file.write(Path(path), tensors, {"lora": json.dumps(about)})


def load_adapters(model: nn.Module, path: str | Path) -> None:
    """Freeze a model, and load the adapters of a file, with the other parameters trained with them.

    >>> load_adapters(nn.ModuleDict({"query": nn.Linear(6, 6)}), "nowhere.safetensors")
    Traceback (most recent call last):
    ValueError: nowhere.safetensors is missing, damaged, or no file of adapters: ...

    Args:
        model: the model that the adapters were trained on, without adapters.
        path: a file of :func:`save_adapters`.

    Raises:
        ValueError: when the file is damaged or holds no adapters, they do not fit the model, or it has some already.
    """
    tensors, about = _read(Path(path))
    model = unwrapped(model)
    own = {plain_name(name): name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    foreign = [name for name in about["layers"] if name not in own]
    if foreign:
        raise ValueError(f"{path} has an adapter for {foreign[0]!r}, and the model has no such linear layer")
    _attach(model, [own[name] for name in about["layers"]], about["rank"], about["alpha"])
    parameters = {plain_name(name): parameter for name, parameter in model.named_parameters()}
    shapes = {name: tuple(parameters[name].shape) if name in parameters else None for name in tensors}
    shapes |= {name: tuple(p.shape) for name, p in parameters.items() if p.requires_grad}
    for name, shape in shapes.items():
        given = tuple(tensors[name].shape) if name in tensors else None
        if given != shape:
            remove_lora(model)
            raise ValueError(f"{name!r} is of shape {given} in {path} and {shape} in the model (None = not there)")
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].requires_grad_(True).copy_(tensor)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of a file of adapters, and what it says of them: "layers", "rank" and "alpha".

    Raises:
        ValueError: when it is missing, damaged, or says something else.
    """
    try:
        if not path.is_file():  # a pipe would be waited for
            raise OSError("it is no file")
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            about = dict(json.loads(file.metadata()["lora"]))
        layers = about["layers"]
        check_integer("rank", about["rank"])
        if not isinstance(layers, list) or not layers or not all(isinstance(name, str) for name in layers):
            raise ValueError(f"layers must be a list of names; got {layers!r:.60}")
        if len(set(layers)) < len(layers) or type(about["alpha"]) not in (int, float):
            raise ValueError(f"a layer comes twice, or alpha is no number; got {about['alpha']!r:.60}")
        for name, tensor in tensors.items():
            if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
                raise ValueError(f"{name!r} must hold finite numbers; it is of {tensor.dtype}")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is missing, damaged, or no file of adapters: {error}") from error
    return tensors, about


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(f"a pattern must be a regular expression; got {pattern!r:.60}: {error}") from error


def _attach(model: nn.Module, names: Sequence[str], rank: int, alpha: float) -> None:
    """Replace the linear layers of these names; only the new parameters stay trainable."""
    if any(isinstance(module, LoRALinear) for module in model.modules()):
        raise ValueError(f"{type(model).__name__} has adapters already; call remove_lora first")
    made = {}
    for name in names:
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        parent = model.get_submodule(name.rpartition(".")[0])
        if isinstance(parent, PASSED_OVER):
            raise ValueError(
                f"{name} cannot be adapted: torch's {type(parent).__name__} reads its weight, and not the layer"
            )
        if sum(getattr(module, "weight", None) is linear.weight for module in model.modules()) > 1:
            raise ValueError(f"the matrix of {name} is tied to another layer's, which merging would change too")
        made[name] = LoRALinear(linear, rank, alpha)
    model.requires_grad_(False)
    for name, layer in made.items():
        layer.lora_a.requires_grad_(True)
        layer.lora_b.requires_grad_(True)
        _replace(model, name, layer)


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
