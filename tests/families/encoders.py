"""Encoders of 2020 to 2026: ELECTRA's discriminator, and ModernBERT."""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from companion.checkpoints import modern_bert
from companion.checkpoints.bert import REPLACED
from companion.data.batch import IGNORED
from companion.losses.replaced import replaced_loss
from companion.models.electra import ElectraDiscriminator
from companion.models.modern_bert import ModernBertForMaskedLM
from companion.nn.capture import capture
from families import Case, Outputs, maps_on_real, on_real, real_tokens, saved, stir
from families.bert import COMMON, LENGTH, NARROW, SHAPES, VOCABULARY


def discriminator(sizes: dict, folder: Path) -> Case:
    import transformers

    torch.manual_seed(0)
    config = transformers.ElectraConfig(**COMMON | sizes, attn_implementation="eager")
    theirs = transformers.ElectraForPreTraining(config).eval()
    stir(theirs)
    real = real_tokens(3, LENGTH)
    ids = torch.randint(2, VOCABULARY, (3, LENGTH)).masked_fill(~real, 0)
    given = {"token_type_ids": torch.randint(config.type_vocab_size, (3, LENGTH))}
    replaced = torch.rand(3, LENGTH) < 0.3

    def run_ours(model: ElectraDiscriminator) -> Outputs:
        with capture(model, detach=False) as record:
            logits = model(ids, attention_mask=real, **given)
        scores = [on_real(h, real) for h in (logits, *record.hidden)]
        return Outputs(scores, [maps_on_real(w, real) for w in record.attention], replaced_loss(logits, replaced, real))

    def run_theirs(model: torch.nn.Module) -> Outputs:
        asked = {"output_attentions": True, "output_hidden_states": True}
        out = model(ids, attention_mask=real.long(), labels=replaced.long(), **given, **asked)
        scores = [on_real(h, real) for h in (out.logits, *out.hidden_states)]
        return Outputs(scores, [maps_on_real(w, real) for w in out.attentions], out.loss)

    ours = ElectraDiscriminator.from_pretrained(saved(theirs, folder))
    return Case(ours, theirs, run_ours, run_theirs, REPLACED)


def modern(sizes: dict, folder: Path) -> Case:
    import transformers

    torch.manual_seed(0)
    tokens = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"))
    config = transformers.ModernBertConfig(**COMMON | tokens | sizes, attn_implementation="eager")
    theirs = transformers.ModernBertForMaskedLM(config).eval()
    stir(theirs)
    real = real_tokens(3, LENGTH)
    ids = torch.randint(VOCABULARY, (3, LENGTH))
    labels = torch.where(torch.rand(3, LENGTH) < 0.3, ids, IGNORED).masked_fill(~real, IGNORED)

    def run_ours(model: ModernBertForMaskedLM) -> Outputs:
        with capture(model, detach=False) as record:
            logits = model(ids, attention_mask=real)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        return Outputs([on_real(logits, real)], [maps_on_real(w, real) for w in record.attention], loss)

    def run_theirs(model: torch.nn.Module) -> Outputs:
        out = model(ids, attention_mask=real.long(), labels=labels, output_attentions=True)
        return Outputs([on_real(out.logits, real)], [maps_on_real(w, real) for w in out.attentions], out.loss)

    ours = ModernBertForMaskedLM.from_pretrained(saved(theirs, folder))
    return Case(ours, theirs, run_ours, run_theirs, modern_bert)


SIZES = ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")
MODERN = [
    dict(zip(SIZES, (4, 3, 18, 20), strict=True)) | {"local_attention": 4},
    dict(zip(SIZES, (1, 1, 10, 8), strict=True)) | {"tie_word_embeddings": False},
    dict(zip(SIZES, (5, 5, 20, 7), strict=True))
    | {"local_attention": 7, "global_attn_every_n_layers": 2, "norm_eps": 1e-3, "global_rope_theta": 300.0},
]
CASES = {
    "ELECTRA, discriminator": [
        partial(discriminator, shape | narrow) for shape, narrow in zip(SHAPES, NARROW, strict=True)
    ],
    "ModernBERT": [partial(modern, sizes) for sizes in MODERN],
}
