"""Which layer learns when, and how fast: ways of fine-tuning the story BERT on one budget.

    python benchmarks/unfreezing.py

The result goes to `benchmarks/results/unfreezing.json` and is shown by `book/algorithms/finetuning.ipynb`. The task is
to tag what each person does, from a few labelled sentences. Five seeds; each draws other labelled sentences, and other
new weights; all are tested on the same held-out sentences. Every way has the same steps, and three learning rates, each
twice the one before; of these it keeps, seed by seed, the one that is best on the same validation sentences.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import report
import torch
from torch import nn

from companion import zoo
from companion.data.labelled import Tagged, minibatches, tagged
from companion.finetuning.heads import TokenClassifier
from companion.finetuning.layer_rates import (
    combined,
    discriminative_rates,
    frozen_features,
    gradual_unfreezing,
)
from companion.finetuning.lora import add_lora
from companion.finetuning.predictions import predict, predicted_tags
from companion.losses.classification import tagging_loss
from companion.metrics.confidence import interval
from companion.metrics.entities import entity_report
from companion.storyworld import VERSION, Story, World, views
from companion.storyworld.questionnaire import SPECIALS
from companion.training import Optimization, Runtime, fit
from companion.training.schedules import LearningRateMultiplier
from companion.zoo.recipes.storyworld_bert import HELD_OUT_SEED, mean_wrong

WORLD = World()
TOKENIZER = WORLD.tokenizer(SPECIALS)
ROLES = ["O", *sorted({f"B-{role}" for role in views.ROLES.values()})]
SENTENCES, STEPS, BATCH, VALIDATION, TEST = 40, 100, 16, 200, 400
OLD_STORIES = WORLD.stories(40, HELD_OUT_SEED)
Way = Callable[[nn.Module], LearningRateMultiplier | None]


def all_layers(model: nn.Module) -> None:
    """Every layer learns at the same rate."""


def lora(model: nn.Module) -> None:
    """Adapters of rank 8 beside the queries and values learn, and the head."""
    add_lora(model, "query|value", rank=8, alpha=16.0, also="classifier")


def gradual(model: nn.Module) -> LearningRateMultiplier:
    """The head learns first, and every tenth of the steps the next layer below as well."""
    return gradual_unfreezing(model, STEPS // 10)


WAYS: dict[str, tuple[float, Way]] = {  # the lowest of three rates, each twice the one before
    "all layers at once": (1e-3, all_layers),
    "frozen features": (5e-2, frozen_features),
    "gradual unfreezing": (1e-3, gradual),
    "a rate for each layer": (1e-2, discriminative_rates),
    "gradual, a rate for each": (1e-2, lambda model: combined(gradual(model), discriminative_rates(model))),
    "LoRA, rank 8": (1e-2, lora),
}


class Texts:
    """Sentences with a tag for each word, for the network and for the score."""

    def __init__(self, n: int, seed: str) -> None:
        """Draw ``n`` sentences, each from another story, encode the words, and line the tags up with them."""
        draw = random.Random(seed)
        events = [draw.choice(story.statements) for story in WORLD.stories(n, seed)]
        pairs = [views.tags(Story(WORLD, (event,), ""), "role") for event in events]
        self.encodings = [TOKENIZER.encode([word for word, _ in text], is_pretokenized=True) for text in pairs]
        self.tags = [[tag for _, tag in text] for text in pairs]
        self.rows: Tagged = tagged(self.encodings, self.tags, ROLES)

    def f1(self, model: TokenClassifier) -> float:
        """Micro F1 of the entities that the model finds."""
        said = predicted_tags(predict(model, self.rows), self.encodings, ROLES)
        return entity_report(said, self.tags).micro.f1


def run(way: Way, rate: float, seed: int, judges: Sequence[Texts]) -> dict[str, float]:
    """Teach the story BERT the task; return the scores, what is left of the old task, and what it took.

    Args:
        way: of ``WAYS``.
        rate: of learning, at its peak.
        seed: of the labelled sentences and of the new weights.
        judges: validation and test.
    """
    whole, _ = zoo.load("storyworld-bert")
    torch.manual_seed(seed)
    model = TokenClassifier(whole.bert, ROLES)
    own = way(model)
    history = fit(
        model,
        minibatches(Texts(SENTENCES, f"unfreezing/{seed}").rows, BATCH, seed),
        steps=STEPS,
        loss=tagging_loss,
        learning_rate=rate,
        optimization=Optimization(weight_decay=0.01, schedule="linear", lr_multiplier=own),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    learn = [p for name, p in model.named_parameters() if p.requires_grad and (own is None or own(name, STEPS))]
    return {
        "validation": judges[0].f1(model),
        "F1": judges[1].f1(model),
        "old task": 1 - mean_wrong(whole.eval(), OLD_STORIES),
        "learn": sum(p.numel() for p in learn),
        "cpu_seconds": history.cpu_seconds,
    }


def tuned(name: str, seed: int, judges: Sequence[Texts]) -> dict[str, float]:
    """The run of a way with the rate that is best on validation."""
    lowest, way = WAYS[name]
    runs = [run(way, rate, seed, judges) | {"learning_rate": rate} for rate in (lowest * 2**i for i in range(3))]
    return max(runs, key=lambda one: one["validation"])


def main() -> None:
    """Run every way over all seeds, and write the table after each."""
    given = report.arguments(__doc__)
    judges = [Texts(n, f"unfreezing/{which}") for which, n in (("validation", VALIDATION), ("test", TEST))]
    table: dict[str, Any] = {
        "world": {"version": VERSION, "size": "small", "language": "en"},
        "labelled sentences": SENTENCES,
        "validation sentences": VALIDATION,
        "test sentences": TEST,
        "steps": STEPS,
        "batch": BATCH,
        "optimizer": "adamw",
        "seeds": list(range(given.seeds)),
        "old task, untouched": 1 - mean_wrong(zoo.load("storyworld-bert")[0], OLD_STORIES),
        "ways": {},
    }
    for name in WAYS:
        runs = [tuned(name, seed, judges) for seed in range(given.seeds)]
        columns = {what: [one[what] for one in runs] for what in runs[0]}
        table["ways"][name] = {what: {**interval(own)._asdict(), "scores": own} for what, own in columns.items()}
        print(f"{name}: " + " ".join(f"{value:.3f}" for value in columns["F1"]), flush=True)
        report.write("unfreezing", table)


if __name__ == "__main__":
    main()
