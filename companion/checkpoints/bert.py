"""Checkpoints of BERT, RoBERTa, ALBERT, DistilBERT and ELECTRA: their tensors and the fields of their ``config.json``.

The names of each family are in :mod:`companion.checkpoints.bert_names`. Chapters:
``book/algorithms/bert_family.ipynb``, ``book/algorithms/encoders.ipynb``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from companion.checkpoints import CheckpointError, read_config
from companion.checkpoints.bert_names import BLOCK, DEFAULTS, EMBEDDINGS, FIELDS, NAMES
from companion.checkpoints.field_types import COUNT, FLAG, WORD, check_fields, kinds_of, or_null
from companion.checkpoints.layout import NOTHING, Layout, Rule, SharedFields

HEADS = (
    r"^(cls|lm_head|predictions|sop_classifier|vocab_\w+|pre_classifier|classifier|qa_outputs|"
    r"generator_\w+|discriminator_predictions)\."
)
DISCRIMINATOR = {"dense": "transform", "dense_prediction": "replaced"}
BUFFERS = r"^(\w+\.)?embeddings\.position_ids$"  # 0, 1, 2 …, in files of earlier versions
LEGACY = {r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias"}
KINDS = {
    "pad_token_id": or_null(COUNT),
    "tie_word_embeddings": FLAG,
    "position_embedding_type": WORD,
    **dict.fromkeys(("is_decoder", "add_cross_attention"), or_null(FLAG)),
}
DISTILBERT_EPS = 1e-12  # not a field of config.json, but a constant of the class in transformers


class BertFields(SharedFields, Protocol):
    """The fields of a :class:`companion.models.bert.BertConfig` that a checkpoint holds."""

    context_length: int
    d_embedding: int | None
    family: str
    n_segments: int
    pad_id: int
    widens: bool
    sentence_head: bool
    first_position: int
    n_groups: int
    blocks_per_group: int
    layer_groups: tuple[int, ...]


@dataclass(frozen=True)
class BertFamily:
    """The checkpoint format of four families, with or without the pretraining heads.

    Attributes:
        heads: whether the model has the heads; otherwise those in a file are ignored.
    """

    heads: bool

    def layout(self, config: BertFields) -> Layout:
        """Return the tensors of a checkpoint; see :class:`companion.checkpoints.Family`."""
        names = NAMES[config.family]
        rules = _body(config, "bert." if self.heads else "")
        ignored, optional = BUFFERS, NOTHING
        if config.sentence_head:
            optional += rf"|^pooler\.|^{names.sentence}\."
        else:
            ignored += r"|^(\w+\.)?pooler\."
        if not self.heads:
            bare = LEGACY | {rf"^{config.family}\.": ""}
            return Layout(rules, ignored=f"{ignored}|{HEADS}", optional=optional, renamed=bare)
        rules += _linear(names.transform, "transform") + _linear(names.transform_norm, "transform_norm")
        rules.append(Rule(names.bias, ("decoder.bias",)))
        twice = names.bias != f"{names.decoder}.bias"  # whether a file may hold the bias under a second name too
        if config.tied:
            ignored += rf"|^{names.decoder}\.{'' if twice else 'weight$'}"
        else:
            rules.append(Rule(f"{names.decoder}.weight", ("decoder.weight",)))
        if twice and not config.tied:
            rules.append(Rule(f"{names.decoder}.bias", ("decoder.bias",)))  # read last, so that this one is used
            optional += rf"|^{names.decoder}\.bias$"
        if names.sentence:
            rules += _linear(names.sentence, "sentence_head")
        return Layout(rules, f"{config.family}.", names.heads, ignored, optional, LEGACY)

    def read_fields(self, folder: Path) -> dict[str, Any]:
        """Return the fields of a :class:`companion.models.bert.BertConfig` from a ``config.json``.

        Raises:
            CheckpointError: when a field is missing, holds what it must not, or asks for a variant that this package
                does not have.
        """
        config = read_config(folder, *NAMES)
        family = config["model_type"]
        check_fields(config, kinds_of(FIELDS[family]) | KINDS, folder / "config.json")
        _refuse_variants(config, folder)
        config = DEFAULTS[family] | config
        try:
            fields = {ours: config[theirs] for theirs, ours in FIELDS[family].items()}
        except KeyError as error:
            raise CheckpointError(f"{folder}/config.json lacks the field {error}") from error
        if family == "distilbert":
            fields |= {"n_segments": 0, "norm_eps": DISTILBERT_EPS}
        pad_id = config.get("pad_token_id")
        fields["pad_id"] = (1 if family == "roberta" else 0) if pad_id is None else pad_id
        if family == "roberta":
            fields["context_length"] -= fields["pad_id"] + 1  # the first ones are never used
        d_model = fields["d_model"]
        for name, usual in (("d_ff", 4 * d_model), ("d_embedding", d_model)):
            fields[name] = None if fields.get(name) == usual else fields.get(name)
        return fields | {"family": family, "tied": config.get("tie_word_embeddings", True)}

    def config_json(self, config: BertFields) -> dict[str, Any]:
        """Return the content of ``config.json`` for a configuration.

        Raises:
            CheckpointError: when ``config.json`` has no field for one of its values.
        """
        names = NAMES[config.family]
        if config.family == "distilbert" and config.norm_eps != DISTILBERT_EPS:
            raise CheckpointError(f"a DistilBERT of transformers has norm_eps {DISTILBERT_EPS}; got {config.norm_eps}")
        ours = {
            **{name: getattr(config, name) for name in FIELDS[config.family].values()},
            "context_length": config.first_position + config.context_length,
            "d_ff": config.d_ff or 4 * config.d_model,
            "d_embedding": config.d_embedding or config.d_model,
        }
        return {
            "model_type": config.family,
            "architectures": [names.architecture if self.heads else names.bare],
            **{theirs: ours[name] for theirs, name in FIELDS[config.family].items()},
            ("attention_dropout" if config.family == "distilbert" else "attention_probs_dropout_prob"): config.dropout,
            "tie_word_embeddings": config.tied,
            "pad_token_id": config.pad_id,
            "bos_token_id": None,
            "eos_token_id": None,
        }


class DiscriminatorFamily(BertFamily):
    """The checkpoint format of ELECTRA's discriminator: the body, and the head for replaced tokens."""

    def layout(self, config: BertFields) -> Layout:
        """Return the tensors of a checkpoint; see :class:`companion.checkpoints.Family`."""
        rules, head = _body(config, "bert."), "discriminator_predictions"
        for theirs, ours in DISCRIMINATOR.items():
            rules += _linear(f"{head}.{theirs}", ours)
        return Layout(rules, "electra.", (f"{head}.",), BUFFERS, renamed=LEGACY)

    def config_json(self, config: BertFields) -> dict[str, Any]:
        """Return the content of ``config.json`` for a configuration."""
        return super().config_json(config) | {"architectures": ["ElectraForPreTraining"]}


