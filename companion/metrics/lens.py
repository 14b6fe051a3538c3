"""Logit lens: what a decoder would say if it ended after each block, and which parts wrote it.

The hidden state after every block goes through the last norm and the output matrix, as if no block followed. What that
says for the likeliest token and against the second is a sum over all parts that have written so far: direct logit
attribution. Chapter: ``book/practice/interpretability.ipynb``. Sources: nostalgebraist 2020, "interpreting GPT: the
logit lens"; Belrose et al. 2023, "Eliciting Latent Predictions from Transformers with the Tuned Lens", section 2.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from companion.metrics.attribution import logit_direction, written
from companion.nn.capture import Record
from companion.nn.checks import check_numbers


class Lens(NamedTuple):
    """What the stream of one text says after each block; level 0 is what enters the first.

    Attributes:
        tokens: likeliest tokens, (levels, length, k), likeliest first.
        probabilities: of these, (levels, length, k).
        norms: length of the stream, (levels, length).
        lead: logit of the likeliest token less that of the second, (levels, length).
        embedding: what of the lead the embedding wrote, (levels, length).
        heads: what each head wrote of it, (levels, layers, heads, length); 0 for blocks that come later.
        feed_forward: what each feed-forward network wrote of it, (levels, layers, length); 0 for later blocks.
        constant: what the biases of the layers and of the norm add to it, (levels, length).
    """

    tokens: Tensor
    probabilities: Tensor
    norms: Tensor
    lead: Tensor
    embedding: Tensor
    heads: Tensor
    feed_forward: Tensor
    constant: Tensor


@torch.no_grad()
def logit_lens(model: Any, record: Record, k: int = 5) -> Lens:
    """Logit lens of one text, from the record of a run, with the direct logit attribution of each lead.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> from companion.nn.capture import capture
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=2, n_heads=3, d_model=12)).eval()
    >>> with capture(model) as record:
    ...     logits = model(torch.tensor([[1, 2, 3]])).detach()
    >>> lens = logit_lens(model, record)
    >>> lens.tokens.shape, bool((lens.tokens[-1, :, 0] == logits[0].argmax(-1)).all())
    (torch.Size([3, 3, 5]), True)

    Args:
        model: a :class:`companion.models.gpt.GPT` or :class:`companion.models.modern_decoder.ModernDecoder`.
        record: of :func:`companion.nn.capture.capture`, of a batch of one text.
        k: tokens at each place, at least two.

    Raises:
        ValueError: when the record is of several texts or of another number of layers, or k is below 2.
        FloatingPointError: when the logits of a level are not numbers.
    """
    hidden = torch.stack(record.hidden)  # (levels, batch, length, d_model)
    if hidden.size(1) != 1 or k < 2:
        raise ValueError(f"the record must be of 1 text, with k >= 2; got {hidden.size(1)} texts and k={k}")
    parts, hidden = written(model, record), hidden[:, 0]
    logits = model.unembedding(model.final_norm(hidden))  # (levels, length, vocab)
    check_numbers("logits", logits.flatten(0, 1))
    probabilities, tokens = logits.softmax(-1).topk(k)
    lead = logits.gather(-1, tokens[..., :1]) - logits.gather(-1, tokens[..., 1:2])
    levels, n, _ = hidden.shape
    flat = tokens.flatten(0, 1)
    direction = logit_direction(model, hidden.flatten(0, 1), flat[:, 0], flat[:, 1]).view(levels, n, -1)
    earlier = torch.arange(levels)[:, None] > torch.arange(levels - 1)  # (levels, layers): has it written yet?
    earlier = earlier.to(hidden)
    heads = torch.einsum("lhnd,vnd->vlhn", parts.heads[:, :, 0], direction) * earlier[:, :, None, None]
    feed_forward = torch.einsum("lnd,vnd->vln", parts.feed_forward[:, 0], direction) * earlier[:, :, None]
    embedding = (parts.embedding[0] * direction).sum(-1)
    whole = embedding + heads.sum((1, 2)) + feed_forward.sum(1)
    return Lens(
        tokens, probabilities, hidden.norm(dim=-1), lead[..., 0], embedding, heads, feed_forward, lead[..., 0] - whole
    )
