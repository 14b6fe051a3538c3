"""XLNet's checkpoints: the names of their tensors and the fields of their ``config.json``.

Chapter: ``book/algorithms/xlnet.ipynb``.
"""

from pathlib import Path
from typing import Any, Protocol

from companion.checkpoints import CheckpointError, read_config
from companion.checkpoints.field_types import ACTIVATION, BELOW_ONE, FLAG, SIZE, check_fields, kinds_of, or_null
from companion.checkpoints.layout import NOTHING, Layout, Rule, SharedFields

SIZES = {"vocab_size": "vocab_size", "n_layer": "n_layers", "n_head": "n_heads", "d_model": "d_model"}
KINDS = kinds_of(SIZES) | {
    **dict.fromkeys(("n_token", "d_inner"), SIZE),
    "d_head": or_null(SIZE),
    "ff_activation": ACTIVATION,
    **dict.fromkeys(("dropout", "layer_norm_eps"), BELOW_ONE),
    "tie_word_embeddings": FLAG,
}
# The variant that this model is; a configuration of another one is refused.
VARIANTS = {"attn_type": "bi", "bi_data": False, "same_length": False, "clamp_len": -1}


class XLNetFields(SharedFields, Protocol):
    """The fields of a :class:`companion.models.xlnet.XLNetConfig` that a checkpoint holds."""

    activation: str


def layout(config: XLNetFields) -> Layout:
    """Return the tensors of an XLNet checkpoint, whose projections have the heads on an axis of their own.

    The bare model's file has no output bias, which then stays zero.
    """
    heads = (config.n_heads, config.d_model // config.n_heads)
    rules = [Rule("word_embedding.weight", ("token_embedding.weight",)), Rule("mask_emb", ("mask_embedding",))]
    projections = {"q": "query", "k": "key", "v": "value", "r": "position", "o": "output"}
    biases = {"r_w_bias": "content_bias", "r_r_bias": "position_bias", "r_s_bias": "segment_bias"}
    plain = {
        "rel_attn.layer_norm": "attention_norm",
        "ff.layer_1": "feed_forward.expand",
        "ff.layer_2": "feed_forward.contract",
        "ff.layer_norm": "feed_forward_norm",
    }
    for i in range(config.n_layers):
        theirs, ours = f"layer.{i}", f"blocks.{i}"
        for short, name in projections.items():
            target = (f"{ours}.attention.{name}.weight",)
            shape = (config.d_model, *heads)
            rules.append(Rule(f"{theirs}.rel_attn.{short}", target, transposed=short != "o", shape=shape))
        for short, name in biases.items():
            rules.append(Rule(f"{theirs}.rel_attn.{short}", (f"{ours}.attention.{name}",), shape=heads))
        rules.append(Rule(f"{theirs}.rel_attn.seg_embed", (f"{ours}.attention.segment_embedding",)))
        for name, same in plain.items():
            for kind in ("weight", "bias"):
                rules.append(Rule(f"{theirs}.{name}.{kind}", (f"{ours}.{same}.{kind}",)))
    rules.append(Rule("lm_loss.bias", ("unembedding.bias",)))
    if not config.tied:
        rules.append(Rule("lm_loss.weight", ("unembedding.weight",)))
    doubled = r"^lm_loss\.weight$" if config.tied else NOTHING
    return Layout(rules, "transformer.", ("lm_loss.",), ignored=doubled, optional=r"^lm_loss\.bias$")


def read_fields(folder: Path) -> dict[str, Any]:
    """Return the fields of a :class:`companion.models.xlnet.XLNetConfig` from an XLNet ``config.json``.

    Raises:
        CheckpointError: when a field is missing, holds what it must not, or asks for a variant of XLNet that this
            package does not have.
    """
    config = read_config(folder, "xlnet")
    check_fields(config, KINDS, folder / "config.json")
    if "n_token" in config:  # the name of the first checkpoints
        config.setdefault("vocab_size", config["n_token"])
    for name, value in VARIANTS.items():
        if config.get(name, value) != value:
            raise CheckpointError(f"{folder}/config.json sets {name} to {config[name]!r}; this XLNet has {value!r}")
    try:
        fields = {ours: config[theirs] for theirs, ours in SIZES.items()}
    except KeyError as error:
        raise CheckpointError(f"{folder}/config.json lacks the field {error}") from error
    if config.get("d_head") not in (None, fields["d_model"] // fields["n_heads"]):
        raise CheckpointError(
            f"{folder}/config.json sets d_head to {config['d_head']}; this XLNet has d_model / n_head, "
            f"{fields['d_model']} / {fields['n_heads']}"
        )
    return fields | {
        "d_ff": config.get("d_inner", 4096),
        "dropout": config.get("dropout", 0.1),
        "activation": config.get("ff_activation", "gelu"),
        "norm_eps": config.get("layer_norm_eps", 1e-12),
        "tied": config.get("tie_word_embeddings", True),
    }


def config_json(config: XLNetFields) -> dict[str, Any]:
    """Return the content of XLNet's ``config.json`` for a configuration."""
    return {
        "model_type": "xlnet",
        "architectures": ["XLNetLMHeadModel"],
        **{theirs: getattr(config, ours) for theirs, ours in SIZES.items()},
        "d_head": config.d_model // config.n_heads,
        "d_inner": config.d_ff or 4 * config.d_model,
        "ff_activation": config.activation,
        "layer_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
        "dropout": config.dropout,
        **VARIANTS,
        "mem_len": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
