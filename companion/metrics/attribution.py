"""Attribution: which tokens, and which parts of a model, an output is put down to.

Attention rollout follows the maps down to the tokens. Direct logit attribution takes the residual stream apart into
what each part wrote. Recovery says how much of an effect an activation patch restores. Chapter:
``book/practice/interpretability.ipynb``. Sources: Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers",
section 3; Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Wang et al. 2023, "Interpretability
in the Wild", section 3; Zhang & Nanda 2024, "Towards Best Practices of Activation Patching", section 2.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from companion.nn.capture import Record, attention_layers
from companion.nn.norms import UnitRMSNorm


def attention_rollout(attention: Sequence[Tensor]) -> Tensor:
    """Attention rollout: ``R = A_L' … A_2' A_1'`` with ``A_l' = (mean over heads of A_l + I) / 2``.

    The identity stands for the residual connection, which keeps as much as the heads bring.

    >>> attention_rollout([torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])])  # one layer, one text, one head
    tensor([[[1.0000, 0.0000],
             [0.5000, 0.5000]]])

    Args:
        attention: weights by layer, (batch, heads, query, key) each.

    Returns:
        (batch, query, key); each row sums to 1 when those of the weights do.

    Raises:
        ValueError: when there is no layer.
    """
    if not attention:
        raise ValueError("attention must hold at least one layer; got none")
    same = torch.eye(attention[0].size(-1), dtype=attention[0].dtype, device=attention[0].device)
    rolled = same.expand(len(attention[0]), -1, -1)
    for weights in attention:  # first to last: later layers multiply from the left
        rolled = (weights.mean(1) + same) / 2 @ rolled
    return rolled


class Written(NamedTuple):
    """What each part of a decoder added to the residual stream; all of it together is the last hidden state.

    Attributes:
        embedding: what entered the first block, (batch, length, d_model).
        heads: (layers, heads, batch, length, d_model).
        biases: bias of each attention layer's output matrix, zeros where it has none, (layers, d_model).
        feed_forward: (layers, batch, length, d_model).
    """

    embedding: Tensor
    heads: Tensor
    biases: Tensor
    feed_forward: Tensor


@torch.no_grad()
def written(model: nn.Module, record: Record) -> Written:
    """What each part of a pre-norm decoder wrote into the residual stream, from the record of one run.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> from companion.nn.capture import capture
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=2, n_heads=3, d_model=12)).eval()
    >>> with capture(model) as record:
    ...     logits = model(torch.tensor([[1, 2, 3]]))
    >>> written(model, record).heads.shape  # (layers, heads, batch, length, d_model)
    torch.Size([2, 3, 1, 3, 12])

    Args:
        model: a :class:`companion.models.gpt.GPT` or :class:`companion.models.modern_decoder.ModernDecoder`.
        record: of :func:`companion.nn.capture.capture`.

    Raises:
        ValueError: when the record is of another number of layers, or a norm stands between a head and the stream, as
            in Gemma 3.
    """
    layers: list[Any] = list(attention_layers(model))
    if any(not isinstance(m, nn.Identity) for name, m in model.named_modules() if name.endswith("post_norm")):
        raise ValueError("this model normalises what its heads say before it is added; it is no sum of heads")
    if len(record.heads) != len(layers):
        raise ValueError(f"the record must have {len(layers)} layers of heads; it has {len(record.heads)}")
    heads, biases, feed_forward = [], [], []
    for number, (layer, outputs) in enumerate(zip(layers, record.heads, strict=True)):
        matrix = layer.output.weight.unflatten(1, (layer.n_heads, -1))  # (d_model, heads, d_head)
        heads.append(torch.einsum("bhnd,mhd->hbnm", outputs, matrix))
        bias = layer.output.bias
        biases.append(torch.zeros_like(matrix[:, 0, 0]) if bias is None else bias)
        added = record.hidden[number + 1] - record.hidden[number]
        feed_forward.append(added - heads[-1].sum(0) - biases[-1])
    return Written(record.hidden[0], torch.stack(heads), torch.stack(biases), torch.stack(feed_forward))


@torch.no_grad()
def logit_direction(model: Any, final: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """Direction of a logit difference in the residual stream: ``h · g = logit[right] - logit[wrong] - constant``.

    The last norm divides by the length of the whole stream; that length is held at the value it had in the run, so the
    logit difference is a sum over whatever the stream is a sum of. The constant is the norm's bias, where it has one.

    >>> from companion.models.modern_decoder import ModernConfig, ModernDecoder
    >>> from companion.nn.capture import capture
    >>> model = ModernDecoder(ModernConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8)).eval()
    >>> with capture(model) as record:
    ...     logits = model(torch.tensor([[1, 2, 3]]))[:, -1].detach()
    >>> final = record.hidden[-1][:, -1]
    >>> g = logit_direction(model, final, torch.tensor([4]), torch.tensor([5]))
    >>> torch.allclose((final * g).sum(-1), logits[:, 4] - logits[:, 5], atol=1e-5)
    True

    Args:
        model: a decoder with ``final_norm`` and ``unembedding``, whose logits have no bound.
        final: last hidden state at the position that predicts, (batch, d_model).
        right: token ids, (batch,).
        wrong: token ids, (batch,).

    Returns:
        (batch, d_model).
    """
    norm, table = model.final_norm, model.unembedding.weight
    weight = 1 + norm.weight if isinstance(norm, UnitRMSNorm) else norm.weight
    direction = (table[right] - table[wrong]) * weight
    if isinstance(norm, nn.LayerNorm):  # it takes the mean off, and so does the direction
        direction = direction - direction.mean(-1, keepdim=True)
        final = final - final.mean(-1, keepdim=True)
    scaled: Tensor = direction / (final.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    return scaled


def recovery(patched: Tensor, corrupted: Tensor, clean: Tensor) -> Tensor:
    """Recovery: fraction of the clean run's logit difference that a patch brings back into the corrupted run.

    ``(patched - corrupted) / (clean - corrupted)`` of the means over texts, which are the last dimension: 0 = the patch
    changes nothing, 1 = as in the clean run.

    >>> recovery(torch.tensor([1.0, 2.0]), torch.tensor([-2.0, -3.0]), torch.tensor([4.0, 3.0]))
    tensor(0.6667)

    Args:
        patched: logit differences, (…, texts).
        corrupted: (texts,).
        clean: (texts,).

    Raises:
        ValueError: when clean and corrupted runs do not differ, so that there is nothing to recover.
    """
    low, high = corrupted.mean(-1), clean.mean(-1)
    if torch.isclose(low, high).any():
        raise ValueError(f"clean and corrupted runs must differ; both are {low.item():.3g}")
    return (patched.mean(-1) - low) / (high - low)
