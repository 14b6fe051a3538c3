"""The names of the same parts in checkpoints of BERT and its four variants, and in their ``config.json``.

Chapters: ``book/algorithms/bert_family.ipynb``, ``book/algorithms/encoders.ipynb``.
"""

from dataclasses import dataclass
from typing import Any

EMBEDDINGS = {
    "word_embeddings": "token_embedding",
    "position_embeddings": "position_embedding",
    "token_type_embeddings": "segment_embedding",
    "LayerNorm": "embedding_norm",
}
BLOCK = (
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.output",
    "attention_norm",
    "feed_forward.expand",
    "feed_forward.contract",
    "feed_forward_norm",
)


@dataclass(frozen=True)
class Names:
    """The names of the parts of one family.

    Attributes:
        architecture: class of ``transformers`` with the pretraining heads.
        bare: class of ``transformers`` without heads.
        block: a block, its number in place of the braces; ALBERT's have two, of the group and in it.
        block_parts: parts of a block, in the order of ``BLOCK``.
        heads: prefixes of the names of all heads.
        transform: projection of the masked-language-model head.
        transform_norm: norm of that head.
        decoder: output matrix of that head.
        bias: output bias of that head.
        sentence: head for pairs of sentences.
        pooler: pooler before that head.
        widen: projection from the embeddings' width to the blocks'.
    """

    architecture: str
    bare: str
    block: str
    block_parts: tuple[str, ...]
    heads: tuple[str, ...]
    transform: str
    transform_norm: str
    decoder: str
    bias: str
    sentence: str | None = None
    pooler: str | None = None
    widen: str | None = None


_BERT_BLOCK = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
NAMES = {
    "bert": Names(
        architecture="BertForPreTraining",
        bare="BertModel",
        block="encoder.layer.{}",
        block_parts=_BERT_BLOCK,
        heads=("cls.",),
        transform="cls.predictions.transform.dense",
        transform_norm="cls.predictions.transform.LayerNorm",
        decoder="cls.predictions.decoder",
        bias="cls.predictions.bias",
        sentence="cls.seq_relationship",
        pooler="pooler.dense",
    ),
    "roberta": Names(
        architecture="RobertaForMaskedLM",
        bare="RobertaModel",
        block="encoder.layer.{}",
        block_parts=_BERT_BLOCK,
        heads=("lm_head.",),
        transform="lm_head.dense",
        transform_norm="lm_head.layer_norm",
        decoder="lm_head.decoder",
        bias="lm_head.bias",
    ),
    "albert": Names(
        architecture="AlbertForPreTraining",
        bare="AlbertModel",
        block="encoder.albert_layer_groups.{}.albert_layers.{}",
        block_parts=(
            "attention.query",
            "attention.key",
            "attention.value",
            "attention.dense",
            "attention.LayerNorm",
            "ffn",
            "ffn_output",
            "full_layer_layer_norm",
        ),
        heads=("predictions.", "sop_classifier."),
        transform="predictions.dense",
        transform_norm="predictions.LayerNorm",
        decoder="predictions.decoder",
        bias="predictions.bias",
        sentence="sop_classifier.classifier",
        pooler="pooler",
        widen="encoder.embedding_hidden_mapping_in",
    ),
    "distilbert": Names(
        architecture="DistilBertForMaskedLM",
        bare="DistilBertModel",
        block="transformer.layer.{}",
        block_parts=(
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
            "sa_layer_norm",
            "ffn.lin1",
            "ffn.lin2",
            "output_layer_norm",
        ),
        heads=("vocab_",),
        transform="vocab_transform",
        transform_norm="vocab_layer_norm",
        decoder="vocab_projector",
        bias="vocab_projector.bias",
    ),
    "electra": Names(
        architecture="ElectraForMaskedLM",
        bare="ElectraModel",
        block="encoder.layer.{}",
        block_parts=_BERT_BLOCK,
        heads=("generator_predictions.", "generator_lm_head."),
        transform="generator_predictions.dense",
        transform_norm="generator_predictions.LayerNorm",
        decoder="generator_lm_head",
        bias="generator_lm_head.bias",
        widen="embeddings_project",
    ),
}
_COMMON = {"vocab_size": "vocab_size", "max_position_embeddings": "context_length"}
_BERT = _COMMON | {
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_size": "d_model",
    "intermediate_size": "d_ff",
    "type_vocab_size": "n_segments",
    "hidden_dropout_prob": "dropout",
    "hidden_act": "activation",
    "layer_norm_eps": "norm_eps",
}
FIELDS = {
    "bert": _BERT,
    "roberta": _BERT,
    "albert": _BERT
    | {"embedding_size": "d_embedding", "num_hidden_groups": "n_groups", "inner_group_num": "blocks_per_group"},
    "distilbert": _COMMON
    | {
        "n_layers": "n_layers",
        "n_heads": "n_heads",
        "dim": "d_model",
        "hidden_dim": "d_ff",
        "dropout": "dropout",
        "activation": "activation",
    },
    "electra": _BERT | {"embedding_size": "d_embedding"},
}
# What a field means that a file leaves out: the defaults of transformers. No size is left out.
_USUAL = {"layer_norm_eps": 1e-12, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "type_vocab_size": 2}
DEFAULTS: dict[str, dict[str, Any]] = {
    "bert": _USUAL,
    "roberta": _USUAL,
    "albert": _USUAL
    | {"hidden_act": "gelu_new", "hidden_dropout_prob": 0, "num_hidden_groups": 1, "inner_group_num": 1},
    "distilbert": {"activation": "gelu", "dropout": 0.1},
    "electra": _USUAL,
}
