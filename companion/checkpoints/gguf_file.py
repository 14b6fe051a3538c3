"""GGUF, the file format of llama.cpp: one file with weights in few bits, the tokenizer and the chat template.

The header is checked against the file's length before anything is made from it; the numbers in blocks are widened by
the ``gguf`` package. :mod:`companion.checkpoints.gguf` makes a model and a tokenizer of it.
Chapter: ``book/algorithms/modern_decoder.ipynb``. Source: the ggml project, "GGUF", version 3.
"""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.checkpoints import CheckpointError

VERSIONS = (2, 3)
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
MOST_ITEMS = 2**21  # of a list of texts: no vocabulary is as large
MOST_AXES = 4
READABLE = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")


@dataclass(frozen=True)
class Stored:
    """A tensor as it lies in the file.

    Attributes:
        shape: as PyTorch counts, rows first; the file counts the other way round.
        kind: how its numbers are stored, such as "Q4_1".
        start: position of its first byte in the file.
        length: number of its bytes.
    """

    shape: tuple[int, ...]
    kind: str
    start: int
    length: int


@dataclass(frozen=True)
class Quantized:
    """A matrix in blocks of 32 codes: ``weight = scale code + offset`` in 4 bits, ``scale (code - 128)`` in 8 bits.

    Attributes:
        codes: uint8 (rows, blocks, 32).
        scales: float16 (rows, blocks).
        offsets: float16 (rows, blocks) of 4-bit codes; 8-bit codes have none.
    """

    codes: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray | None

    @property
    def bits(self) -> int:
        """The number of bits of a code."""
        return 8 if self.offsets is None else 4


class GGUF:
    """A GGUF file whose header was read and checked.

    Attributes:
        path: of the file.
        metadata: key -> number, text, or list of one of these.
        stored: name of each tensor -> where and how it lies in the file.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the header; weights stay in the file until they are asked for.

        Raises:
            companion.checkpoints.CheckpointError: when the file is missing, truncated, or contradicts itself.
        """
        self.path = Path(path)
        if not self.path.is_file() or not self.path.stat().st_size:
            raise CheckpointError(f"{path} is no file, or empty")
        self._bytes = np.memmap(self.path, mode="r")
        header = _Header(self._bytes.data, self.path)
        tensors, entries = header.begin()
        self.metadata = header.entries(entries)
        self.stored = header.tensors(tensors, self.metadata.get("general.alignment", 32))

    def tensor(self, name: str) -> Tensor:
        """A tensor, widened to 32-bit numbers."""
        from gguf import GGMLQuantizationType, dequantize

        values = dequantize(self._rows(name), GGMLQuantizationType[self.stored[name].kind])
        return torch.from_numpy(values.reshape(self.stored[name].shape))

    def quantized(self, name: str) -> Quantized:
        """A matrix as it lies in the file: its codes, and the numbers of each block.

        Raises:
            companion.checkpoints.CheckpointError: when it is not stored as "Q4_1" or "Q8_0".
        """
        kind, rows = self.stored[name].kind, self._rows(name)
        if kind not in ("Q4_1", "Q8_0"):
            raise CheckpointError(f"{self.path}: {name!r} is stored as {kind}; allowed here are Q4_1 and Q8_0")
        blocks = rows.reshape(len(rows), -1, _block(kind)[1])
        if kind == "Q8_0":
            return Quantized(blocks[..., 2:] ^ 128, _halves(blocks[..., :2])[..., 0], None)  # signed -> from 128
        numbers, pairs = _halves(blocks[..., :4]), blocks[..., 4:]
        codes = np.concatenate([pairs & 15, pairs >> 4], axis=-1)  # a byte holds codes that are 16 apart
        return Quantized(codes, numbers[..., 0], numbers[..., 1])

    def _rows(self, name: str) -> np.ndarray:
        stored = self.stored[name]
        raw = self._bytes[stored.start : stored.start + stored.length]
        return np.array(raw.reshape(prod(stored.shape[:-1]), -1))

    @property
    def chat_template(self) -> str:
        """The Jinja template by which messages become one text.

        Raises:
            companion.checkpoints.CheckpointError: when the file has none.
        """
        return str(self.value("tokenizer.chat_template", str))

    def value(self, key: str, kind: type, default: Any = None) -> Any:
        """An entry of the metadata.

        Args:
            key: its name.
            kind: what it must be; bool is no int here.
            default: what a missing one is; without it, it must be there.

        Raises:
            companion.checkpoints.CheckpointError: when it is missing, or of another kind.
        """
        found = self.metadata.get(key, default)
        if type(found) is not kind:
            raise CheckpointError(f"{self.path}: {key} must be of the kind {kind.__name__}; got {short(found)}")
        return found


