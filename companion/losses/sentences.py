"""Objectives over pairs of text: does the second follow the first, and do the two stand in order?

Chapters: ``book/algorithms/bert.ipynb``, ``book/algorithms/bert_family.ipynb``. Sources: Devlin et al. 2019, "BERT",
section 3.1, task 2; Lan et al. 2020, "ALBERT", section 3.1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import padded, upcast
from companion.losses.cross_entropy import cross_entropy
from companion.losses.masked import mask_tokens

Sentences = Sequence[Sequence[int]]  # a document: its sentences, each a list of ids


class Pairs(NamedTuple):
    """Two parts of text in each row: ``[CLS] first [SEP] second [SEP]``.

    Attributes:
        inputs: (batch, length), padded with 0 at the end.
        token_type_ids: (batch, length), 0 up to the first ``[SEP]``, 1 after it, 0 on padding.
        attention_mask: boolean (batch, length), True = a real token.
        labels: (batch,), 0 = the second part follows the first, 1 = it does not.
    """

    inputs: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    labels: Tensor


class Pretraining(NamedTuple):
    """Pairs with hidden tokens: what BERT is trained on.

    Attributes:
        inputs: (batch, length).
        targets: (batch, length), ``IGNORED`` where nothing is asked.
        visible: boolean (batch, query, key).
        token_type_ids: (batch, length).
        labels: (batch,), of the pairs.
    """

    inputs: Tensor
    targets: Tensor
    visible: Tensor
    token_type_ids: Tensor
    labels: Tensor


def next_sentence_pairs(
    documents: Sequence[Sentences], *, cls_id: int, sep_id: int, generator: torch.Generator | None = None
) -> Pairs:
    """Cut each document in two between sentences; half of the time the second part is that of another document.

    Every second part is what follows a cut, whichever the label. So neither part alone gives the label away, only
    whether the two belong together.

    Args:
        documents: two or more, each of two sentences or more.
        cls_id: the token before the first part.
        sep_id: the token after each part.
        generator: draws; torch's global one when not given.

    Returns:
        one pair a document, label 0 = it follows, 1 = it is another's (as in BERT's release).

    Raises:
        ValueError: when there are fewer than two documents, or one has fewer than two sentences or an empty one.
    """
    if len(documents) < 2:
        raise ValueError(f"the second part of another document needs at least 2 of them; got {len(documents)}")
    parts = _cut(documents, generator)
    labels = _coins(len(parts), generator)
    step = torch.randint(1, len(parts), (len(parts),), generator=generator, device=_device(generator)).tolist()
    source = [(i + step[i] * label) % len(parts) for i, label in enumerate(labels)]
    return _framed([(parts[i][0], parts[j][1]) for i, j in enumerate(source)], labels, cls_id, sep_id)


def sentence_order_pairs(
    documents: Sequence[Sentences], *, cls_id: int, sep_id: int, generator: torch.Generator | None = None
) -> Pairs:
    """Cut each document in two between sentences; half of the time the two parts change places.

    Both parts are always of one document, so its topic gives nothing away (Lan et al. 2020).

    Args:
        documents: each of two sentences or more.
        cls_id: the token before the first part.
        sep_id: the token after each part.
        generator: draws; torch's global one when not given.

    Returns:
        one pair a document, label 0 = in order, 1 = swapped.

    Raises:
        ValueError: when there is no document, or one has fewer than two sentences or an empty one.
    """
    parts = _cut(documents, generator)
    labels = _coins(len(parts), generator)
    pairs = [pair[::-1] if label else pair for pair, label in zip(parts, labels, strict=True)]
    return _framed(pairs, labels, cls_id, sep_id)


def pretraining_batch(
    pairs: Pairs,
    *,
    mask_id: int,
    vocab_size: int,
    special_ids: Sequence[int] = (),
    mask_probability: float = 0.15,
    starts: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Pretraining:
    """Hide tokens in pairs; the arguments and errors are those of :func:`companion.losses.masked.mask_tokens`."""
    masked = mask_tokens(
        pairs.inputs,
        pairs.attention_mask,
        mask_id=mask_id,
        vocab_size=vocab_size,
        special_ids=special_ids,
        mask_probability=mask_probability,
        starts=starts,
        generator=generator,
    )
    return Pretraining(*masked, pairs.token_type_ids, pairs.labels)


def pretraining_loss(model: nn.Module, batch: Pretraining) -> Tensor:
    """Return ``L_MLM + L_NSP``, each a mean, in nats (Devlin et al. 2019, appendix A.2).

    Args:
        model: (ids, token_type_ids, attention_mask) -> (logits (batch, length, vocab), pair logits (batch, 2)).
        batch: pairs with hidden tokens.

    Raises:
        ValueError: when the model has no head for pairs.
    """
    logits, pair_logits = model(batch.inputs, batch.token_type_ids, batch.visible[:, 0])
    if pair_logits is None:
        raise ValueError(f"{type(model).__name__} has no head for pairs of sentences; train it with masked_loss")
    return cross_entropy(logits, batch.targets) + F.cross_entropy(upcast(pair_logits), batch.labels)


def _cut(documents: Sequence[Sentences], generator: torch.Generator | None) -> list[tuple[list[int], list[int]]]:
    """Each document in two parts of at least one sentence."""
    if not documents:
        raise ValueError("there must be at least one document")
    for i, document in enumerate(documents):
        if len(document) < 2 or not all(document):
            raise ValueError(f"each document must have at least 2 sentences, none of them empty; number {i} has not")
    places = torch.rand(len(documents), generator=generator, device=_device(generator)).tolist()
    cuts = [1 + int(place * (len(document) - 1)) for place, document in zip(places, documents, strict=True)]
    return [
        ([i for sentence in document[:cut] for i in sentence], [i for sentence in document[cut:] for i in sentence])
        for document, cut in zip(documents, cuts, strict=True)
    ]


def _coins(n: int, generator: torch.Generator | None) -> list[int]:
    return torch.randint(2, (n,), generator=generator, device=_device(generator)).tolist()


def _device(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device


def _framed(pairs: Sequence[tuple[list[int], list[int]]], labels: list[int], cls_id: int, sep_id: int) -> Pairs:
    inputs, real = padded([[cls_id, *first, sep_id, *second, sep_id] for first, second in pairs])
    begins = torch.tensor([len(first) + 2 for first, _ in pairs])
    second = real & (torch.arange(inputs.size(1)) >= begins[:, None])
    return Pairs(inputs, second.long(), real, torch.tensor(labels))
