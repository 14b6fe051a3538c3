"""T5 and T5 1.1, with the output matrix tied and not."""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from companion.checkpoints import t5 as family
from companion.data.batch import IGNORED
from companion.models.t5 import T5
from companion.nn.capture import capture
from families import Case, Outputs, maps_on_real, on_real, real_tokens, saved, stir

V1 = [
    {"num_layers": 2, "num_heads": 3, "d_model": 18, "d_kv": 6, "d_ff": 30},
    {"num_layers": 1, "num_heads": 1, "d_model": 10, "d_kv": 7, "d_ff": 9, "layer_norm_epsilon": 1e-3},
    {"num_layers": 1, "num_decoder_layers": 3, "num_heads": 5, "d_model": 12, "d_kv": 2, "d_ff": 8},
]
V1_1 = [
    {"num_layers": 2, "num_heads": 3, "d_model": 16, "d_kv": 4, "d_ff": 20},
    {"num_layers": 3, "num_decoder_layers": 1, "num_heads": 1, "d_model": 9, "d_kv": 5, "d_ff": 11},
    {
        "num_layers": 2,
        "num_heads": 5,
        "d_model": 8,
        "d_kv": 3,
        "d_ff": 7,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 10,
    },
]


def case(sizes: dict, folder: Path, *, gated: bool = False, tied: bool = False) -> Case:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    common = {"vocab_size": 41, "decoder_start_token_id": 0, "eos_token_id": None, "dropout_rate": 0.0}
    if gated:
        common |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}  # so that nothing is scaled
    theirs = T5ForConditionalGeneration(T5Config(**common | sizes, attn_implementation="eager")).eval()
    if not tied:  # the library ties what it makes, and unties what it loads
        theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.lm_head.weight))
    stir(theirs)
    ids, real = torch.randint(41, (3, 40)), real_tokens(3, 40)
    targets = torch.randint(41, (3, 9))
    written = real_tokens(3, 9)
    labels = targets.masked_fill(~written, IGNORED)
    decoder_ids = F.pad(targets[:, :-1], (1, 0))

    def run_ours(model: T5) -> Outputs:
        with capture(model, detach=False) as record:
            memory = model.encode(ids, real)
            logits = model(ids, decoder_ids, real)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        read = [maps_on_real(w, real) for w in record.attention[: model.config.n_layers]]
        wrote = [*record.attention[model.config.n_layers :], *record.cross_attention]
        return Outputs([on_real(memory, real), logits], [*read, *wrote], loss)

    def run_theirs(model: T5ForConditionalGeneration) -> Outputs:
        asked = {"attention_mask": real.long(), "decoder_input_ids": decoder_ids, "output_attentions": True}
        out = model(ids, **asked, labels=labels)
        read = [maps_on_real(w, real) for w in out.encoder_attentions]
        wrote = [*out.decoder_attentions, *out.cross_attentions]
        return Outputs([on_real(out.encoder_last_hidden_state, real), out.logits], [*read, *wrote], out.loss)

    return Case(T5.from_pretrained(saved(theirs, folder)), theirs, run_ours, run_theirs, family)


CASES = {
    "T5": [partial(case, shape, tied=True) for shape in V1],
    "T5, not tied": [partial(case, shape) for shape in V1],
    "T5 1.1": [partial(case, shape, gated=True) for shape in V1_1],
    "T5 1.1, tied": [partial(case, shape, gated=True, tied=True) for shape in V1_1],
}
