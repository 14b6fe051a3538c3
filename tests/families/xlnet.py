"""XLNet: both streams under a factorisation order, and the content stream alone, with and without segments."""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

from companion.checkpoints import xlnet as family
from companion.data.batch import IGNORED
from companion.models.xlnet import XLNet
from companion.nn.capture import capture
from companion.nn.masks import order_mask
from families import Case, Outputs, maps_on_real, on_real, real_tokens, saved, stir

BATCH, LENGTH, VOCAB = 3, 11, 41
SHAPES = [
    {"n_layer": 2, "n_head": 3, "d_model": 18, "d_inner": 31},
    {"n_layer": 1, "n_head": 1, "d_model": 10, "d_inner": 40, "tie_word_embeddings": False},
    {"n_layer": 3, "n_head": 5, "d_model": 20, "d_inner": 7, "ff_activation": "relu"},
]


def pair(sizes: dict, folder: Path) -> tuple:
    from transformers import XLNetConfig, XLNetLMHeadModel

    torch.manual_seed(0)
    special = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    theirs = XLNetLMHeadModel(XLNetConfig(vocab_size=VOCAB, **special, **sizes)).eval()
    stir(theirs)
    encode = theirs.transformer.relative_positional_encoding  # single precision, whatever the model's
    theirs.transformer.relative_positional_encoding = lambda *a, **k: encode(*a, **k).to(theirs.dtype)
    return XLNet.from_pretrained(saved(theirs, folder)), theirs


def segments() -> torch.Tensor:
    """The first four tokens of a row are of one segment, the others of another."""
    return (torch.arange(LENGTH) >= 4).long().expand(BATCH, -1)


def permuted(sizes: dict, segmented: bool, told_at_once: bool, folder: Path) -> Case:
    """Both streams, the last three positions of a random order to be predicted."""
    ours, theirs = pair(sizes, folder)
    ids, real = torch.randint(VOCAB, (BATCH, LENGTH)), real_tokens(BATCH, LENGTH, "left")
    order = torch.rand(BATCH, LENGTH).masked_fill(~real, -1).argsort().argsort()  # padding is of the lowest ranks
    targets = order.argsort()[:, -3:]
    if told_at_once:  # the context has one rank, as in the released training code
        order = (order - (LENGTH - 4)).clamp(min=0)
    types = segments() if segmented else None
    labels = ids.gather(1, targets)
    hidden = ~order_mask(order, own=True)
    hidden[torch.arange(BATCH)[:, None], targets, targets] = True  # what a target may not: see itself
    given = {
        "perm_mask": hidden.double(),
        "target_mapping": F.one_hot(targets, LENGTH).double(),
        "input_mask": (~real).double(),
    }

    def run_ours(model: XLNet) -> Outputs:
        with capture(model, detach=False) as record:
            logits = model(ids, real, token_type_ids=types, order=order, targets=targets)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return Outputs([logits], [*record.attention, *record.query_attention], loss)

    def run_theirs(model) -> Outputs:
        cast = {name: value.to(model.dtype) for name, value in given.items()}
        out = model(ids, token_type_ids=types, labels=labels, output_attentions=True, **cast)
        content = [maps[0] for maps in out.attentions]
        rows = targets[:, None, :, None]
        query = [maps[1].gather(2, rows.expand(-1, maps[1].size(1), -1, LENGTH)) for maps in out.attentions]
        return Outputs([out.logits], [*content, *query], out.loss)

    skipped = set() if segmented else unused_segments(theirs)
    return Case(ours, theirs, run_ours, run_theirs, family, skipped=skipped)


def plain(sizes: dict, segmented: bool, folder: Path) -> Case:
    """The content stream, every position seeing every other, as a fine-tuned model is used."""
    ours, theirs = pair(sizes, folder)
    ids, real = torch.randint(VOCAB, (BATCH, LENGTH)), real_tokens(BATCH, LENGTH)
    types = segments() if segmented else None
    labels = ids.masked_fill(~real, IGNORED)

    def run_ours(model: XLNet) -> Outputs:
        with capture(model, detach=False) as record:
            logits = model(ids, real, token_type_ids=types)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        return Outputs([on_real(logits, real)], [maps_on_real(w, real) for w in record.attention], loss)

    def run_theirs(model) -> Outputs:
        mask = real.to(model.dtype)
        out = model(ids, attention_mask=mask, token_type_ids=types, labels=labels, output_attentions=True)
        return Outputs([on_real(out.logits, real)], [maps_on_real(w, real) for w in out.attentions], out.loss)

    skipped = {"transformer.mask_emb"} | (set() if segmented else unused_segments(theirs))
    return Case(ours, theirs, run_ours, run_theirs, family, skipped=skipped)


def unused_segments(theirs) -> set[str]:
    """What takes part in nothing where no segments are given."""
    return {name for name, _ in theirs.named_parameters() if name.endswith(("r_s_bias", "seg_embed"))}


CASES = {
    "XLNet, two streams": [
        *(partial(permuted, shape, True, False) for shape in SHAPES),
        partial(permuted, SHAPES[0], False, True),
    ],
    "XLNet, content stream": [*(partial(plain, shape, True) for shape in SHAPES), partial(plain, SHAPES[0], False)],
}
