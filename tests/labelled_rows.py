"""Random labelled rows, for more than one test."""

import torch

from companion.data.batch import IGNORED
from companion.data.labelled import Labelled, SpanQuestions, Tagged


def rows(kind, batch=5, length=8):
    """Random rows for a head; row i has i tokens of padding."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 31, (batch, length), generator=generator)
    real = torch.arange(length)[None] < length - torch.arange(batch)[:, None]
    texts = (ids.masked_fill(~real, 0), torch.zeros_like(ids), real)
    if kind == "token":
        labels = torch.randint(3, (batch, length), generator=generator)
        return Tagged(*texts, labels.masked_fill(~real, IGNORED))
    if kind == "span":
        return SpanQuestions(
            *texts, torch.randint(2, (batch,), generator=generator), torch.arange(batch).clamp(max=2) + 1
        )
    return Labelled(*texts, torch.arange(batch) % 3)
