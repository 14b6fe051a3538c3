"""Checkpoints of Llama, Qwen2, Qwen3, Mistral, Mixtral, StableLM and Gemma 3: one set of names, and what differs.

Chapter: ``book/algorithms/modern_decoder.ipynb``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from companion.checkpoints import CheckpointError, read_config
from companion.checkpoints.field_types import (
    BELOW_ONE,
    COUNT,
    FLAG,
    FRACTION,
    NUMBER,
    OBJECT,
    POSITIVE,
    SIZE,
    WORD,
    WORDS,
    check_fields,
    kinds_of,
    or_null,
)
from companion.checkpoints.layout import Layout, Rule, SharedFields
from companion.nn.positions import RopeScaling, YarnScaling, yarn_amplitude

SIZES = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_size": "d_model",
    "intermediate_size": "d_ff",
}
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "stablelm": "StableLmForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
}
PROJECTIONS = {"q": "query", "k": "key", "v": "value", "o": "output"}
SWIGLU = {"gate": "gate", "up": "expand", "down": "contract"}
EXPERT = {"w1": "gate", "w3": "expand", "w2": "contract"}
GEMMA = "gemma3_text"
GEMMA_NORMS = {
    "input_layernorm.weight": "attention_norm.weight",
    "post_attention_layernorm.weight": "attention_post_norm.weight",
    "pre_feedforward_layernorm.weight": "feed_forward_norm.weight",
    "post_feedforward_layernorm.weight": "feed_forward_post_norm.weight",
}
REFUSED = {  # qk_layernorm, use_parallel_residual and hidden_dropout are StableLM's
    **dict.fromkeys(("attention_bias", "mlp_bias", "qk_layernorm", "use_parallel_residual"), or_null(FLAG)),
    **dict.fromkeys(("router_jitter_noise", "hidden_dropout"), or_null(NUMBER)),
    "use_bidirectional_attention": or_null(FLAG),  # Gemma's, as the next
    "attn_logit_softcapping": or_null(NUMBER),
}
ROPE = {  # fields of the rotary positions, beside the others or in an object of their own
    "rope_theta": POSITIVE,
    "partial_rotary_factor": FRACTION,
    "original_max_position_embeddings": or_null(SIZE),
}
SCALING = ROPE | {
    **dict.fromkeys(("rope_type", "type"), WORD),
    **dict.fromkeys(("low_freq_factor", "high_freq_factor"), POSITIVE),
    **dict.fromkeys(("factor", "attention_factor", "beta_slow", "beta_fast"), or_null(POSITIVE)),
    **dict.fromkeys(("mscale", "mscale_all_dim"), or_null(NUMBER)),
    "truncate": FLAG,
}
KINDS = (
    kinds_of(SIZES)
    | REFUSED
    | ROPE
    | {
        **dict.fromkeys(("num_local_experts", "num_experts_per_tok"), SIZE),
        **dict.fromkeys(("num_key_value_heads", "head_dim", "sliding_window"), or_null(SIZE)),
        **dict.fromkeys(("rope_scaling", "rope_parameters"), or_null(OBJECT)),
        **dict.fromkeys(("use_sliding_window", "use_qkv_bias", "tie_word_embeddings"), FLAG),
        **dict.fromkeys(("attention_dropout", "rms_norm_eps", "layer_norm_eps"), BELOW_ONE),
        "max_window_layers": COUNT,
        "layer_types": or_null(WORDS),
        **dict.fromkeys(("hidden_act", "hidden_activation"), WORD),
        **dict.fromkeys(("query_pre_attn_scalar", "sliding_window_pattern"), SIZE),
        "rope_local_base_freq": POSITIVE,
        "final_logit_softcapping": or_null(POSITIVE),
    }
)
# defaults of transformers
KV_HEADS = {"llama": None, "qwen2": 32, "qwen3": 32, "mistral": 8, "mixtral": 8, "stablelm": 32, GEMMA: 4}
D_HEAD = {"qwen3": 128, GEMMA: 256}  # d_model / n_heads in the others
NORM_EPS = {"mixtral": 1e-5, "stablelm": 1e-5}  # 1e-6 in the others
FULL, SLIDING = "full_attention", "sliding_attention"


class ModernFields(SharedFields, Protocol):
    """The fields of a :class:`companion.models.modern_decoder.ModernConfig` that a checkpoint holds."""

    context_length: int
    n_kv_heads: int
    d_head: int
    family: str
    window: int | None
    full_layers: tuple[int, ...]
    n_experts: int | None
    experts_per_token: int
    rope_base: float
    rope_scaling: RopeScaling | None
    local_rope_base: float | None
    rotary_fraction: float
    qkv_bias: bool
    query_pre_attn_scalar: int
    final_softcap: float | None


def layout(config: ModernFields) -> Layout:
    """Return the tensors of a checkpoint; the rotary frequencies in old ones are ignored."""
    rules = [
        Rule("embed_tokens.weight", ("token_embedding.weight",)),
        Rule("norm.weight", ("final_norm.weight",)),
    ]
    parts = {
        "input_layernorm.weight": "attention_norm.weight",
        **{f"self_attn.{p}_proj.weight": f"attention.{name}.weight" for p, name in PROJECTIONS.items()},
        "post_attention_layernorm.weight": "feed_forward_norm.weight",
    }
    if config.family == "stablelm":
        rules.append(Rule("norm.bias", ("final_norm.bias",)))
        parts["input_layernorm.bias"] = "attention_norm.bias"
        parts["post_attention_layernorm.bias"] = "feed_forward_norm.bias"
    if config.family == "qwen2" or config.qkv_bias:
        parts |= {f"self_attn.{p}_proj.bias": f"attention.{PROJECTIONS[p]}.bias" for p in "qkv"}
    if config.family == GEMMA:
        parts |= GEMMA_NORMS
    if config.family in ("qwen3", GEMMA):
        parts |= {f"self_attn.{p}_norm.weight": f"attention.{PROJECTIONS[p]}_norm.weight" for p in "qk"}
    if config.n_experts is None:
        parts |= {f"mlp.{theirs}_proj.weight": f"feed_forward.{ours}.weight" for theirs, ours in SWIGLU.items()}
    else:
        parts["block_sparse_moe.gate.weight"] = "feed_forward.router.weight"
        for expert in range(config.n_experts):
            for theirs, ours in EXPERT.items():
                name = f"block_sparse_moe.experts.{expert}.{theirs}.weight"
                parts[name] = f"feed_forward.experts.{expert}.{ours}.weight"
    for i in range(config.n_layers):
        rules += [Rule(f"layers.{i}.{theirs}", (f"blocks.{i}.{ours}",)) for theirs, ours in parts.items()]
    ignored = r"rotary_emb\.inv_freq$"
    if config.tied:
        ignored += r"|^lm_head\.weight$"
    else:
        rules.append(Rule("lm_head.weight", ("unembedding.weight",)))
    return Layout(rules, "model.", ("lm_head.",), ignored)


def read_fields(folder: Path) -> dict[str, Any]:
    """Return the fields of a :class:`companion.models.modern_decoder.ModernConfig` from a ``config.json``.

    Raises:
        CheckpointError: when a field is missing, holds what it must not, or asks for a variant that this package does
            not have.
    """
    config = read_config(folder, *ARCHITECTURES)
    family = config["model_type"]
    check_fields(config, KINDS, folder / "config.json")
    for name in REFUSED:
        if config.get(name):
            raise CheckpointError(f"{folder}/config.json sets {name}, which this decoder does not have")
    name, *allowed = ("hidden_activation", "gelu_pytorch_tanh") if family == GEMMA else ("hidden_act", "silu", "swish")
    if config.get(name, allowed[0]) not in allowed:
        raise CheckpointError(f"{folder}/config.json: {name} must be {allowed[0]}; got {config[name]!r}")
    try:
        fields = {ours: config[theirs] for theirs, ours in SIZES.items()}
    except KeyError as error:
        raise CheckpointError(f"{folder}/config.json lacks the field {error}") from error
    if family == "mixtral":
        fields |= {"n_experts": config.get("num_local_experts", 8)}
        fields |= {"experts_per_token": config.get("num_experts_per_tok", 2)}
    if family == GEMMA:
        fields |= {"query_pre_attn_scalar": config.get("query_pre_attn_scalar", 256)}
        fields |= {"final_softcap": config.get("final_logit_softcapping")}
    return (
        fields
        | _rope(config, folder)
        | _window(config, folder)
        | {
            "family": family,
            "n_kv_heads": config.get("num_key_value_heads", KV_HEADS[family]),
            "d_head": config.get("head_dim", D_HEAD.get(family)),
            "dropout": config.get("attention_dropout", 0.0),
            "norm_eps": config.get(_eps_name(family), NORM_EPS.get(family, 1e-6)),
            "qkv_bias": family == "stablelm" and config.get("use_qkv_bias", False),
            "tied": config.get("tie_word_embeddings", family == GEMMA),
        }
    )


def _rope(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Rotary base, fraction and scaling, from ``rope_parameters`` or from the fields before ``transformers`` 5."""
    name = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    given = config.get(name) or {}
    if config["model_type"] == GEMMA:
        name, given, local = _gemma_rope(config, folder)
    else:
        local = {}
    check_fields(given, SCALING, folder / "config.json", within=name)
    default = 1e6 if config["model_type"] in ("mixtral", GEMMA) else 10_000.0
    base = given.get("rope_theta", config.get("rope_theta", default))
    kind = given.get("rope_type", given.get("type", "default"))
    usual = 0.25 if config["model_type"] == "stablelm" else 1.0
    fraction = given.get("partial_rotary_factor", config.get("partial_rotary_factor", usual))
    if kind not in SCALINGS:
        raise CheckpointError(f"{folder}/config.json: rotary positions may be {', '.join(SCALINGS)}; got {kind!r}")
    context = config["max_position_embeddings"]
    original = config.get("original_max_position_embeddings") or given.get("original_max_position_embeddings", context)
    try:
        scaling = SCALINGS[kind](given, original, context)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}/config.json describes no {kind} scaling: {error!r}") from error
    return {"rope_base": float(base), "rope_scaling": scaling, "rotary_fraction": fraction} | local


