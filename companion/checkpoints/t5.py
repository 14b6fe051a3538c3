"""T5's checkpoints, T5 1.1's among them: the names of their tensors and the fields of their ``config.json``.

Chapter: ``book/algorithms/t5.ipynb``.
"""

from pathlib import Path
from typing import Any, Protocol

import torch

from companion.checkpoints import CheckpointError, read_config
from companion.checkpoints.field_types import BELOW_ONE, COUNT, FLAG, SIZE, check_fields, kinds_of, one_of, or_null
from companion.checkpoints.layout import Layout, Rule, SharedFields
from companion.checkpoints.weight_files import read_header, read_tensors

SIZES = {
    "vocab_size": "vocab_size",
    "num_layers": "n_layers",
    "num_heads": "n_heads",
    "d_model": "d_model",
    "d_kv": "d_head",
    "d_ff": "d_ff",
}
FEED_FORWARD = {"relu": False, "gated-gelu": True}  # name -> gated
KINDS = kinds_of(SIZES) | {
    "num_decoder_layers": or_null(SIZE),
    **dict.fromkeys(("relative_attention_num_buckets", "relative_attention_max_distance", "n_positions"), SIZE),
    "feed_forward_proj": one_of(FEED_FORWARD),
    **dict.fromkeys(("scale_decoder_outputs", "tie_word_embeddings"), FLAG),
    **dict.fromkeys(("dropout_rate", "layer_norm_epsilon"), BELOW_ONE),
    "decoder_start_token_id": COUNT,
}
EMBEDDING, OUTPUT = "shared.weight", "lm_head.weight"
ATTENTION = {"q": "query", "k": "key", "v": "value", "o": "output"}


class T5Fields(SharedFields, Protocol):
    """The fields of a :class:`companion.models.t5.T5Config` that a checkpoint holds."""

    n_decoder_layers: int | None
    d_head: int | None
    n_buckets: int
    max_distance: int
    gated: bool
    scaled: bool | None
    start_id: int
    context_length: int


def layout(config: T5Fields) -> Layout:
    """Return the tensors of a T5 checkpoint.

    Published files hold copies of the embedding, and one of them a relative bias of cross-attention; all are ignored.
    """
    rules = [Rule(EMBEDDING, ("token_embedding.weight",))]
    for side, depth in (("encoder", config.n_layers), ("decoder", config.n_decoder_layers or config.n_layers)):
        first = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"  # all layers share it
        rules.append(Rule(first, (f"{side}.relative_bias.table.weight",)))
        for i in range(depth):
            rules += _block(f"{side}.block.{i}.layer", f"{side}.blocks.{i}", config, crossed=side == "decoder")
        rules.append(Rule(f"{side}.final_layer_norm.weight", (f"{side}.final_norm.weight",)))
    ignored = r"^(en|de)coder\.embed_tokens\.weight$|\.EncDecAttention\.relative_attention_bias\.weight$"
    if config.tied:
        ignored += r"|^lm_head\.weight$"
    else:
        rules.append(Rule(OUTPUT, ("unembedding.weight",)))
    return Layout(rules, ignored=ignored)


def read_fields(folder: Path) -> dict[str, Any]:
    """Return the fields of a :class:`companion.models.t5.T5Config` from a T5 ``config.json``.

    Recent files call all models tied. As in ``transformers`` 5, the output matrix is the embedding unless the weights
    hold another one, and the configuration only says whether the decoder's output is scaled.

    Raises:
        CheckpointError: when a field is missing, holds what it must not, or asks for a variant of T5 that this package
            does not have, or there are no weights.
    """
    config = read_config(folder, "t5")
    check_fields(config, KINDS, folder / "config.json")
    try:
        fields = {ours: config[theirs] for theirs, ours in SIZES.items()}
    except KeyError as error:
        raise CheckpointError(f"{folder}/config.json lacks the field {error}") from error
    scaled = config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True))
    tied = _tied(folder)
    return fields | {
        "n_decoder_layers": config.get("num_decoder_layers"),
        "n_buckets": config.get("relative_attention_num_buckets", 32),
        "max_distance": config.get("relative_attention_max_distance", 128),
        "gated": FEED_FORWARD[config.get("feed_forward_proj", "relu")],
        "tied": tied,
        "scaled": None if scaled == tied else scaled,
        "dropout": config.get("dropout_rate", 0.1),
        "norm_eps": config.get("layer_norm_epsilon", 1e-6),
        "start_id": config.get("decoder_start_token_id", 0),
        "context_length": config.get("n_positions", 512),
    }


def _tied(folder: Path) -> bool:
    """Whether the weights hold no output matrix but the embedding."""
    entries = read_header(folder)
    matrices = dict(read_tensors({name: entries[name] for name in (EMBEDDING, OUTPUT) if name in entries}))
    return OUTPUT not in matrices or (EMBEDDING in matrices and torch.equal(matrices[EMBEDDING], matrices[OUTPUT]))


def config_json(config: T5Fields) -> dict[str, Any]:
    """Return the content of T5's ``config.json`` for a configuration."""
    sizes = {theirs: getattr(config, ours) for theirs, ours in SIZES.items()}
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        **sizes,
        "d_kv": config.d_head or config.d_model // config.n_heads,
        "d_ff": config.d_ff or 4 * config.d_model,
        "num_decoder_layers": config.n_decoder_layers or config.n_layers,
        "relative_attention_num_buckets": config.n_buckets,
        "relative_attention_max_distance": config.max_distance,
        "feed_forward_proj": "gated-gelu" if config.gated else "relu",
        "tie_word_embeddings": config.tied,
        "scale_decoder_outputs": config.tied if config.scaled is None else config.scaled,
        "dropout_rate": config.dropout,
        "layer_norm_epsilon": config.norm_eps,
        "is_encoder_decoder": True,
        "decoder_start_token_id": config.start_id,
        "pad_token_id": config.start_id,
        "eos_token_id": None,
        "n_positions": config.context_length,
    }


def _block(theirs: str, ours: str, config: T5Fields, *, crossed: bool) -> list[Rule]:
    """The rules of one block, a norm and its matrices for each sublayer."""
    wide = {"wi_0": "expand", "wi_1": "gate"} if config.gated else {"wi": "expand"}
    sublayers = [("SelfAttention", "attention", ATTENTION)]
    if crossed:
        sublayers.append(("EncDecAttention", "cross_attention", ATTENTION))
    sublayers.append(("DenseReluDense", "feed_forward", wide | {"wo": "contract"}))
    rules = []
    for number, (their_name, our_name, matrices) in enumerate(sublayers):
        rules.append(Rule(f"{theirs}.{number}.layer_norm.weight", (f"{ours}.{our_name}_norm.weight",)))
        for theirs_, ours_ in matrices.items():
            rules.append(
                Rule(f"{theirs}.{number}.{their_name}.{theirs_}.weight", (f"{ours}.{our_name}.{ours_}.weight",))
            )
    return rules
