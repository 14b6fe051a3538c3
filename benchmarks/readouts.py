"""Where a head reads, and from which body: [CLS], BERT's pooler as it was trained and a new one, a GPT's last token.

    python benchmarks/readouts.py

The question is whether the person named at the end of a sentence gives or gets. Neither body has read it: the GPT was
pre-trained on stories with other questions behind them, the BERT on gaps in stories and in answers. All rows get the
same labels, optimizer, batches and steps, and the same three learning rates; of these each keeps, seed by seed, the one
that is best on the same validation examples. Five seeds; each draws other labels and other new weights; the test
examples are the same. The two poolers differ in their numbers alone. The two bodies differ in more than their kind: in
size, in the texts of their pre-training and in how it began. The result goes to `benchmarks/results/readouts.json`,
for `book/algorithms/finetuning.ipynb`, anew after each seed; what the file has is not computed again.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import report
import torch
from initial_weights import ANSWERS, BATCH, TEST, VALIDATION, WORLD, giver
from tuning import Model, score

from companion import zoo
from companion.data.labelled import Labelled, labelled, minibatches
from companion.finetuning.gpt_classifier import GPTClassifier
from companion.finetuning.heads import SequenceClassifier
from companion.losses.classification import classification_loss
from companion.metrics.confidence import interval
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.storyworld import VERSION, tasks
from companion.training import Optimization, Runtime, fit

BERT, GPT = "storyworld-bert", "storyworld-en"
RATES = (5e-4, 1e-3, 2e-3)
LABELS, STEPS = 60, 80


def pooled(*, new: bool) -> SequenceClassifier:
    """A head on the story BERT's pooler, with the numbers that pre-training left it or with new ones."""
    body = zoo.load(BERT)[0].bert
    if new:
        body.pooler = None  # the head makes another
    return SequenceClassifier(body, ANSWERS, "pooled")


READOUTS: dict[str, Callable[[], Model]] = {
    "BERT, [CLS]": lambda: SequenceClassifier(zoo.load(BERT)[0].bert, ANSWERS, "cls"),
    "BERT, its pooler": lambda: pooled(new=False),
    "BERT, a new pooler": lambda: pooled(new=True),
    "GPT, last token": lambda: GPTClassifier(zoo.load(GPT)[0], ANSWERS),
}
PAIRS = {
    "trained pooler over new pooler": ("BERT, its pooler", "BERT, a new pooler"),
    "[CLS] over new pooler": ("BERT, [CLS]", "BERT, a new pooler"),
    "BERT over GPT": ("BERT, [CLS]", "GPT, last token"),
}


def for_gpt(n: int, seed: str) -> Labelled:
    """The same sentences as :func:`initial_weights.giver` gives BERT, as the GPT reads them."""
    examples = tasks.giver(WORLD.stories(4 * n, seed))[:n]
    tokenizer = zoo.load(GPT)[1]
    encodings = [tokenizer.encode(list(example.tokens), is_pretokenized=True) for example in examples]
    return labelled(encodings, [example.label for example in examples], ANSWERS)


def learned(readout: str, rate: float, seed: int, rows: Sequence[Labelled]) -> dict[str, float]:
    """Teach one readout once; the scores on validation and test."""
    train, validation, test = rows
    torch.manual_seed(seed)
    model = READOUTS[readout]()
    fit(
        model,
        minibatches(train, BATCH, seed),
        steps=STEPS,
        loss=classification_loss,
        learning_rate=rate,
        optimization=Optimization(weight_decay=0.01, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return {"validation": score(model, validation), "test": score(model, test)}


def run(seed: int) -> dict[str, dict[str, Any]]:
    """Every readout with the rate that is best on validation, and naive Bayes, which counts words."""
    draws = ((LABELS, f"starts/{seed}"), (VALIDATION, "starts/validation"), (TEST, "starts/test"))
    rows = {"BERT": [giver(*draw) for draw in draws], "GPT": [for_gpt(*draw) for draw in draws]}
    found: dict[str, dict[str, Any]] = {}
    for readout in READOUTS:
        tried = [learned(readout, rate, seed, rows[readout.split(",")[0]]) | {"rate": rate} for rate in RATES]
        found[readout] = max(tried, key=lambda one: one["validation"])
    train, _, test = (tasks.giver(WORLD.stories(4 * n, of))[:n] for n, of in draws)
    bayes = NaiveBayes([one.tokens for one in train], [one.label for one in train])
    found["naive Bayes"] = {"test": bayes.accuracy([one.tokens for one in test], [one.label for one in test])}
    return found


def table(runs: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """What is found so far: each readout's scores, and the differences of pairs, seed by seed."""
    scores = {name: [one[name]["test"] for one in runs] for name in runs[0]}
    bodies = {"BERT": zoo.load(BERT)[0].bert, "GPT": zoo.load(GPT)[0]}
    pairs = {
        name: [a - b for a, b in zip(scores[one], scores[other], strict=True)] for name, (one, other) in PAIRS.items()
    }
    return {
        "world": {"version": VERSION, "size": "small", "language": "en"},
        "parameters": {name: sum(p.numel() for p in body.parameters()) for name, body in bodies.items()},
        "labelled": LABELS,
        "test": TEST,
        "steps": STEPS,
        "batch": BATCH,
        "rates": RATES,
        "runs": runs,
        "mean": {name: interval(own)._asdict() for name, own in scores.items()},
        "paired": {name: interval(own)._asdict() for name, own in pairs.items()},
    }


def main() -> None:
    """Run every seed that the file does not have, and write the table."""
    given = report.arguments(__doc__)
    path = report.RESULTS / "readouts.json"
    runs = json.loads(path.read_text(encoding="utf8"))["runs"] if path.exists() else []
    for seed in range(len(runs), given.seeds):
        runs.append(run(seed))
        print(seed, {name: round(one["test"], 3) for name, one in runs[-1].items()}, flush=True)
        if runs[1:]:  # an interval needs two
            report.write("readouts", table(runs))


if __name__ == "__main__":
    main()