def _gemma_rope(config: dict[str, Any], folder: Path) -> tuple[str, dict[str, Any], dict[str, float]]:
    """Where the rotary fields of the layers without a window stand, these fields, and the base of the other layers.

    Since ``transformers`` 5 each kind of layer has an object of its own.
    """
    kinds = config.get("rope_parameters") or {}
    check_fields(kinds, dict.fromkeys((FULL, SLIDING), or_null(OBJECT)), folder / "config.json", "rope_parameters")
    near = kinds.get(SLIDING) or {}
    within = f"rope_parameters.{SLIDING}"
    check_fields(near, SCALING, folder / "config.json", within)
    if near.get("rope_type", "default") != "default":
        raise CheckpointError(f"{folder}/config.json: {within} must be of the type default; got {near['rope_type']!r}")
    local = {"local_rope_base": float(near.get("rope_theta", config.get("rope_local_base_freq", 10_000.0)))}
    if config.get("rope_scaling"):
        return "rope_scaling", config["rope_scaling"], local
    return f"rope_parameters.{FULL}", kinds.get(FULL) or {}, local


def _yarn(given: dict[str, Any], original: int, context: int) -> YarnScaling:
    """YaRN from its fields; DeepSeek's pair ``mscale`` and ``mscale_all_dim`` becomes the attention factor it means."""
    factor = context / original if given["factor"] is None else given["factor"]
    amplitude, own, rest = (given.get(name) for name in ("attention_factor", "mscale", "mscale_all_dim"))
    if amplitude is None and own and rest:
        amplitude = yarn_amplitude(factor, own) / yarn_amplitude(factor, rest)
    turns = given.get("beta_slow") or 1, given.get("beta_fast") or 32
    return YarnScaling(factor, original, *turns, attention_factor=amplitude, truncate=given.get("truncate", True))


