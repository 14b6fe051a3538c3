"""Write the Llama of a GGUF file as one ONNX file that runs in a web page, attention included, in the same codes.

Its inputs and outputs are those of :mod:`companion.widgets.browser.onnx`, and one input more: ``places``, the positions
that ``logits`` (1, places, vocab_size) are of, since a large vocabulary makes those of all slow. The graph is written
node by node: traced, it would hold each weight widened to 32 bits. Here a matrix stays in blocks of 4-bit or 8-bit
codes until ONNX Runtime multiplies by it, and no code is changed.
Chapter: ``book/appendix/gallery.md``.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference.op_run import OpRun

from companion.checkpoints.gguf_file import GGUF, Quantized
from companion.models.modern_decoder import ModernDecoder
from companion.nn.positions import rotary_frequencies
from companion.widgets.browser.onnx import Packed, save, verify

RUNTIME = "com.microsoft"  # the domain of ONNX Runtime's own operators
OPSET, IR_VERSION = 21, 10
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


class MatMulNBits(OpRun):
    """ONNX Runtime's product with a matrix of codes, in NumPy: a written file is checked without that runtime."""

    op_domain = RUNTIME

    def _run(self, x: np.ndarray, codes: np.ndarray, scales: np.ndarray, **sizes: int) -> tuple[np.ndarray]:
        if sizes["bits"] == 4:
            codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*codes.shape[:2], -1)
        weights = (codes.astype(np.float32) - 2 ** (sizes["bits"] - 1)) * scales[..., None]
        return (x @ weights.reshape(sizes["N"], sizes["K"]).T,)


def export_gguf(model: ModernDecoder, file: GGUF, path: str | Path) -> None:
    """Write the Llama of ``file`` to ``path`` as ONNX; what is written is checked against torch before it appears.

    Args:
        model: of the file, as :meth:`companion.models.modern_decoder.ModernDecoder.from_gguf` makes it.
        file: its matrices must be stored as "Q4_1" or "Q8_0", its token embedding as "Q8_0".
        path: of what is written.

    Raises:
        companion.checkpoints.CheckpointError: when a matrix is stored in another way.
        ValueError: when the token embedding, or matrices that are multiplied together, are.
        RuntimeError: when the written file does not answer as torch does.
    """
    proto = _Llama(model, file).proto()
    verify(proto, Packed(model, chosen=True).eval(), (MatMulNBits,))
    save(proto, Path(path))


