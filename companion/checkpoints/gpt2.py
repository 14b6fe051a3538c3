"""GPT-2's checkpoints: the names of their tensors and the fields of their ``config.json``.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

from pathlib import Path
from typing import Any, Protocol

from companion.checkpoints import CheckpointError, read_config
from companion.checkpoints.field_types import ACTIVATION, BELOW_ONE, FLAG, SIZE, check_fields, kinds_of, or_null
from companion.checkpoints.layout import Layout, Rule, SharedFields

SIZES = {
    "vocab_size": "vocab_size",
    "n_positions": "context_length",
    "n_layer": "n_layers",
    "n_head": "n_heads",
    "n_embd": "d_model",
}
REFUSED = ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention")
KINDS = kinds_of(SIZES) | {
    "n_inner": or_null(SIZE),
    "resid_pdrop": BELOW_ONE,
    "activation_function": ACTIVATION,
    "layer_norm_epsilon": BELOW_ONE,
    **dict.fromkeys(("tie_word_embeddings", "scale_attn_weights"), FLAG),
    **dict.fromkeys(REFUSED, or_null(FLAG)),
}
PREFIX = "transformer."
CAUSAL_MASKS = r"\.attn\.(masked_)?bias$"
OUTPUT_MATRIX = r"^lm_head\.weight$"


class GPTFields(SharedFields, Protocol):
    """The fields of a :class:`companion.models.gpt.GPTConfig` that a checkpoint holds."""

    activation: str


def body_rules(n_layers: int) -> list[Rule]:
    """Return the rules of all tensors but the output matrix."""
    rules = [
        Rule("wte.weight", ("token_embedding.weight",)),
        Rule("wpe.weight", ("position_embedding.weight",)),
        Rule("ln_f.weight", ("final_norm.weight",)),
        Rule("ln_f.bias", ("final_norm.bias",)),
    ]
    sublayers = {
        "ln_1": ("attention_norm",),
        "attn.c_attn": ("attention.query", "attention.key", "attention.value"),
        "attn.c_proj": ("attention.output",),
        "ln_2": ("feed_forward_norm",),
        "mlp.c_fc": ("feed_forward.expand",),
        "mlp.c_proj": ("feed_forward.contract",),
    }
    for i in range(n_layers):
        for theirs, ours in sublayers.items():
            for kind in ("weight", "bias"):
                names = tuple(f"blocks.{i}.{name}.{kind}" for name in ours)
                rules.append(Rule(f"h.{i}.{theirs}.{kind}", names, transposed=kind == "weight" and ".c_" in theirs))
    return rules


def layout(config: GPTFields) -> Layout:
    """Return the tensors of a GPT-2 checkpoint; the causal masks in published ones are ignored."""
    rules = body_rules(config.n_layers)
    if config.tied:
        return Layout(rules, PREFIX, ("lm_head.",), rf"{CAUSAL_MASKS}|{OUTPUT_MATRIX}")
    output = Rule("lm_head.weight", ("unembedding.weight",))
    return Layout([*rules, output], PREFIX, ("lm_head.",), CAUSAL_MASKS)


def read_fields(folder: Path) -> dict[str, Any]:
    """Return the fields of a :class:`companion.models.gpt.GPTConfig` from a GPT-2 ``config.json``.

    Raises:
        CheckpointError: when a field is missing, holds what it must not, or asks for a variant of GPT-2 that this
            package does not have.
    """
    config = read_config(folder, "gpt2")
    check_fields(config, KINDS, folder / "config.json")
    for name in REFUSED:
        if config.get(name):
            raise CheckpointError(f"{folder}/config.json sets {name}, which this GPT does not have")
    if not config.get("scale_attn_weights", True):
        raise CheckpointError(f"{folder}/config.json turns scale_attn_weights off, which this GPT does not allow")
    try:
        fields = {ours: config[theirs] for theirs, ours in SIZES.items()}
    except KeyError as error:
        raise CheckpointError(f"{folder}/config.json lacks the field {error}") from error
    return fields | {
        "d_ff": config.get("n_inner"),
        "dropout": config.get("resid_pdrop", 0.1),
        "activation": config.get("activation_function", "gelu_new"),
        "norm_eps": config.get("layer_norm_epsilon", 1e-5),
        "tied": config.get("tie_word_embeddings", True),
    }


def config_json(config: GPTFields) -> dict[str, Any]:
    """Return the content of GPT-2's ``config.json`` for a configuration."""
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        **{theirs: getattr(config, ours) for theirs, ours in SIZES.items()},
        "n_inner": config.d_ff,
        "activation_function": config.activation,
        "layer_norm_epsilon": config.norm_eps,
        "tie_word_embeddings": config.tied,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "bos_token_id": None,
        "eos_token_id": None,
    }
