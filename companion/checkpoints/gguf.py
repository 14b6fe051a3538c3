"""Llamas from GGUF files: the model and the tokenizer of a file that :mod:`companion.checkpoints.gguf_file` has read.

Chapter: ``book/algorithms/modern_decoder.ipynb``. Source: the conversion script of llama.cpp, whose order of the rows
of queries and keys is undone here.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn

from companion.checkpoints import CheckpointError, modern_decoder
from companion.checkpoints.gguf_file import GGUF, short
from companion.checkpoints.uninitialized import Uninitialized

PARTS = {  # of a block: theirs in Hugging Face's layout -> in GGUF
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
SIZES = {
    "context_length": "context_length",
    "n_layers": "block_count",
    "n_heads": "attention.head_count",
    "n_kv_heads": "attention.head_count_kv",
    "d_model": "embedding_length",
    "d_ff": "feed_forward_length",
}
REFUSED = ("llama.expert_count", "llama.rope.scaling.type", "llama.attention.sliding_window")
CONTROL, USER_DEFINED = 3, 4  # kinds of tokens
# as Digits(individual_digits=True), of which the tokenizer of a page knows no digits but 0 to 9
DIGITS = pre_tokenizers.Split(Regex(r"\p{N}"), "isolated")
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
PRE_TOKENIZERS = {"gpt-2": BYTES, "smollm": pre_tokenizers.Sequence([DIGITS, BYTES])}

Model = TypeVar("Model", bound=nn.Module)


def load_gguf(model_class: Callable[[Any], Model], config_class: Callable[..., Any], file: GGUF) -> Model:
    """Return a Llama with the weights of a file, in evaluation mode.

    Args:
        model_class: constructor, configuration -> model.
        config_class: constructor, fields -> configuration.
        file: what was read.

    Raises:
        companion.checkpoints.CheckpointError: when it is another family's, asks for a variant that this package does
            not have, or a tensor is missing, unexpected or of another size.
    """
    try:
        config = config_class(**_fields(file))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{file.path} does not describe a Llama: {error}") from error
    _check_shapes(file, config)  # before the model is made: a file may claim any size
    with Uninitialized():  # each tensor is in the file
        model = model_class(config)
    layout, parameters = modern_decoder.layout(config), dict(model.named_parameters())
    with torch.no_grad():
        for rule in layout.rules:
            for name, tensor in rule.split(_weight(file, config, layout.full(rule.theirs))):
                parameters[name].copy_(tensor)
    return model.eval()


def gguf_tokenizer(file: GGUF) -> Tokenizer:
    """The byte-level BPE tokenizer in a file's metadata.

    Raises:
        companion.checkpoints.CheckpointError: when the file has none, or one of a kind that is not known here.
    """
    kind, cut = file.value("tokenizer.ggml.model", str), file.value("tokenizer.ggml.pre", str)
    if kind != "gpt2" or cut not in PRE_TOKENIZERS or file.value("tokenizer.ggml.add_bos_token", bool, False):
        raise CheckpointError(
            f"{file.path}: the tokenizer must be gpt2, cut as {' or '.join(PRE_TOKENIZERS)}, and add no first token; "
            f"got {kind!r}, {cut!r}, {file.metadata.get('tokenizer.ggml.add_bos_token')}"
        )
    tokens, kinds = file.value("tokenizer.ggml.tokens", list), file.value("tokenizer.ggml.token_type", np.ndarray)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [str(merge).partition(" ") for merge in file.value("tokenizer.ggml.merges", list)]
    if not len(vocabulary) == len(tokens) == len(kinds):
        raise CheckpointError(f"{file.path}: the tokens of the tokenizer must differ, and each have a kind")
    try:
        tokenizer = Tokenizer(models.BPE(vocabulary, [(left, right) for left, _, right in merges]))
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{file.path}: the tokens and merges make no tokenizer: {error}") from error
    tokenizer.pre_tokenizer, tokenizer.decoder = PRE_TOKENIZERS[cut], decoders.ByteLevel()
    named = [(str(token), int(kind)) for token, kind in zip(tokens, kinds, strict=True)]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token, kind in named if kind == CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token, kind in named if kind == USER_DEFINED])
    return tokenizer


def _fields(file: GGUF) -> dict[str, Any]:
    """The fields of a :class:`companion.models.modern_decoder.ModernConfig`."""
    family = file.value("general.architecture", str)
    if family != "llama":
        raise CheckpointError(f"{file.path} is of the architecture {family!r}; this reader loads 'llama'")
    for key in REFUSED:
        if file.metadata.get(key) not in (None, 0, "none"):
            raise CheckpointError(f"{file.path} sets {key}, which this reader does not know")
    fields = {ours: file.value(f"llama.{theirs}", int) for ours, theirs in SIZES.items()}
    if not 1 <= fields["n_layers"] <= len(file.stored):
        raise CheckpointError(f"{file.path} has {len(file.stored)} tensors for {fields['n_layers']} blocks")
    if (embedding := file.stored.get("token_embd.weight")) is None:
        raise CheckpointError(f"{file.path} lacks the tensor 'token_embd.weight'")
    if embedding.shape[1:] != (fields["d_model"],):  # before anything is computed from a width that nobody has
        raise CheckpointError(f"{file.path}: the embedding is of shape {embedding.shape}, not of {fields['d_model']}")
    if fields["d_model"] % max(fields["n_heads"], 1):
        raise CheckpointError(f"{file.path}: {fields['n_heads']} heads do not divide a width of {fields['d_model']}")
    d_head = fields["d_model"] // max(fields["n_heads"], 1)
    for key in ("llama.rope.dimension_count", "llama.attention.key_length"):
        if file.metadata.get(key, d_head) != d_head:
            raise CheckpointError(f"{file.path}: {key} must be the width of a head, {d_head}; got {file.metadata[key]}")
    return fields | {
        "vocab_size": embedding.shape[0],
        "rope_base": file.value("llama.rope.freq_base", float, 10_000.0),
        "norm_eps": file.value("llama.attention.layer_norm_rms_epsilon", float),
        "tied": "output.weight" not in file.stored,
    }


def _check_shapes(file: GGUF, config: modern_decoder.ModernFields) -> None:
    """Compare the names and shapes of a file's tensors with those that its configuration asks for."""
    shapes = _shapes(config)
    for name, shape in shapes.items():
        if name not in file.stored:
            raise CheckpointError(f"{file.path} lacks the tensor {name!r}")
        if file.stored[name].shape != shape:
            raise CheckpointError(f"{file.path}: {name!r} is of shape {file.stored[name].shape}, not {shape}")
    if more := sorted(set(file.stored) - set(shapes)):
        raise CheckpointError(f"{file.path} has {len(more)} unexpected tensors, such as {short(more[0])}")


