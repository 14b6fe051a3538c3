"""Which layer learns when, and how fast: ways of fine-tuning the story BERT on one budget, and a sweep of rates.

    python benchmarks/unfreezing.py

The result goes to `benchmarks/results/unfreezing.json` and is shown by `book/algorithms/finetuning.ipynb`. The task is
to tag what each person does, from a few labelled sentences. Five seeds; each draws other labelled sentences, and other
new weights; all are tested on the same held-out sentences. The rates of the ways are from a coarse search on validation
sentences with one seed, one to three values each, on weights of the body from earlier in its pre-training. The sweep
tries each rate on the pre-trained body and on the same body from scratch, with the same optimizer, steps and sentences,
and asks after fine-tuning what is left of the old task.
"""

import math
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
from companion.metrics.entities import entity_report
from companion.models.bert import BertForPreTraining
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import VERSION, Story, World, views
from companion.storyworld.questionnaire import SPECIALS
from companion.training import Optimization, Runtime, fit
from companion.training.schedules import LearningRateMultiplier
from companion.zoo.recipes.storyworld_bert import HELD_OUT_SEED, mean_wrong

WORLD = World()
TOKENIZER = WORLD.tokenizer(SPECIALS)
ROLES = ["O", *sorted({f"B-{role}" for role in views.ROLES.values()})]
SENTENCES, STEPS, BATCH, TEST = 40, 100, 16, 400
RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)  # of the sweep
AT_ONCE = 2e-3  # for all layers at once; this and the rates below are from a coarse search on validation sentences
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}  # by seeds
OLD_STORIES = WORLD.stories(40, HELD_OUT_SEED)
WAYS: dict[str, tuple[float, Callable[[nn.Module], LearningRateMultiplier]]] = {
    "frozen features": (1e-1, frozen_features),
    "gradual unfreezing": (2e-3, lambda model: gradual_unfreezing(model, STEPS // 10)),
    "a rate for each layer": (2e-2, discriminative_rates),
    "gradual, a rate for each": (
        2e-2,
        lambda model: combined(gradual_unfreezing(model, STEPS // 10), discriminative_rates(model)),
    ),
}
RANKS = {"LoRA, rank 8": (8, 2e-2)}  # the rank and the rate


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


def run(way: str, rate: float, seed: int, test: Texts, *, fresh: bool = False) -> dict[str, float]:
    """Teach a body the task; return the score, what is left of the old task, and what it took.

    Args:
        way: of ``WAYS`` or ``RANKS``; any other name lets all layers train at one rate.
        rate: of learning, at its peak.
        seed: of the labelled sentences and of the new weights.
        test: what is judged by.
        fresh: begin the body anew.
    """
    whole, _ = zoo.load("storyworld-bert")
    torch.manual_seed(seed)
    if fresh:
        whole = BertForPreTraining(whole.config)
        sinusoidal_initialization(whole.bert)
    model = TokenClassifier(whole.bert, ROLES)
    own = WAYS[way][1](model) if way in WAYS else None
    if way in RANKS:
        add_lora(model, "query|value", rank=RANKS[way][0], alpha=2.0 * RANKS[way][0], also="classifier")
    train = Texts(SENTENCES, f"unfreezing/{seed}")
    history = fit(
        model,
        minibatches(train.rows, BATCH, seed),
        steps=STEPS,
        loss=tagging_loss,
        learning_rate=rate,
        optimization=Optimization(weight_decay=0.01, schedule="linear", lr_multiplier=own),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    learn = [p for name, p in model.named_parameters() if p.requires_grad and (own is None or own(name, STEPS))]
    found = {"F1": test.f1(model), "learn": sum(p.numel() for p in learn), "cpu_seconds": history.cpu_seconds}
    return found if fresh else found | {"old task": 1 - mean_wrong(whole.eval(), OLD_STORIES)}


def summed(runs: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, spread, and the half width of the 95 % interval of the mean, by Student's t."""
    found = report.summary(runs)
    for own in found.values():
        own["half"] = T_95[len(runs)] * own["sd"] / len(runs) ** 0.5 if len(runs) > 1 else math.nan
    return found


def one_seed(seed: int, test: Texts) -> dict[str, dict[str, float]]:
    """Every rate and every way with one seed."""
    found = {}
    for rate in RATES:
        found[f"pre-trained, {rate:g}"] = run("all layers at once", rate, seed, test)
        found[f"from scratch, {rate:g}"] = run("all layers at once", rate, seed, test, fresh=True)
    for way, (rate, _) in WAYS.items():
        found[way] = run(way, rate, seed, test)
    for way, (_, rate) in RANKS.items():
        found[way] = run(way, rate, seed, test)
    return found


def table_of(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """The table of the chapter, from one result a seed."""
    rows = {name: summed([one[name] for one in runs]) for name in runs[0]}
    sweep = {s: {f"{rate:g}": rows[f"{s}, {rate:g}"] for rate in RATES} for s in ("pre-trained", "from scratch")}
    rates = {way: rate for way, (rate, _) in WAYS.items()} | {way: rate for way, (_, rate) in RANKS.items()}
    ways = {"all layers at once": {"learning_rate": AT_ONCE} | sweep["pre-trained"][f"{AT_ONCE:g}"]}
    return {"ways": ways | {way: {"learning_rate": rate} | rows[way] for way, rate in rates.items()}, "rates": sweep}


def main() -> None:
    """Run every seed, and write the table after each."""
    given = report.arguments(__doc__)
    test = Texts(TEST, "unfreezing/test")
    untouched = 1 - mean_wrong(zoo.load("storyworld-bert")[0], OLD_STORIES)
    runs: list[dict[str, dict[str, float]]] = []
    for seed in range(given.seeds):
        runs.append(one_seed(seed, test))
        print(f"seed {seed}: " + "  ".join(f"{name} {one['F1']:.3f}" for name, one in runs[-1].items()), flush=True)
        report.write(
            "unfreezing",
            {
                "world": {"version": VERSION, "size": "small", "language": "en"},
                "labelled sentences": SENTENCES,
                "test sentences": TEST,
                "steps": STEPS,
                "batch": BATCH,
                "optimizer": "adamw",
                "seeds": list(range(seed + 1)),
                "old task, untouched": untouched,
                **table_of(runs),
            },
        )


if __name__ == "__main__":
    main()
