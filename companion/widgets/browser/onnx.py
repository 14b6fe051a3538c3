"""Write a model as one ONNX file that runs in a web page, attention included.

The file takes ``ids`` (1, length) and returns ``logits`` (1, length, vocab_size) and ``attention`` (layers, heads,
length, length), for any length up to the context; a BERT without heads returns ``hidden`` (1, length, d_model) in the
place of the logits. It also returns ``heads``, the outputs of all heads (layers, heads, length, d_head), and goes on
with ``head_mask * heads + patch``: ``head_mask`` (layers, heads) is one for a head as it is and zero for one that is
ablated, ``patch`` is zero but for a head whose output comes from another run. Weights are stored as 16-bit floats, or
as 8-bit integers in blocks that have one scale, and widened when the model is loaded, so the file is a half or a
quarter as large and the arithmetic is still 32-bit. Chapter: ``book/concepts/attention.ipynb``.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch import Tensor, nn

from companion.data.whole_files import write_whole
from companion.models.bert import Bert, BertForPreTraining, segments_of
from companion.models.gpt import GPT
from companion.models.modern_decoder import ModernDecoder
from companion.nn.capture import attention_layers, capture

Exported = GPT | ModernDecoder | Bert | BertForPreTraining

TOLERANCE = 1e-3
SMALLEST_STORED = 1024  # values; below this a Cast costs more than it saves
BLOCK, TABLE_BLOCK = 8, 32  # 8-bit weights that have a scale in common; a table of word vectors bears longer blocks
TABLE = 2**22  # values; a matrix of this size is such a table


class Packed(nn.Module):
    """A model as a page runs it: the attention and the heads' outputs of all layers, each in one tensor."""

    def __init__(self, model: Exported, sep_id: int | None = None, *, chosen: bool = False) -> None:
        """Wrap a model.

        Args:
            model: whose attention is packed.
            sep_id: see :func:`export_onnx`.
            chosen: whether a further input, ``places``, names the positions that the first output is of.
        """
        super().__init__()
        self.model, self.sep_id = model, sep_id
        self.inputs = ("ids", "head_mask", "patch", "places")[: 4 if chosen else 3]
        self.outputs = ("hidden" if isinstance(model, Bert) else "logits", "attention", "heads")

    def forward(
        self, ids: Tensor, head_mask: Tensor, patch: Tensor, places: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(1, length), (layers, heads), (layers, heads, length, d_head) -> the outputs of the file."""
        with capture(self.model) as record, _mixed(self.model, head_mask, patch):
            if isinstance(self.model, Bert | BertForPreTraining):
                answer = self.model(ids, None if self.sep_id is None else segments_of(ids, self.sep_id))
            else:
                answer = self.model(ids)
        if isinstance(answer, tuple):
            answer, _ = answer  # the other one judges the pair of sentences
        if places is not None:
            answer = answer[:, places]
        return answer, torch.cat(record.attention), torch.cat(record.heads)

    def example(self, ids: Tensor) -> dict[str, Tensor]:
        """Inputs for ``ids``, by name: heads are weighed and patched by numbers drawn at random."""
        draw = torch.Generator().manual_seed(ids.size(1))
        layers, heads, d_head = head_sizes(self.model)
        mask = torch.rand(layers, heads, generator=draw)
        patch = 0.1 * torch.randn(layers, heads, ids.size(1), d_head, generator=draw)
        values = (ids, mask, patch, torch.arange(ids.size(1)).flip(0))
        return dict(zip(self.inputs, values, strict=False))


def head_sizes(model: nn.Module) -> tuple[int, int, int]:
    """Number of layers, heads of a layer, and width of a head."""
    layers = attention_layers(model)
    output = layers[0].get_submodule("output")
    assert isinstance(output, nn.Linear)
    return len(layers), layers[0].n_heads, output.in_features // layers[0].n_heads


@contextmanager
def _mixed(model: nn.Module, head_mask: Tensor, patch: Tensor) -> Iterator[None]:
    """Go on with ``head_mask * heads + patch`` inside the ``with`` block, in a model whose layers may be shared."""
    layers = iter(zip(head_mask, patch, strict=True))

    def mix(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        mask, added = next(layers)
        heads = inputs[0].unflatten(-1, (len(mask), -1)).transpose(1, 2)  # (1, heads, length, d_head)
        return ((mask[:, None, None] * heads + added).transpose(1, 2).flatten(2), *inputs[1:])

    outputs = dict.fromkeys(layer.get_submodule("output") for layer in attention_layers(model))
    handles = [output.register_forward_pre_hook(mix) for output in outputs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def export_onnx(model: Exported, path: str | Path, sep_id: int | None = None, *, bits: int = 16) -> None:
    """Write ``model`` to ``path`` as ONNX; the file is checked against torch before it appears.

    In 16 bits, a model trained in, or stored as, float16 loses nothing. In 8 bits each weight moves by at most half a
    step, 1/254 of the largest in its block.

    Args:
        model: left as it is.
        path: of the file.
        sep_id: of ``[SEP]``, after which a BERT's second segment begins; all is the first when not given.
        bits: that a weight is stored in, 16 or 8.

    Raises:
        TypeError: on a model of another class.
        ValueError: on another number of bits, or a weight too large for 16 bits.
        RuntimeError: when the written file does not answer as torch does.
    """
    if not isinstance(model, Exported):
        allowed = ", ".join(kind.__name__ for kind in get_args(Exported))
        raise TypeError(f"a page runs models of the classes {allowed}; got {type(model).__name__}")
    if bits not in STORED:
        raise ValueError(f"bits must be one of {', '.join(map(str, STORED))}; got {bits}")
    path = Path(path)
    rounded = deepcopy(model).cpu().float().eval()
    for name, parameter in rounded.named_parameters():
        if not parameter.half().isfinite().all():
            raise ValueError(f"{name} has a value beyond 65504, the largest 16-bit float")
        if bits == 16:
            parameter.data = parameter.data.half().float()
    packed = Packed(rounded, sep_id).eval()
    proto = _trace(packed)
    if bits == 8:
        verify(proto, packed)  # before the weights are rounded: afterwards it answers a little differently
    proto = _store_weights(proto, STORED[bits])
    onnx.checker.check_model(proto, full_check=True)
    if bits == 16:
        verify(proto, packed)
    save(proto, path)


def save(proto: onnx.ModelProto, path: Path) -> None:
    """Write a file that appears when it is whole."""
    content = proto.SerializeToString(deterministic=True)
    write_whole(path, lambda part: part.write_bytes(content))


def _trace(packed: Packed) -> onnx.ModelProto:
    longest = packed.model.config.context_length
    example = packed.example(torch.zeros(1, min(3, longest), dtype=torch.int64))
    length = torch.export.Dim("length", min=2, max=longest)  # torch 2.9 takes no 1; the file does
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own notices say nothing about this model
        logging.disable(logging.WARNING)
        try:
            program = torch.onnx.export(
                packed,
                tuple(example.values()),
                dynamo=True,
                verbose=False,
                input_names=packed.inputs,
                output_names=packed.outputs,
                dynamic_shapes={"ids": {1: length}, "head_mask": {}, "patch": {2: length}},
            )
        finally:
            logging.disable(logging.NOTSET)
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return program.model_proto


def _store_weights(proto: onnx.ModelProto, store: "Store") -> onnx.ModelProto:
    """Store each large 32-bit weight once, in fewer bits, and widen it in front of its users."""
    stored: dict[bytes, str] = {}
    kept, nodes = [], []
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < SMALLEST_STORED:
            kept.append(tensor)
        elif _key(values) in stored:
            nodes.append(helper.make_node("Identity", [stored[_key(values)]], [tensor.name]))
        elif _key(values.T) in stored:  # the tracer folds the transpose of a small embedding into a copy
            nodes.append(helper.make_node("Transpose", [stored[_key(values.T)]], [tensor.name]))
        else:
            stored[_key(values)] = tensor.name
            smaller, widening = store(tensor.name, values)
            kept += smaller
            nodes += widening
    nodes += list(proto.graph.node)
    for field in (proto.graph.initializer, proto.graph.node, proto.graph.value_info, proto.graph.metadata_props):
        del field[:]
    proto.graph.initializer.extend(kept)
    proto.graph.node.extend(nodes)
    for node in proto.graph.node:
        del node.metadata_props[:]  # stack traces of the machine that traced it
        node.doc_string = ""
    return proto


def _in_16_bits(name: str, values: np.ndarray) -> "Stored":
    half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
    return [half], [helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)]


def _in_8_bits(name: str, values: np.ndarray) -> "Stored":
    """Blocks of integers and their scales; the product is all constants, which the runtime folds when it loads."""
    block = TABLE_BLOCK if values.size >= TABLE else BLOCK
    if values.size % block:
        return _in_16_bits(name, values)
    blocks = values.reshape(-1, block)
    scales = (np.abs(blocks).max(axis=1, keepdims=True) / 127).astype(np.float16)
    steps = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales > 0)
    parts = {
        "codes": np.rint(steps).clip(-127, 127).astype(np.int8),
        "scales": scales,
        "shape": np.array(values.shape, np.int64),
    }
    tensors = [numpy_helper.from_array(part, f"{name}.{what}") for what, part in parts.items()]
    codes, scale, shape = (tensor.name for tensor in tensors)
    wide = [f"{name}.{what}" for what in ("steps", "step", "blocks")]
    return tensors, [
        helper.make_node("Cast", [codes], [wide[0]], to=TensorProto.FLOAT),
        helper.make_node("Cast", [scale], [wide[1]], to=TensorProto.FLOAT),
        helper.make_node("Mul", wide[:2], [wide[2]]),
        helper.make_node("Reshape", [wide[2], shape], [name]),
    ]


Stored = tuple[list[TensorProto], list[onnx.NodeProto]]
Store = Callable[[str, np.ndarray], Stored]
STORED: dict[int, Store] = {16: _in_16_bits, 8: _in_8_bits}


def _key(values: np.ndarray) -> bytes:
    return repr(values.shape).encode() + values.tobytes()


def verify(proto: onnx.ModelProto, packed: Packed, operators: Sequence[type[OpRun]] = ()) -> None:
    """Compare what a file answers with torch, at the lengths 1 and 7.

    Args:
        proto: the file.
        packed: the model that it is of.
        operators: those of its operators that are not ONNX's own.

    Raises:
        RuntimeError: when they differ by more than ``TOLERANCE``.
    """
    evaluator = ReferenceEvaluator(proto, new_ops=list(operators))
    config = packed.model.config
    for length in {1, min(7, config.context_length)}:
        ids = torch.arange(length).reshape(1, -1) % config.vocab_size
        if packed.sep_id is not None:
            ids[0, length // 2] = packed.sep_id
        inputs = packed.example(ids)
        with torch.no_grad():
            expected = packed(*inputs.values())
        answers = evaluator.run(None, {name: values.numpy() for name, values in inputs.items()})
        for name, ours, theirs in zip(packed.outputs, answers, expected, strict=True):
            error = float(np.abs(ours - theirs.numpy()).max())
            if ours.shape != tuple(theirs.shape) or not error <= TOLERANCE:
                raise RuntimeError(
                    f"{name} of the exported model, {ours.shape} at length {length}, differs from torch by "
                    f"{error:.2g}; at most {TOLERANCE} is allowed"
                )
