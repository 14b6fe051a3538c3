"""Small GGUF files: honest ones, by llama.cpp's own writer, and others, byte by byte."""

import struct

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

from companion.checkpoints import modern_decoder
from companion.checkpoints.gguf import PARTS, WHOLE

TOKENS = ["<|endoftext|>", "<tool>", *map(chr, range(33, 127)), "Ġ", "Ġt", "he", "Ġthe"]
MERGES = ["Ġ t", "h e", "Ġt he"]
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"


def permuted(matrix, heads):
    """The rows of queries or keys in llama.cpp's order."""
    halves = matrix.reshape(heads, 2, len(matrix) // heads // 2, matrix.shape[1])
    return halves.swapaxes(1, 2).reshape(matrix.shape)


def tensors_of(model):
    """The parameters of a decoder under the names and in the order of a GGUF file."""
    config, parameters = model.config, {name: p.detach() for name, p in model.named_parameters()}
    layout = modern_decoder.layout(config)
    blocks = {
        f"model.layers.{i}.{theirs}": f"blk.{i}.{name}"
        for i in range(config.n_layers)
        for theirs, name in PARTS.items()
    }
    names = {**WHOLE, **blocks}
    found = {}
    for rule in layout.rules:
        name = names[layout.full(rule.theirs).removesuffix(".weight")]
        values = rule.join(parameters).numpy()
        heads = {"attn_q": config.n_heads, "attn_k": config.n_kv_heads}.get(name.rpartition(".")[2])
        found[f"{name}.weight"] = values if heads is None else permuted(values, heads)
    return found


def write_gguf(path, model, kinds=None, leave_out=(), **changes):
    """Write a decoder as llama.cpp does; ``kinds``: tensor -> how it is stored, ``changes``: other metadata."""
    config = model.config
    told = {
        "general.architecture": "llama",
        "llama.block_count": config.n_layers,
        "llama.context_length": config.context_length,
        "llama.embedding_length": config.d_model,
        "llama.feed_forward_length": config.d_ff,
        "llama.attention.head_count": config.n_heads,
        "llama.attention.head_count_kv": config.n_kv_heads,
        "llama.attention.layer_norm_rms_epsilon": config.norm_eps,
        "llama.rope.freq_base": config.rope_base,
        "llama.vocab_size": config.vocab_size,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3, 4, *[1] * (len(TOKENS) - 2)],
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.chat_template": TEMPLATE,
    }
    told |= {key.replace("__", "."): value for key, value in changes.items()}
    writer = gguf.GGUFWriter(path, told.pop("general.architecture"))
    for key, value in told.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        if value is not None:
            add.get(type(value), writer.add_array)(key, value)
    for name, values in tensors_of(model).items():
        kind = (kinds or {}).get(name, Kind.F32)
        if name not in leave_out:
            writer.add_tensor(name, gguf.quantize(values.astype(np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# Byte by byte


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key, kind, content):
    return text(key) + struct.pack("<I", kind) + content


def told(name="a", shape=(32,), kind=0, offset=0):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def crafted(entries=(), tensors=(), data=b"\0" * 256, magic=b"GGUF", version=3, counts=None):
    n_tensors, n_entries = counts or (len(tensors), len(entries))
    header = magic + struct.pack("<IQQ", version, n_tensors, n_entries) + b"".join([*entries, *tensors])
    return header + b"\0" * (-len(header) % 32) + data