class _Graph:
    """Nodes and stored tensors of a graph, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, TensorProto] = {}

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        return self.split(kind, 1, *inputs, **attributes)[0]

    def split(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs; return their names."""
        outputs = [f"{kind}.{len(self.nodes)}.{number}" for number in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def store(self, name: str, values: np.ndarray) -> str:
        """Store a tensor, once, under its name; return the name."""
        self.tensors.setdefault(name, numpy_helper.from_array(values, name))
        return name

    def whole(self, *numbers: int) -> str:
        """A stored list of whole numbers, such as a shape."""
        return self.store(f"whole {numbers}", np.array(numbers, np.int64))

    def real(self, number: float) -> str:
        """A stored real number."""
        return self.store(f"real {number}", np.array(number, np.float32))

    def widened(self, name: str, values: np.ndarray) -> str:
        """A tensor of 16-bit numbers, widened; the runtime does that once, when it loads the file."""
        return self.add("Cast", self.store(name, values), to=FLOAT)

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("Reshape", x, self.whole(*shape))


class _Llama(_Graph):
    """The graph of a Llama; each method adds what its name says, and returns where the result is."""

    def __init__(self, model: ModernDecoder, file: GGUF) -> None:
        super().__init__()
        self.config, self.file = model.config, file
        self.maps: list[str] = []
        self.outputs: list[str] = []  # of the heads
        length = self.add("Shape", "ids", start=1)
        self.map_shape = self.add("Concat", self.whole(1, self.config.n_heads), length, length, axis=0)
        count = self.add("Cast", self.add("Squeeze", length), to=FLOAT)
        positions = self.add("Range", self.real(0), count, self.real(1))
        column = self.reshape(positions, -1, 1)
        frequencies = rotary_frequencies(self.config.d_head, self.config.rope_base).numpy()
        angles = self.add("Mul", column, self.store("frequencies", frequencies))
        self.turn = self.add("Cos", angles), self.add("Sin", angles)  # (length, d_head / 2)
        later = self.add("Greater", positions, column)
        self.mask = self.add("Where", later, self.real(-np.inf), self.real(0))

    def proto(self) -> onnx.ModelProto:
        """The whole model."""
        config = self.config
        x = self._embedding()
        for layer in range(config.n_layers):
            x = self.add("Add", x, self._attention(self._norm(x, f"blk.{layer}.attn_norm"), layer))
            x = self.add("Add", x, self._feed_forward(self._norm(x, f"blk.{layer}.ffn_norm"), layer))
        scored = self._norm(self.add("Gather", x, "places", axis=1), "output_norm")
        logits = self._matmul(scored, "token_embd" if config.tied else "output")
        heads = (config.n_layers, config.n_heads)
        outputs = []
        shapes: dict[str, tuple[str, tuple[int | str, ...]]] = {
            "logits": (logits, (1, "places", config.vocab_size)),
            "attention": (self.add("Concat", *self.maps, axis=0), (*heads, "length", "length")),
            "heads": (self.add("Concat", *self.outputs, axis=0), (*heads, "length", config.d_head)),
        }
        for name, (found, shape) in shapes.items():
            self.nodes.append(helper.make_node("Identity", [found], [name]))
            outputs.append(helper.make_tensor_value_info(name, FLOAT, shape))
        inputs = [
            helper.make_tensor_value_info("ids", INT64, [1, "length"]),
            helper.make_tensor_value_info("head_mask", FLOAT, heads),
            helper.make_tensor_value_info("patch", FLOAT, (*heads, "length", config.d_head)),
            helper.make_tensor_value_info("places", INT64, ["places"]),
        ]
        graph = helper.make_graph(self.nodes, "llama", inputs, outputs, list(self.tensors.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(RUNTIME, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def _embedding(self) -> str:
        """The rows of the token embedding, widened one by one: (1, length, d_model)."""
        blocks = self.file.quantized("token_embd.weight")
        if blocks.bits != 8:
            raise ValueError(f"{self.file.path}: the token embedding must be in 8 bits; got {blocks.bits}")
        codes, scales = self._stored("token_embd", blocks)
        steps = self.add("Sub", self.add("Cast", self.add("Gather", codes, "ids"), to=FLOAT), self.real(128))
        scale = self.add("Unsqueeze", self.add("Gather", scales, "ids"), self.whole(-1))
        return self.reshape(self.add("Mul", steps, scale), 1, -1, self.config.d_model)

    def _attention(self, x: str, layer: int) -> str:
        """Grouped-query attention; its weights are kept for the output.

        The file has a rotated pair side by side, companion has it half a head apart; the scores are the same.
        """
        config, name = self.config, f"blk.{layer}.attn"
        heads, groups, d = config.n_heads, config.n_kv_heads, config.d_head
        projected = self._matmul(x, f"{name}_q", f"{name}_k", f"{name}_v")
        sizes = self.whole((heads + groups) * d, groups * d)
        turning, values = self.split("Split", 2, projected, sizes, axis=2)
        pairs = self.add("Transpose", self.reshape(turning, -1, heads + groups, d // 2, 2), perm=[1, 3, 0, 2])
        q, k = self.split("Split", 2, self._rotated(pairs), self.whole(heads, groups), axis=0)
        q = self.add("Mul", self.reshape(q, groups, heads // groups, -1, d), self.real(d**-0.5))
        scores = self.add("MatMul", q, self.add("Transpose", k, perm=[0, 1, 3, 2]))
        weights = self.add("Softmax", self.add("Add", scores, self.mask), axis=-1)  # (groups, heads of one, n, n)
        self.maps.append(self.add("Reshape", weights, self.map_shape))
        values = self.add("Transpose", self.reshape(values, -1, groups, 1, d), perm=[1, 2, 0, 3])
        mixed = self._intervened(self.reshape(self.add("MatMul", weights, values), 1, heads, -1, d), layer)
        mixed = self.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return self._matmul(self.reshape(mixed, 1, -1, heads * d), f"{name}_output")

    def _intervened(self, mixed: str, layer: int) -> str:
        """Outputs of the heads (1, heads, length, d_head), kept for the output, then weighed and patched."""
        self.outputs.append(mixed)
        mask, patch = (self.add("Gather", name, self.whole(layer), axis=0) for name in ("head_mask", "patch"))
        return self.add("Add", self.add("Mul", mixed, self.reshape(mask, 1, -1, 1, 1)), patch)

    def _rotated(self, pairs: str) -> str:
        """Rotary positions: (heads, 2, length, d_head / 2) -> (heads, 1, length, d_head)."""
        (cos, sin), (a, b) = self.turn, self.split("Split", 2, pairs, axis=1, num_outputs=2)
        first = self.add("Sub", self.add("Mul", a, cos), self.add("Mul", b, sin))
        second = self.add("Add", self.add("Mul", b, cos), self.add("Mul", a, sin))
        return self.add("Concat", first, second, axis=3)

    def _feed_forward(self, x: str, layer: int) -> str:
        """SwiGLU."""
        both = self._matmul(x, f"blk.{layer}.ffn_gate", f"blk.{layer}.ffn_up")
        gate, up = self.split("Split", 2, both, axis=2, num_outputs=2)
        gate = self.add("Mul", gate, self.add("Sigmoid", gate))
        return self._matmul(self.add("Mul", gate, up), f"blk.{layer}.ffn_down")

    def _norm(self, x: str, name: str) -> str:
        """RMSNorm."""
        mean = self.add("ReduceMean", self.add("Mul", x, x), self.whole(-1))
        root = self.add("Sqrt", self.add("Add", mean, self.real(self.config.norm_eps)))
        weight = self.store(name, self.file.tensor(f"{name}.weight").numpy())
        return self.add("Mul", self.add("Div", x, root), weight)

    def _matmul(self, x: str, *names: str) -> str:
        """The product with matrices of the file, one below the other.

        ``scale code + offset = scale (code - 8) + (offset + 8 scale)``: the runtime has an operator for the first term;
        the second is one number for all 32 inputs of a block, which it multiplies in their sum. Kept as a zero point,
        ``-offset / scale``, it would save a tenth of the time, but WebGPU knows no zero points between whole numbers.
        """
        blocks = _joined([self.file.quantized(f"{name}.weight") for name in names])
        rows, count, size = blocks.codes.shape
        codes, scales = self._stored(" ".join(names), blocks)
        sizes = {"K": count * size, "N": rows, "bits": blocks.bits, "block_size": size}
        product = self.add("MatMulNBits", x, codes, scales, domain=RUNTIME, **sizes)
        if blocks.offsets is None:
            return product
        offsets = self.widened(f"{' '.join(names)} offsets", blocks.offsets.T)
        rest = self.add("Add", offsets, self.add("Mul", self.add("Transpose", scales), self.real(8)))
        sums = self.add("ReduceSum", self.reshape(x, 1, -1, count, size), self.whole(-1), keepdims=0)
        return self.add("Add", product, self.add("MatMul", sums, rest))

    def _stored(self, name: str, blocks: Quantized) -> tuple[str, str]:
        """Codes, two in a byte where they have 4 bits, and scales."""
        codes = blocks.codes if blocks.bits == 8 else blocks.codes[..., 0::2] | blocks.codes[..., 1::2] << 4
        return self.store(f"{name} codes", codes), self.widened(f"{name} scales", blocks.scales)


def _joined(parts: list[Quantized]) -> Quantized:
    if len({part.bits for part in parts}) > 1:
        raise ValueError(f"matrices of one input must have codes of as many bits; got {[part.bits for part in parts]}")
    offsets = [part.offsets for part in parts if part.offsets is not None]
    return Quantized(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate(offsets) if offsets else None,
    )
