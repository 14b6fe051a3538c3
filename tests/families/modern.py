"""Today's decoders: Llama, Qwen2, Qwen3, Mistral, Mixtral with experts, StableLM with partial rotary, and Gemma 3."""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from companion.checkpoints import modern_decoder as family
from companion.data.batch import IGNORED
from companion.models.modern_decoder import ModernDecoder
from companion.nn.capture import capture
from companion.nn.mixture_of_experts import load_balancing_loss, record_routing
from families import Case, Outputs, maps_on_real, on_real, real_tokens, saved, stir

CONFIGS = {"Gemma3": "Gemma3TextConfig"}  # the others have their model's name
COMMON = {"vocab_size": 41, "max_position_embeddings": 24, "bos_token_id": None, "eos_token_id": None}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "original_max_position_embeddings": 12,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 8.0, "original_max_position_embeddings": 12}
YARN_BETWEEN_PAIRS = YARN | {"beta_fast": 1.5, "beta_slow": 0.1, "truncate": False, "attention_factor": 1.25}
YARN_OF_DEEPSEEK = YARN | {"rope_theta": 50.0, "mscale": 1.0, "mscale_all_dim": 0.5, "beta_fast": 4}
# heads, key-value heads, layers, width, and width inside the feed-forward network
GROUPED = {"num_attention_heads": 6, "num_key_value_heads": 2, "num_hidden_layers": 2}
GROUPED |= {"hidden_size": 24, "intermediate_size": 20}
ONE = {"num_attention_heads": 5, "num_key_value_heads": 1, "num_hidden_layers": 3}
ONE |= {"hidden_size": 20, "intermediate_size": 7, "tie_word_embeddings": True}
ALL = {"num_attention_heads": 3, "num_key_value_heads": 3, "num_hidden_layers": 1}
ALL |= {"hidden_size": 18, "intermediate_size": 9}
WIDE = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 3}
WIDE |= {"hidden_size": 32, "intermediate_size": 9}
SOME_LAYERS = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
NAMED_LAYERS = {
    "use_sliding_window": True,
    "sliding_window": 3,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}


def case(name: str, sizes: dict, folder: Path) -> Case:
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, CONFIGS.get(name, f"{name}Config"))(**COMMON | sizes, attn_implementation="eager")
    theirs = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    stir(theirs)
    ids, real = torch.randint(41, (3, 11)), real_tokens(3, 11)
    labels = ids.masked_fill(~real, IGNORED)
    experts = {"output_router_logits": True} if name == "Mixtral" else {}

    def run_ours(model: ModernDecoder) -> Outputs:
        if not experts:
            return read(model)
        with record_routing(model) as logits:
            out = read(model)
        balance = load_balancing_loss(logits, model.config.experts_per_token, real)
        return Outputs(out.scores, out.attention, out.loss + config.router_aux_loss_coef * balance)

    def read(model: ModernDecoder) -> Outputs:
        with capture(model, detach=False) as record:
            logits = model(ids, attention_mask=real)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        return Outputs([on_real(logits, real)], [maps_on_real(w, real) for w in record.attention], loss)

    def run_theirs(model: transformers.PreTrainedModel) -> Outputs:
        if experts:
            model.set_experts_implementation("eager")  # the fused one computes in no double precision
        out = model(ids, attention_mask=real.long(), labels=labels, output_attentions=True, **experts)
        return Outputs([on_real(out.logits, real)], [maps_on_real(w, real) for w in out.attentions], out.loss)

    ours = ModernDecoder.from_pretrained(saved(theirs, folder))
    as_in_the_file = partial(transformers.core_model_loading.revert_weight_conversion, theirs)
    return Case(ours, theirs, run_ours, run_theirs, family, as_in_the_file=as_in_the_file)


def cases(name: str, *shapes: dict) -> list:
    return [partial(case, name, shape) for shape in shapes]


MIXTURE = {"num_local_experts": 5, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.5}
GEMMA = {"pad_token_id": None, "sliding_window": 4}
GEMMAS = (
    GROUPED
    | GEMMA
    | {"head_dim": 6, "query_pre_attn_scalar": 9, "num_hidden_layers": 7, "final_logit_softcapping": 2.0},
    ONE | GEMMA | {"head_dim": 4, "sliding_window_pattern": 3, "rope_scaling": {"rope_type": "linear", "factor": 3.0}},
    ALL
    | GEMMA
    | {
        "head_dim": 8,
        "num_hidden_layers": 2,
        "layer_types": ["full_attention", "sliding_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 300.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
        },
        "rms_norm_eps": 1e-2,
        "tie_word_embeddings": False,
    },
)
CASES = {
    "Llama": cases(
        "Llama",
        GROUPED | {"rope_parameters": LLAMA3},
        ONE | {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 3.0}},
        ALL | {"head_dim": 8, "rms_norm_eps": 1e-2},
    ),
    "YaRN": [
        *cases("Llama", GROUPED | {"head_dim": 16, "rope_parameters": YARN}),
        *cases("Qwen2", ONE | {"rope_parameters": YARN_BETWEEN_PAIRS}),
        *cases("Qwen3", ALL | {"head_dim": 12, "rope_parameters": YARN_OF_DEEPSEEK}),
    ],
    "Qwen2": cases("Qwen2", GROUPED | SOME_LAYERS, ONE | NAMED_LAYERS, ALL),
    "Qwen3": cases("Qwen3", GROUPED | SOME_LAYERS | {"head_dim": 6}, ONE | {"head_dim": 4}, ALL | {"head_dim": 2}),
    "Mistral": cases(
        "Mistral", GROUPED | {"sliding_window": 3}, ONE | {"sliding_window": 3}, ALL | {"sliding_window": None}
    ),
    "StableLM": cases(
        "StableLm",
        GROUPED | {"partial_rotary_factor": 0.5, "use_qkv_bias": True},
        WIDE | {"rope_parameters": YARN | {"partial_rotary_factor": 0.75}},
        WIDE | {"layer_norm_eps": 1e-2, "tie_word_embeddings": True},
    ),
    "Gemma 3": cases("Gemma3", *GEMMAS),
    "Mixtral": cases(
        "Mixtral",
        GROUPED | MIXTURE,
        ONE | MIXTURE | {"num_local_experts": 3, "num_experts_per_tok": 1, "sliding_window": 5},
        ALL | MIXTURE | {"num_experts_per_tok": 5},
    ),
}