BODY = BertFamily(heads=False)
FULL = BertFamily(heads=True)
REPLACED = DiscriminatorFamily(heads=True)


def _body(config: BertFields, prefix: str) -> list[Rule]:
    """Rules for embeddings, blocks and pooler, whose names in our model begin with ``prefix``."""
    names = NAMES[config.family]
    rules = []
    for theirs, ours in EMBEDDINGS.items():
        if ours != "segment_embedding" or config.n_segments:
            rules.append(Rule(f"embeddings.{theirs}.weight", (f"{prefix}{ours}.weight",)))
    rules.append(Rule("embeddings.LayerNorm.bias", (f"{prefix}embedding_norm.bias",)))
    if names.widen and config.widens:
        rules += _linear(names.widen, f"{prefix}widen")
    for numbers, place in _blocks(config):
        for theirs, ours in zip(names.block_parts, BLOCK, strict=True):
            rules += _linear(f"{names.block.format(*numbers)}.{theirs}", f"{prefix}encoder.blocks.{place}.{ours}")
    return rules + (_linear(names.pooler, f"{prefix}pooler") if names.pooler else [])


def _blocks(config: BertFields) -> list[tuple[tuple[int, ...], int]]:
    """Each block once: the numbers in its name in the file, and its first place in our stack."""
    if config.family != "albert":
        return [((layer,), layer) for layer in range(config.n_layers)]
    inner = range(config.blocks_per_group)
    return [
        ((group, number), config.layer_groups.index(group) * config.blocks_per_group + number)
        for group in range(config.n_groups)
        for number in inner
    ]


def _linear(theirs: str, ours: str) -> list[Rule]:
    return [Rule(f"{theirs}.{kind}", (f"{ours}.{kind}",)) for kind in ("weight", "bias")]


def _refuse_variants(config: dict[str, Any], folder: Path) -> None:
    for name in ("is_decoder", "add_cross_attention"):
        if config.get(name):
            raise CheckpointError(f"{folder}/config.json sets {name}, which this Bert, an encoder, does not have")
    kind = config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise CheckpointError(f"{folder}/config.json asks for positions of the type {kind!r}; this Bert has 'absolute'")