class _Header:
    """The reader of a header: no length is believed that the file has no bytes for."""

    def __init__(self, content: memoryview, path: Path) -> None:
        self.content, self.path, self.place = content, path, 0

    def begin(self) -> tuple[int, int]:
        """The numbers of tensors and of metadata entries."""
        if self._take(4) != b"GGUF":
            raise CheckpointError(f"{self.path} is no GGUF file: it begins with {bytes(self.content[:4])!r}")
        version, tensors, entries = self._unpack("IQQ")
        if version not in VERSIONS:
            raise CheckpointError(f"{self.path} is of version {version}; allowed are {VERSIONS}, little-endian")
        return tensors, entries

    def entries(self, count: int) -> dict[str, Any]:
        """The metadata."""
        self._check_room(count, 8 + 4 + 1, "metadata entries")
        found: dict[str, Any] = {}
        for _ in range(count):
            key, (kind,) = self._string(), self._unpack("I")
            if key in found:
                raise CheckpointError(f"{self.path} has the metadata entry {short(key)} twice")
            found[key] = self._array() if kind == ARRAY else self._value(kind)
        return found

    def tensors(self, count: int, alignment: Any) -> dict[str, Stored]:
        """What is told of each tensor, checked: each has its own bytes, and the file has them all."""
        self._check_room(count, 8 + 4 + 8 + 4 + 8, "tensors")
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise CheckpointError(f"{self.path}: general.alignment must be a power of two; got {short(alignment)}")
        told = [self._tensor() for _ in range(count)]
        start = -(-self.place // alignment) * alignment
        found: dict[str, Stored] = {}
        end = 0
        for name, shape, kind, offset in sorted(told, key=lambda one: one[3]):
            length = self._bytes_of(name, shape, kind)
            if name in found or offset % alignment or offset < end:
                raise CheckpointError(f"{self.path}: tensor {short(name)} is there twice, or overlaps another")
            end = offset + length
            if start + end > len(self.content):
                raise CheckpointError(f"{self.path} is truncated: tensor {short(name)} ends at byte {start + end}")
            found[name] = Stored(shape, kind, start + offset, length)
        return found

    def _tensor(self) -> tuple[str, tuple[int, ...], str, int]:
        name, (axes,) = self._string(), self._unpack("I")
        if not 1 <= axes <= MOST_AXES:
            raise CheckpointError(f"{self.path}: tensor {short(name)} must have 1 to {MOST_AXES} axes; got {axes}")
        shape = tuple(reversed(self._unpack("Q" * axes)))
        number, offset = self._unpack("IQ")
        kind = _kinds().get(number, str(number))
        if kind not in READABLE:
            raise CheckpointError(
                f"{self.path}: tensor {short(name)} is stored as {kind}; allowed are {', '.join(READABLE)}"
            )
        return name, shape, kind, offset

    def _bytes_of(self, name: str, shape: tuple[int, ...], kind: str) -> int:
        numbers, size = _block(kind)
        if min(shape) < 1 or shape[-1] % numbers:
            raise CheckpointError(
                f"{self.path}: tensor {short(name)} is of shape {shape}; {kind} needs rows of a multiple of {numbers}"
            )
        return prod(shape) // numbers * size

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind not in SCALARS:
            raise CheckpointError(f"{self.path} has metadata of the unknown kind {kind}")
        return self._unpack(SCALARS[kind])[0]

    def _array(self) -> list[str] | np.ndarray:
        kind, count = self._unpack("IQ")
        if kind == STRING:
            self._check_room(count, 8, "texts in a list")
            if count > MOST_ITEMS:
                raise CheckpointError(f"{self.path} has a list of {count} texts; at most {MOST_ITEMS} are read")
            return [self._string() for _ in range(count)]
        if kind not in SCALARS:
            raise CheckpointError(f"{self.path} has a list of the unknown kind {kind}")
        item = np.dtype(SCALARS[kind]).newbyteorder("<")
        self._check_room(count, item.itemsize, "numbers in a list")
        return np.frombuffer(self._take(count * item.itemsize), item)

    def _string(self) -> str:
        (length,) = self._unpack("Q")
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.path}: a text in the header is not UTF-8: {error}") from error

    def _unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))

    def _take(self, count: int) -> bytes:
        self._check_room(count, 1, "bytes")
        self.place += count
        return bytes(self.content[self.place - count : self.place])

    def _check_room(self, count: int, size: int, what: str) -> None:
        left = len(self.content) - self.place
        if count * size > left:
            raise CheckpointError(f"{self.path} claims {count} {what} at byte {self.place}, and has {left} bytes left")


def _kinds() -> dict[int, str]:
    """The ways to store a tensor: number in the file -> name."""
    from gguf import GGMLQuantizationType  # takes a third of a second, and most readers have no such file

    return {one.value: one.name for one in GGMLQuantizationType}


def _halves(raw: np.ndarray) -> np.ndarray:
    """16-bit floats of the last axis' bytes."""
    return np.ascontiguousarray(raw).view("<f2")


def _block(kind: str) -> tuple[int, int]:
    """The size of a block: in numbers, and in bytes."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    return GGML_QUANT_SIZES[GGMLQuantizationType[kind]]


def short(value: object) -> str:
    """A value from a file nobody vouches for, in at most some words of a message."""
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}…"