def _shapes(config: modern_decoder.ModernFields) -> dict[str, tuple[int, ...]]:
    """The tensors that a file of this configuration must have."""
    d, d_ff, heads = config.d_model, config.d_ff or 0, config.n_heads
    key = d // heads * config.n_kv_heads
    block = {
        **{"attn_norm": (d,), "attn_q": (d, d), "attn_k": (key, d), "attn_v": (key, d), "attn_output": (d, d)},
        **{"ffn_norm": (d,), "ffn_gate": (d_ff, d), "ffn_up": (d_ff, d), "ffn_down": (d, d_ff)},
    }
    whole = {"token_embd": (config.vocab_size, d), "output_norm": (d,)}
    if not config.tied:
        whole["output"] = (config.vocab_size, d)
    blocks = {f"blk.{i}.{name}": shape for i in range(config.n_layers) for name, shape in block.items()}
    return {f"{name}.weight": shape for name, shape in {**whole, **blocks}.items()}


def _weight(file: GGUF, config: modern_decoder.ModernFields, name: str) -> Tensor:
    """The tensor with a name of Hugging Face's layout.

    GGUF has the rows of the query and key matrices in another order, because it rotates neighbouring dimensions and
    Hugging Face those that are half a head apart.
    """
    theirs = _in_file(name)
    tensor = file.tensor(theirs)
    heads = {"attn_q": config.n_heads, "attn_k": config.n_kv_heads}.get(theirs.split(".")[-2])
    if heads is None:
        return tensor
    pairs = tensor.reshape(heads, tensor.size(0) // heads // 2, 2, tensor.size(1))
    return pairs.transpose(1, 2).reshape(tensor.shape)


def _in_file(name: str) -> str:
    """The name in GGUF of a tensor of Hugging Face's layout."""
    body = name.removesuffix(".weight")
    if body in WHOLE:
        return f"{WHOLE[body]}.weight"
    layer, _, part = body.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{PARTS[part]}.weight"
