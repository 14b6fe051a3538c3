"""What pre-training is worth on two small tasks, apart from the initialization: the story BERT, begun three ways.

    python benchmarks/initial_weights.py

The result goes to `benchmarks/results/initial_weights.json`, for `book/algorithms/finetuning.ipynb`. The tasks are that
chapter's: who gave, from 160 labels, and what each person does, from 40 labelled sentences. A body has its pre-trained
weights, or random ones with the initialization that its pre-training began with, or random ones with the usual one. All
three get the same labels, optimizer and steps, and the same learning rates; of these each keeps, seed by seed, the one
that is best on the same validation examples. Five seeds; each draws other labels and other new weights; the test
examples are the same. Of the pre-trained body it is asked, too, what the tags leave of its old task.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import report
import torch
from tuning import Model, score
from unfreezing import OLD_STORIES, ROLES, TOKENIZER, WORLD, Texts

from companion import zoo
from companion.data.labelled import Labelled, Tagged, labelled, minibatches
from companion.finetuning.heads import SequenceClassifier, TokenClassifier
from companion.losses.classification import classification_loss, tagging_loss
from companion.metrics.confidence import interval
from companion.models.bert import Bert, BertForPreTraining
from companion.nn.initialization import positional_initialization, sinusoidal_initialization
from companion.storyworld import VERSION, tasks
from companion.training import Optimization, Runtime, fit
from companion.zoo.recipes.storyworld_bert import RECIPES, mean_wrong

BERT = "storyworld-bert"
ANSWERS = ("gives", "gets")
BATCH, VALIDATION, TEST = 16, 200, 400
INITIAL_WEIGHTS: dict[str, Callable[[Bert], None] | None] = {
    "pre-trained": None,
    "from scratch, same initialization": lambda bert: positional_initialization(bert, RECIPES[BERT].offsets),
    "from scratch": sinusoidal_initialization,
}


def giver(n: int, seed: str) -> Labelled:
    """Sentences with the label of the person who is named at the end."""
    examples = tasks.giver(WORLD.stories(4 * n, seed))[:n]
    encodings = [TOKENIZER.encode(list(example.tokens), is_pretokenized=True) for example in examples]
    return labelled(encodings, [example.label for example in examples], ANSWERS)


def roles(n: int, seed: str) -> Tagged:
    """Sentences with a tag for each word."""
    return Texts(n, seed).rows


@dataclass(frozen=True)
class Task:
    """A task: its head and loss, its examples by number and seed, how many are labelled, the steps and the rates."""

    head: Callable[[Bert], Model]
    loss: Any
    examples: Callable[[int, str], Labelled | Tagged]
    labelled: int
    steps: int
    rates: tuple[float, ...]


def read_giver(bert: Bert) -> SequenceClassifier:
    """The head that says who gave, at [CLS]."""
    return SequenceClassifier(bert, ANSWERS, "cls")


def read_roles(bert: Bert) -> TokenClassifier:
    """The head that says what each person does."""
    return TokenClassifier(bert, ROLES)


TASKS = {
    "giver": Task(read_giver, classification_loss, giver, 160, 160, (1e-3, 2e-3, 4e-3)),
    "roles": Task(read_roles, tagging_loss, roles, 40, 100, (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)),
}


def begun(weights: str) -> BertForPreTraining:
    """The story BERT with some of ``INITIAL_WEIGHTS``."""
    trained, _ = zoo.load(BERT)
    initialize = INITIAL_WEIGHTS[weights]
    if initialize is None:
        return trained
    fresh = BertForPreTraining(trained.config)
    initialize(fresh.bert)
    return fresh


def run(task: Task, weights: str, rate: float, seed: int, rows: Sequence[Labelled | Tagged]) -> dict[str, float]:
    """Teach a body a task once; return the score on validation and test, and of tags what is left of the old task.

    Args:
        task: of ``TASKS``.
        weights: of ``INITIAL_WEIGHTS``.
        rate: of learning, at its peak.
        seed: of the new weights and of the order.
        rows: to learn from, for validation and for the test.
    """
    train, validation, test = rows
    torch.manual_seed(seed)
    whole = begun(weights)
    torch.manual_seed(seed)  # the new head is the same for all of them
    model = task.head(whole.bert)
    fit(
        model,
        minibatches(train, BATCH, seed),
        steps=task.steps,
        loss=task.loss,
        learning_rate=rate,
        optimization=Optimization(weight_decay=0.01, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    found = {"validation": score(model, validation), "test": score(model, test)}
    if isinstance(test, Tagged) and INITIAL_WEIGHTS[weights] is None:
        found["old task"] = 1 - mean_wrong(whole.eval(), OLD_STORIES)
    return found


def summed(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """The table of some weights, from one result per seed and rate: by rate, and with the rate chosen by validation."""
    rates = {rate: [one[rate] for one in runs] for rate in runs[0]}
    best = [max(one, key=lambda rate: one[rate]["validation"]) for one in runs]
    by_rate = {rate: {name: [one[name] for one in own] for name in own[0]} for rate, own in rates.items()}
    scores = [one[rate]["test"] for one, rate in zip(runs, best, strict=True)]
    return {"by rate": by_rate, "chosen": best, "scores": scores, **interval(scores)._asdict()}


def main() -> None:
    """Run every task from all initial weights over all seeds, and write the table after each."""
    given = report.arguments(__doc__)
    table: dict[str, Any] = {
        "world": {"version": VERSION, "size": "small", "language": "en"},
        "seeds": list(range(given.seeds)),
        "labelled": {name: task.labelled for name, task in TASKS.items()},
        "steps": {name: task.steps for name, task in TASKS.items()},
        "batch": BATCH,
        "optimizer": "adamw",
        "old task, untouched": 1 - mean_wrong(zoo.load(BERT)[0], OLD_STORIES),
    }
    for name, task in TASKS.items():
        judges = [task.examples(n, f"starts/{which}") for which, n in (("validation", VALIDATION), ("test", TEST))]
        drawn = [task.examples(task.labelled, f"starts/{seed}") for seed in range(given.seeds)]
        table[name] = {}
        for weights in INITIAL_WEIGHTS:
            runs = [
                {f"{rate:g}": run(task, weights, rate, seed, (train, *judges)) for rate in task.rates}
                for seed, train in enumerate(drawn)
            ]
            own = table[name][weights] = summed(runs)
            print(f"{name} {weights}: {own['mean']:.3f} {own['low']:.3f} {own['high']:.3f}, rates {own['chosen']}")
            report.write("initial_weights", table)


if __name__ == "__main__":
    main()
