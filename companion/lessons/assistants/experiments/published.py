"""Supervised fine-tuning of a published chat model with LoRA: answers of one word and a stop.

Chapter: ``book/algorithms/assistants.ipynb``; ``benchmarks/assistants_lora.py`` runs all of it.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from companion import zoo
from companion.data.batch import IGNORED
from companion.finetuning.grpo import write_answers
from companion.finetuning.lora import add_lora
from companion.generation import GREEDY
from companion.generation.in_context_learning import Pair
from companion.lessons.in_context_learning.experiments import TASKS
from companion.losses.causal import Completions, completions
from companion.losses.cross_entropy import cross_entropy
from companion.training import fit
from companion.training.settings import Optimization

NAME = "smollm2-135m"
STOP = "<|im_end|>"
ROOM = 16  # tokens of a reply, at most
BATCH = 6
STEPS = 16
RATE = 3e-3  # the best of three on another task: benchmarks/assistants_lora.py
LAYERS = r"blocks\.2\d\."  # all linear layers of the last ten of thirty blocks


def ask(task: str, given: str, shown: Sequence[Pair] = ()) -> str:
    """Chat in which one word is asked for, after other questions with their answers.

    Args:
        task: one of :data:`companion.lessons.in_context_learning.experiments.TASKS`.
        given: input of the task.
        shown: inputs and outputs of earlier turns.
    """
    question = TASKS[task].question
    turns = [
        {"role": role, "content": content}
        for x, y in shown
        for role, content in (("user", question.format(x)), ("assistant", y))
    ]
    return zoo.chat_text(NAME, [*turns, {"role": "user", "content": question.format(given)}])


def demonstrations(tokenizer: Tokenizer, task: str, pairs: Sequence[Pair], seed: int) -> Iterator[Completions]:
    """Batches of chats with answers of one word and the end of the turn, without end; each pair once in each round."""
    stop, draw = _stop(tokenizer), random.Random(seed)
    waiting: list[Pair] = []
    while True:
        while len(waiting) < BATCH:
            waiting += draw.sample(pairs, len(pairs))
        some, waiting = waiting[:BATCH], waiting[BATCH:]
        prompts = [tokenizer.encode(ask(task, x)).ids for x, _ in some]
        yield completions(prompts, [[*tokenizer.encode(y).ids, stop] for _, y in some])


def reply_loss(model: Any, batch: Completions) -> Tensor:
    """:func:`companion.losses.causal.completion_loss` with logits only where there is a target.

    The logits are as much work as eight of the thirty layers, and one place in fifteen has a target.
    """
    targets = batch.targets != IGNORED
    return cross_entropy(model.output(model.states(batch.inputs)[targets]), batch.targets[targets])


def adapted(task: str, pairs: Sequence[Pair], seed: int, *, steps: int = STEPS, rate: float = RATE) -> Any:
    """The published model after supervised fine-tuning with LoRA; nothing below the adapters needs a gradient.

    Args:
        task: what is asked.
        pairs: inputs with the answers to learn.
        seed: of the order of the pairs, and of the adapters.
        steps: of the optimizer.
        rate: learning rate at its peak.
    """
    model, tokenizer = zoo.load(NAME)
    torch.manual_seed(seed)
    add_lora(model, LAYERS, rank=8, alpha=16.0)
    fit(
        model,
        demonstrations(tokenizer, task, pairs, seed),
        steps=steps,
        loss=reply_loss,
        learning_rate=rate,
        optimization=Optimization(weight_decay=0.0),
        progress=False,
    )
    return model


class Answered(NamedTuple):
    """Replies to the held-out questions of a task, as fractions.

    Attributes:
        right: the reply is the right word and the end, nothing else.
        mentioned: the right word is somewhere in it.
        short: the reply is one word or two and the end, right or not.
    """

    right: float
    mentioned: float
    short: float


def replies(
    model: nn.Module, tokenizer: Tokenizer, task: str, shown: Sequence[Pair] = (), *, first: int | None = None
) -> list[str]:
    """Likeliest replies to the held-out questions of a task, the mark of the end included where it was written.

    Args:
        model: the published model, adapted or not.
        tokenizer: its tokenizer.
        task: what is asked.
        shown: inputs and outputs of earlier turns.
        first: number of questions, from the first; all when not given.
    """
    prompts = [tokenizer.encode(ask(task, given, shown)).ids for given, _ in TASKS[task].test[:first]]
    written = write_answers(model, prompts, ROOM, _stop(tokenizer), GREEDY)
    return [tokenizer.decode(row, skip_special_tokens=False) for row in written]


def judge(task: str, written: Sequence[str]) -> Answered:
    """Fractions over the replies to the first held-out questions of a task, as many as there are replies.

    >>> judge("capital", ["Rome<|im_end|>", "The capital is Madrid.<|im_end|>", "Paris<|im_end|>", "I do not"])
    Answered(right=0.25, mentioned=0.5, short=0.5)
    """
    n = len(written)
    rights = [right for _, right in TASKS[task].test[:n]]
    return Answered(
        sum(text == f"{right}{STOP}" for text, right in zip(written, rights, strict=True)) / n,
        sum(right.lower() in text.lower() for text, right in zip(written, rights, strict=True)) / n,
        sum(text.endswith(STOP) and len(text.split()) <= 2 for text in written) / n,
    )


def _stop(tokenizer: Tokenizer) -> int:
    (number,) = tokenizer.encode(STOP).ids
    return int(number)
