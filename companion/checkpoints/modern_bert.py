"""Checkpoints of ModernBERT: its tensors and the fields of its ``config.json``.

Chapter: ``book/algorithms/encoders.ipynb``.
"""

from pathlib import Path
from typing import Any, Protocol

from companion.checkpoints import CheckpointError, read_config
from companion.checkpoints.field_types import (
    BELOW_ONE,
    FLAG,
    OBJECT,
    POSITIVE,
    SIZE,
    WORDS,
    check_fields,
    integer,
    kinds_of,
    or_null,
)
from companion.checkpoints.layout import Layout, Rule, SharedFields

FIELDS = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_size": "d_model",
    "intermediate_size": "d_ff",
}
PARTS = {
    "attn.Wqkv": ("attention.query", "attention.key", "attention.value"),
    "attn.Wo": ("attention.output",),
    "attn_norm": ("attention_norm",),
    "mlp.Wi": ("feed_forward.gate", "feed_forward.expand"),
    "mlp.Wo": ("feed_forward.contract",),
    "mlp_norm": ("feed_forward_norm",),
}
REFUSED = {  # field -> the one value that this package has; the published models have it, and it is the default
    **dict.fromkeys(("attention_bias", "mlp_bias", "norm_bias", "classifier_bias"), False),
    "decoder_bias": True,
    "hidden_activation": "gelu",
    "classifier_activation": "gelu",
}
KINDS = {
    **kinds_of(FIELDS),
    "local_attention": integer(2),
    "global_attn_every_n_layers": SIZE,
    "layer_types": or_null(WORDS),
    **dict.fromkeys(("global_rope_theta", "local_rope_theta"), POSITIVE),
    "rope_parameters": or_null(OBJECT),
    **dict.fromkeys(("attention_dropout", "norm_eps"), BELOW_ONE),
    "tie_word_embeddings": FLAG,
}
FULL, SLIDING = "full_attention", "sliding_attention"


class ModernBertFields(SharedFields, Protocol):
    """The fields of a :class:`companion.models.modern_bert.ModernBertConfig` that a checkpoint holds."""

    context_length: int
    reach: int
    global_every: int
    global_base: float
    local_base: float


def layout(config: ModernBertFields) -> Layout:
    """Return the tensors of a checkpoint; see :class:`companion.checkpoints.Family`."""
    rules = [
        Rule("embeddings.tok_embeddings.weight", ("encoder.token_embedding.weight",)),
        Rule("embeddings.norm.weight", ("encoder.embedding_norm.weight",)),
        Rule("final_norm.weight", ("encoder.final_norm.weight",)),
        Rule("head.dense.weight", ("transform.weight",)),
        Rule("head.norm.weight", ("transform_norm.weight",)),
        Rule("decoder.bias", ("decoder.bias",)),
    ]
    for layer in range(config.n_layers):
        for theirs, ours in PARTS.items():
            if layer or theirs != "attn_norm":
                names = tuple(f"encoder.blocks.{layer}.{name}.weight" for name in ours)
                rules.append(Rule(f"layers.{layer}.{theirs}.weight", names))
    if not config.tied:
        rules.append(Rule("decoder.weight", ("decoder.weight",)))
    ignored = r"^decoder\.weight$" if config.tied else "(?!)"
    return Layout(rules, "model.", ("head.", "decoder."), ignored)


def read_fields(folder: Path) -> dict[str, Any]:
    """Return the fields of a :class:`companion.models.modern_bert.ModernBertConfig` from a ``config.json``.

    Raises:
        CheckpointError: when a field is missing, holds what it must not, or asks for a variant that this package does
            not have.
    """
    config = read_config(folder, "modernbert")
    check_fields(config, KINDS, folder / "config.json")
    for name, ours in REFUSED.items():
        if config.get(name, ours) != ours:
            raise CheckpointError(f"{folder}/config.json: {name} must be {ours!r}; got {config[name]!r}")
    try:
        fields = {ours: config[theirs] for theirs, ours in FIELDS.items()}
    except KeyError as error:
        raise CheckpointError(f"{folder}/config.json lacks the field {error}") from error
    return fields | {
        "reach": config.get("local_attention", 128) // 2,
        "global_every": _global_every(config, folder),
        "global_base": _base(config, FULL, "global_rope_theta", 160_000.0, folder),
        "local_base": _base(config, SLIDING, "local_rope_theta", 10_000.0, folder),
        "dropout": config.get("attention_dropout", 0.0),
        "norm_eps": config.get("norm_eps", 1e-5),
        "tied": config.get("tie_word_embeddings", True),
    }


def _global_every(config: dict[str, Any], folder: Path) -> int:
    """Every how many layers one is global, from the number or, since ``transformers`` 5, from the kind of each."""
    kinds = config.get("layer_types")
    if kinds is None:
        every: int = config.get("global_attn_every_n_layers", 3)
        return every
    later = [layer for layer, kind in enumerate(kinds) if layer and kind == FULL]
    every = later[0] if later else max(len(kinds), 1)
    if kinds != [SLIDING if layer % every else FULL for layer in range(config["num_hidden_layers"])]:
        raise CheckpointError(f"{folder}/config.json: layer_types must have {FULL!r} every n layers; got {kinds}")
    return every


def _base(config: dict[str, Any], kind: str, name: str, usual: float, folder: Path) -> float:
    """Base of the rotary positions in one kind of layer."""
    given = (config.get("rope_parameters") or {}).get(kind) or {}
    check_fields({kind: given}, {kind: OBJECT}, folder / "config.json", "rope_parameters")
    check_fields(given, {"rope_theta": POSITIVE}, folder / "config.json", f"rope_parameters.{kind}")
    if given.get("rope_type", "default") != "default" or config.get("rope_scaling"):
        raise CheckpointError(f"{folder}/config.json scales the rotary positions, which this ModernBERT does not have")
    return float(given.get("rope_theta", config.get(name, usual)))


def config_json(config: ModernBertFields) -> dict[str, Any]:
    """Return the content of ``config.json`` for a configuration."""
    return {
        "model_type": "modernbert",
        "architectures": ["ModernBertForMaskedLM"],
        **{theirs: getattr(config, ours) for theirs, ours in FIELDS.items()},
        "local_attention": 2 * config.reach,
        "global_attn_every_n_layers": config.global_every,
        "global_rope_theta": config.global_base,
        "local_rope_theta": config.local_base,
        "attention_dropout": config.dropout,
        "norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")),
    }
