"""Next-sentence prediction (BERT) and sentence-order prediction (ALBERT): binary classification of pairs of texts.

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
    """Batch of pairs of texts, in each row ``[CLS] first [SEP] second [SEP]``.

    Attributes:
        inputs: token ids (batch, length), padded with 0 at the end.
        token_type_ids: (batch, length), 0 up to the first ``[SEP]``, 1 after it, 0 on padding.
        attention_mask: boolean (batch, length), True = a real token.
        labels: (batch,), 0 = the second text follows the first, 1 = it does not.
    """

    inputs: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor
    labels: Tensor


class Pretraining(NamedTuple):
    """Batch for BERT's pre-training: pairs of texts with masked tokens.

    Attributes:
        inputs: token ids after masking, (batch, length).
        targets: original token at each chosen position, ``IGNORED`` elsewhere: (batch, length).
        visible: boolean (batch, query, key): every position attends to every real token.
        token_type_ids: segment of each token, (batch, length).
        labels: (batch,), see :class:`Pairs`.
    """

    inputs: Tensor
    targets: Tensor
    visible: Tensor
    token_type_ids: Tensor
    labels: Tensor


def next_sentence_pairs(
    documents: Sequence[Sentences], *, cls_id: int, sep_id: int, generator: torch.Generator | None = None
) -> Pairs:
    """Pairs for next-sentence prediction: each document cut in two; half of the second parts are another document's.

    Every second part is what follows a cut, whichever the label. So neither part alone gives the label away, only
    whether the two belong together.

    >>> pairs = next_sentence_pairs([[[5], [6]], [[7], [8]]], cls_id=1, sep_id=2)
    >>> pairs.inputs[:, :3]  # each first part: [CLS], its token, [SEP]
    tensor([[1, 5, 2],
            [1, 7, 2]])
    >>> bool(((pairs.inputs[:, 3] == torch.tensor([6, 8])) == (pairs.labels == 0)).all())  # label 0 = its own second
    True

    Args:
        documents: two documents or more, each a list of two sentences or more.
        cls_id: token before the first part.
        sep_id: token after each part.
        generator: source of randomness; torch's global one when not given.

    Returns:
        one pair per document, label 0 = is next, 1 = is random (as in BERT's release).

    Raises:
        ValueError: when there are fewer than two documents, or one has fewer than two sentences or an empty one.
    """
    if len(documents) < 2:
        raise ValueError(f"the second part of another document needs at least 2 of them; got {len(documents)}")
    parts = _cut(documents, generator)
    labels = _random_labels(len(parts), generator)
    step = torch.randint(1, len(parts), (len(parts),), generator=generator, device=_device(generator)).tolist()
    source = [(i + step[i] * label) % len(parts) for i, label in enumerate(labels)]
    return _with_special_tokens([(parts[i][0], parts[j][1]) for i, j in enumerate(source)], labels, cls_id, sep_id)


def sentence_order_pairs(
    documents: Sequence[Sentences], *, cls_id: int, sep_id: int, generator: torch.Generator | None = None
) -> Pairs:
    """Pairs for sentence-order prediction: each document cut in two; half of the pairs are swapped.

    Both parts are always of one document, so its topic gives nothing away (Lan et al. 2020).

    >>> pairs = sentence_order_pairs([[[5], [6]]], cls_id=1, sep_id=2)
    >>> bool((pairs.inputs[0, 1] == 5) == (pairs.labels[0] == 0))  # label 0 = in order
    True
    >>> pairs.token_type_ids
    tensor([[0, 0, 0, 1, 1]])

    Args:
        documents: lists of two sentences or more.
        cls_id: token before the first part.
        sep_id: token after each part.
        generator: source of randomness; torch's global one when not given.

    Returns:
        one pair per document, label 0 = in order, 1 = swapped.

    Raises:
        ValueError: when there is no document, or one has fewer than two sentences or an empty one.
    """
    parts = _cut(documents, generator)
    labels = _random_labels(len(parts), generator)
    pairs = [pair[::-1] if label else pair for pair, label in zip(parts, labels, strict=True)]
    return _with_special_tokens(pairs, labels, cls_id, sep_id)


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
    """Batch for BERT's pre-training: pairs with masked tokens.

    >>> pairs = sentence_order_pairs([[[5, 6], [7, 8]]], cls_id=1, sep_id=2)
    >>> batch = pretraining_batch(pairs, mask_id=3, vocab_size=9, special_ids=(0, 1, 2))
    >>> batch.inputs.shape, torch.equal(batch.labels, pairs.labels)
    (torch.Size([1, 7]), True)

    Arguments and errors are those of :func:`companion.losses.masked.mask_tokens`.
    """
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
    """BERT's pre-training loss ``L_MLM + L_NSP``, each a mean, in nats (Devlin et al. 2019, appendix A.2).

    >>> uniform = lambda ids, types, mask: (torch.zeros(*ids.shape, 9), torch.zeros(len(ids), 2))
    >>> pairs = sentence_order_pairs([[[5, 6], [7, 8]]], cls_id=1, sep_id=2)
    >>> batch = pretraining_batch(pairs, mask_id=3, vocab_size=9, special_ids=(0, 1, 2))
    >>> pretraining_loss(uniform, batch).exp()  # 9 tokens times 2 labels
    tensor(18.)

    Args:
        model: (ids, token_type_ids, attention_mask) -> (logits (batch, length, vocab), pair logits (batch, 2)).
        batch: pairs with masked tokens.

    Raises:
        ValueError: when the model has no head for pairs.
    """
    logits, pair_logits = model(batch.inputs, batch.token_type_ids, batch.visible[:, 0])
    if pair_logits is None:
        raise ValueError(f"{type(model).__name__} has no head for pairs of sentences; train it with masked_loss")
    return cross_entropy(logits, batch.targets) + F.cross_entropy(upcast(pair_logits), batch.labels)


def _cut(documents: Sequence[Sentences], generator: torch.Generator | None) -> list[tuple[list[int], list[int]]]:
    """Tokens of the two parts of each document, cut at a random boundary between sentences."""
    if not documents:
        raise ValueError("there must be at least one document")
    for i, document in enumerate(documents):
        if len(document) < 2 or not all(document):
            raise ValueError(f"each document must have at least 2 sentences, none of them empty; number {i} has not")
    drawn = torch.rand(len(documents), generator=generator, device=_device(generator)).tolist()
    cuts = [1 + int(u * (len(document) - 1)) for u, document in zip(drawn, documents, strict=True)]
    return [
        ([i for sentence in document[:cut] for i in sentence], [i for sentence in document[cut:] for i in sentence])
        for document, cut in zip(documents, cuts, strict=True)
    ]


def _random_labels(n: int, generator: torch.Generator | None) -> list[int]:
    return torch.randint(2, (n,), generator=generator, device=_device(generator)).tolist()


def _device(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device


def _with_special_tokens(
    pairs: Sequence[tuple[list[int], list[int]]], labels: list[int], cls_id: int, sep_id: int
) -> Pairs:
    inputs, real = padded([[cls_id, *first, sep_id, *second, sep_id] for first, second in pairs])
    begins = torch.tensor([len(first) + 2 for first, _ in pairs])
    second = real & (torch.arange(inputs.size(1)) >= begins[:, None])
    return Pairs(inputs, second.long(), real, torch.tensor(labels))
