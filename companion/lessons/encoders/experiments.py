"""Experiments of the chapter on encoders: one body, pre-trained in four ways at equal compute, then fine-tuned.

Chapter: ``book/algorithms/encoders.ipynb``.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from companion.data.batch import IGNORED, padded
from companion.data.vocabulary import Vocabulary
from companion.losses.cross_entropy import cross_entropy
from companion.losses.masked import Masked, mask_tokens, masked_loss
from companion.losses.replaced import electra_loss
from companion.models.bert import Bert, BertConfig, BertForPreTraining
from companion.models.electra import Electra
from companion.nn.initialization import mimetic_initialization, sinusoidal_initialization
from companion.storyworld import Story, World
from companion.storyworld.views import sentences
from companion.training import Optimization, Runtime, fit

WORLD = World("small", language="en")
WORDS = Vocabulary([*WORLD.vocabulary, "[CLS]", "[SEP]", "[MASK]"])
CLS, SEP, MASK = WORDS.encode(["[CLS]", "[SEP]", "[MASK]"])
SPECIAL = (0, 1, CLS, SEP, MASK)
CONFIG = BertConfig.electra(vocab_size=len(WORDS), context_length=64, n_layers=2, n_heads=4, d_model=64)
PLACES = sorted({event.place for story in WORLD.stories(64) for event in story.statements if event.place})
SENTENCES = 6  # of a story, the first ones
WAYS = ("masked words", "replaced tokens", "replaced, chosen places alone")
TASKS = {"where": len(PLACES), "again": 2}  # where is the person at last, does she come again: task -> classes
FINE_TUNING_RATE = 3e-3  # AdamW's, the same after every way; chosen on another seed


def framed(stories: list[Story]) -> tuple[Tensor, Tensor]:
    """The first sentences of the stories as ``[CLS] text [SEP]``: ids and mask, both (stories, length).

    >>> ids, real = framed(WORLD.stories(1))
    >>> " ".join(WORDS.decode(ids[0, :7].tolist()))
    '[CLS] Jack is in the kitchen .'
    """
    tokens = ([token for said in sentences(story)[:SENTENCES] for token in said] for story in stories)
    return padded([[CLS, *WORDS.encode(text), SEP] for text in tokens])


def batches(size: int, seed: int) -> Iterator[Masked]:
    """New stories without end, masked as BERT does."""
    draw, number = torch.Generator().manual_seed(seed), 0
    while True:
        ids, real = framed(WORLD.stories(size, f"{seed}/{number}"))
        yield mask_tokens(ids, real, mask_id=MASK, vocab_size=len(WORDS), special_ids=SPECIAL, generator=draw)
        number += 1


def prepared(way: str, seed: int) -> tuple[nn.Module, Callable[[Any, Any], Tensor], Bert]:
    """A model that is to be trained in one of the ``WAYS``, its loss, and the body that is kept; equal first weights.

    >>> bodies = [prepared(way, seed=0)[2] for way in WAYS]
    >>> all(torch.equal(body.token_embedding.weight, bodies[0].token_embedding.weight) for body in bodies)
    True
    """
    torch.manual_seed(seed)
    found: tuple[nn.Module, Callable[[Any, Any], Tensor], Bert]
    if way == "masked words":
        reader = BertForPreTraining(CONFIG)
        found = reader, masked_loss, reader.bert
    else:
        pair, only = Electra(CONFIG), way != "replaced tokens"
        sinusoidal_initialization(pair.generator.bert)
        mimetic_initialization(pair.generator)
        found = pair, lambda model, batch: electra_loss(model, batch, chosen_only=only), pair.discriminator.bert
    torch.manual_seed(seed)
    sinusoidal_initialization(found[2])
    mimetic_initialization(found[2])
    return found


def step_flops(way: str) -> int:
    """FLOPs of a training step on a fixed batch, forward and backward, as torch counts them in matrix products."""
    model, loss, _ = prepared(way, seed=0)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        torch.autograd.backward(loss(model, next(batches(32, seed=0))))
    return int(counter.get_total_flops())


def pretrain(way: str, steps: int, seed: int, rate: float) -> tuple[Bert, float]:
    """A body pre-trained in one of the ``WAYS``, and the processor seconds of it."""
    model, loss, body = prepared(way, seed)
    history = fit(
        model,
        batches(32, seed),
        steps=steps,
        loss=loss,
        learning_rate=rate,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return body, history.cpu_seconds


def asked(n: int, seed: int | str) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Stories, their masks, and two labels at the first mention of each person: ``TASKS``.

    >>> ids, real, targets = asked(1, seed=0)
    >>> first = (targets["where"][0] != IGNORED).nonzero()[0, 0]
    >>> WORDS.tokens[ids[0, first]], PLACES[targets["where"][0, first]], bool(targets["again"][0, first])
    ('Jack', 'garden', True)
    """
    stories = WORLD.stories(n, seed)
    ids, real = framed(stories)
    targets = {task: torch.full_like(ids, IGNORED) for task in TASKS}
    for row, story in enumerate(stories):
        last = {event.subject: event.place for event in story.statements[:SENTENCES] if event.place}
        for name, place in last.items():
            mentions = (ids[row] == WORDS.number(name)).nonzero()[:, 0]
            targets["where"][row, mentions[0]] = PLACES.index(place)
            targets["again"][row, mentions[0]] = int(len(mentions) > 1)
    return ids, real, targets


def fine_tuned(body: Bert, labelled: int, steps: int, seed: int) -> dict[str, float]:
    """Accuracy on 400 held-out stories of a body that was fine-tuned on so many labelled ones; the body is changed."""
    ids, real, targets = asked(labelled, f"labelled/{seed}")
    torch.manual_seed(seed)
    heads = {task: nn.Linear(CONFIG.d_model, classes) for task, classes in TASKS.items()}
    model = nn.ModuleDict({"body": body, **heads})
    draw = torch.Generator().manual_seed(seed)

    def loss(model: Any, rows: Tensor) -> Tensor:
        hidden = model["body"](ids[rows], None, real[rows])
        losses = [cross_entropy(model[task](hidden), targets[task][rows]) for task in TASKS]
        return torch.stack(losses).sum()

    def some() -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(labelled, generator=draw).split(32)

    fit(
        model,
        some(),
        steps=steps,
        loss=loss,
        learning_rate=FINE_TUNING_RATE,
        optimization=Optimization("adamw", weight_decay=0.0, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    new, visible, right = asked(400, "held out")
    with torch.no_grad():
        hidden = body(new, None, visible)
        said = {task: heads[task](hidden).argmax(-1) for task in TASKS}
    return {task: (said[task] == of)[of != IGNORED].float().mean().item() for task, of in right.items()}
