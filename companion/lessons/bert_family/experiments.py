"""Experiments of the chapter on the BERT family: what they read, how it is dealt out, and how answers are scored.

Chapter: ``book/algorithms/bert_family.ipynb``.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from companion.data.batch import IGNORED, padded
from companion.data.batching import length_buckets
from companion.data.vocabulary import Vocabulary
from companion.losses.masked import Masked, mask_tokens
from companion.losses.sentences import Pairs, Pretraining, pretraining_batch
from companion.metrics.confidence import Interval, interval
from companion.models.bert import BertConfig, BertForPreTraining
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import Story, World
from companion.storyworld.views import sentences

Document = list[list[int]]  # its sentences, each as token ids
Pairing = Callable[..., Pairs]  # such as companion.losses.sentences.next_sentence_pairs

WORLD = World("small")
VOCABULARY = Vocabulary([*WORLD.vocabulary, "[CLS]", "[SEP]", "[MASK]"])
CLS, SEP, MASK = VOCABULARY.encode(["[CLS]", "[SEP]", "[MASK]"])
MASKING: dict[str, Any] = {"mask_id": MASK, "vocab_size": len(VOCABULARY), "special_ids": (0, 1, CLS, SEP)}
FRAME = {"cls_id": CLS, "sep_id": SEP}
POINTERS, HOPS = 6, 3  # of pointer chasing


def documents(stories: Sequence[Story]) -> list[Document]:
    """Stories as documents: each a list of sentences, each sentence a list of token ids.

    >>> [len(sentence) for sentence in documents(WORLD.stories(1))[0]][:2]
    [6, 6]
    """
    return [[VOCABULARY.encode(sentence) for sentence in sentences(story)] for story in stories]


def framed(docs: Sequence[Document]) -> tuple[Tensor, Tensor]:
    """Documents as one row each, ``[CLS] text [SEP]``: token ids and a mask of the real ones, both (batch, length)."""
    return padded([[CLS, *(i for sentence in doc for i in sentence), SEP] for doc in docs])


def batches(docs: Sequence[Document], pairing: Pairing | None = None, seed: int = 0) -> Iterator[Masked | Pretraining]:
    """Batches of 16 documents without end, masked anew each time; as pairs of parts where a pairing is given.

    Args:
        docs: documents.
        pairing: how a document becomes a pair of segments; whole documents in one segment when not given.
        seed: seed of the order, the pairs and the masks.
    """
    draw = torch.Generator().manual_seed(seed)
    for rows in length_buckets([sum(map(len, doc)) for doc in docs], 16, seed):
        some = [docs[i] for i in rows]
        if pairing is None:
            yield mask_tokens(*framed(some), **MASKING, generator=draw)
        else:
            yield pretraining_batch(pairing(some, **FRAME, generator=draw), **MASKING, generator=draw)


def repeated(masks: Sequence[Masked], seed: int = 0) -> Iterator[Masked]:
    """Static masking: batches of 16 rows of these masks without end, each epoch the rows of the next one."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        for one in masks:
            for rows in torch.randperm(len(one.inputs), generator=draw).split(16):
                yield Masked(*(part[rows] for part in one))


def pointer_chasing(n: int, draw: torch.Generator) -> Masked:
    """Pointer chasing, a task whose depth is known: n rows of pointers, then masks for where each leads after k hops.

    A row holds ``POINTERS`` random pointers: the token at position i is f(i). After them stand ``HOPS`` groups of as
    many masks; the target at position i of group k is f applied k times to i. With 6 pointers there are 6^6 rows, too
    many for a small model to know them by heart; of the 120 that are one cycle, a single layer does.

    >>> batch = pointer_chasing(1, torch.Generator().manual_seed(0))
    >>> pointers, answers = batch.inputs[0, :POINTERS], batch.targets[0, POINTERS:].view(HOPS, POINTERS)
    >>> bool((answers[0] == pointers).all()), bool((answers[1] == pointers[pointers]).all())
    (True, True)

    Returns:
        inputs and targets (n, POINTERS * (1 + HOPS)); the mask token has the number ``POINTERS``.
    """
    pointers = torch.randint(POINTERS, (n, POINTERS), generator=draw)
    answers = [pointers]
    for _ in range(HOPS - 1):
        answers.append(pointers.gather(1, answers[-1]))
    asked = torch.cat(answers, 1)
    inputs = torch.cat([pointers, torch.full_like(asked, POINTERS)], 1)
    targets = torch.cat([torch.full_like(pointers, IGNORED), asked], 1)
    return Masked(inputs, targets, torch.ones(n, 1, inputs.size(1), dtype=torch.bool).expand(-1, inputs.size(1), -1))


def new_model(config: BertConfig, seed: int = 0) -> BertForPreTraining:
    """Model with new weights, its position embeddings initialised as sinusoids."""
    torch.manual_seed(seed)
    model = BertForPreTraining(config)
    sinusoidal_initialization(model.bert)
    return model


@torch.no_grad()
def accuracy(model: BertForPreTraining, batch: Masked | Pretraining) -> float:
    """Fraction of the masked tokens that the model predicts right."""
    device = next(model.parameters()).device
    batch = type(batch)(*(part.to(device) for part in batch))
    logits, _ = model.eval()(batch.inputs, batch.token_type_ids, batch.visible[:, 0])
    asked = batch.targets != IGNORED
    right: float = (logits.argmax(-1) == batch.targets)[asked].float().mean().item()
    return right


def reading_time(model: BertForPreTraining, batch: Masked) -> float:
    """Processor seconds for reading 100 rows, the least of a few runs."""
    return least_seconds(accuracy, model, Masked(*(part[:100] for part in batch)))


@torch.no_grad()
def least_seconds(function: Callable[..., object], *inputs: Any, runs: int = 4) -> float:
    """Processor seconds of a call, the least of a few runs: the least disturbed.

    >>> least_seconds(sum, range(9)) >= 0
    True
    """
    times = []
    for _ in range(runs):
        started = time.process_time()
        function(*inputs)
        times.append(time.process_time() - started)
    return min(times)


def counted(docs: Sequence[Document], batch: Masked) -> dict[str, float]:
    """Accuracy of two baselines without a network on the masked tokens of a batch.

    Returns:
        "neighbours": the token that stood most often between these two in the documents; "frequent": the most frequent
        token.
    """
    seen, real = framed(docs)
    n, inner = len(VOCABULARY), real[:, 2:]
    between = torch.zeros(n, n, n)  # (left, right, middle)
    triples = seen[:, :-2][inner], seen[:, 2:][inner], seen[:, 1:-1][inner]
    between.index_put_(triples, torch.tensor(1.0), accumulate=True)
    row, place = (batch.targets != IGNORED).nonzero(as_tuple=True)
    answers = batch.targets[row, place]
    guess = between[batch.inputs[row, place - 1], batch.inputs[row, place + 1]].argmax(-1)
    return {
        "neighbours": (guess == answers).float().mean().item(),
        "frequent": (answers == triples[2].bincount().argmax()).float().mean().item(),
    }


def lead(ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], measure: str) -> Interval:
    """95 % interval of the mean difference of two models' runs in a measure, paired by seed."""
    return interval([one[measure] - other[measure] for one, other in zip(ours, theirs, strict=True)])