# rope type -> scaling, from its fields, the original context length, and the context length
SCALINGS: dict[str, Callable[[dict[str, Any], int, int], RopeScaling | None]] = {
    "default": lambda given, original, context: None,
    "linear": lambda given, original, context: RopeScaling(given["factor"]),
    "llama3": lambda given, original, context: RopeScaling(
        given["factor"], original, given["low_freq_factor"], given["high_freq_factor"]
    ),
    "yarn": _yarn,
}


def _window(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The window and the layers without it; Qwen's is used only with ``use_sliding_window``, Gemma's always."""
    family = config["model_type"]
    if family in ("mistral", "mixtral"):
        return {"window": config.get("sliding_window", 4096 if family == "mistral" else None)}
    window = config.get("sliding_window", 4096)
    used = family == GEMMA or config.get("use_sliding_window", False)
    if family in ("llama", "stablelm") or window is None or not used:
        return {}
    n_layers, first = config["num_hidden_layers"], config.get("max_window_layers", 28)
    every = config.get("sliding_window_pattern", 6)
    usual = [(i + 1) % every == 0 if family == GEMMA else i < first for i in range(n_layers)]  # the full ones
    kinds = config.get("layer_types") or [FULL if full else SLIDING for full in usual]
    if len(kinds) != n_layers or not {FULL, SLIDING} >= set(kinds):
        raise CheckpointError(
            f"{folder}/config.json: layer_types must be {n_layers} times {FULL!r} or {SLIDING!r}; got {kinds}"
        )
    full = tuple(i for i, kind in enumerate(kinds) if kind == FULL)
    return {"window": window, "full_layers": full} if len(full) < n_layers else {}


def config_json(config: ModernFields) -> dict[str, Any]:
    """Return the content of ``config.json`` for a configuration, in a form for old and new ``transformers`` alike."""
    content = {
        "model_type": config.family,
        "architectures": [ARCHITECTURES[config.family]],
        **{theirs: getattr(config, ours) for theirs, ours in SIZES.items()},
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.d_head,
        "hidden_act": "silu",
        _eps_name(config.family): config.norm_eps,
        "rope_theta": config.rope_base,
        "rope_scaling": _scaling_json(config.rope_scaling),
        "attention_dropout": config.dropout,
        "tie_word_embeddings": config.tied,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    if config.family == "stablelm":
        content |= {"use_qkv_bias": config.qkv_bias, "partial_rotary_factor": config.rotary_fraction}
    elif config.family != "llama":
        content["sliding_window"] = config.window
    if config.family.startswith(("qwen", "gemma")):
        types = [FULL if config.window is None or i in config.full_layers else SLIDING for i in range(config.n_layers)]
        content |= {"use_sliding_window": config.window is not None, "layer_types": types}
    if config.family == GEMMA:
        content |= {"hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": config.query_pre_attn_scalar}
        local = config.rope_base if config.local_rope_base is None else config.local_rope_base
        content |= {"rope_local_base_freq": local, "final_logit_softcapping": config.final_softcap}
        content["pad_token_id"] = None
        content["sliding_window"] = config.window or config.context_length  # which must be there, used or not
    if config.n_experts is not None:
        content |= {"num_local_experts": config.n_experts, "num_experts_per_tok": config.experts_per_token}
    return content


def _eps_name(family: str) -> str:
    """The field of the norm's eps."""
    return "layer_norm_eps" if family == "stablelm" else "rms_norm_eps"


def _scaling_json(scaling: RopeScaling | None) -> dict[str, Any] | None:
    """The field ``rope_scaling`` for a scaling."""
    if scaling is None:
        return None
    if scaling.original_length is None:
        return {"rope_type": "linear", "factor": scaling.factor}
    content: dict[str, Any] = {"factor": scaling.factor, "original_max_position_embeddings": scaling.original_length}
    if not isinstance(scaling, YarnScaling):
        turns = {"low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
        return {"rope_type": "llama3"} | content | turns
    content |= {"beta_slow": scaling.low, "beta_fast": scaling.high}
    return {"rope_type": "yarn"} | content | {name: getattr(scaling, name) for name in ("attention_factor", "truncate")}
