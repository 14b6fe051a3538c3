"""A published model teaches small ones on real text: quality against cost over the sizes of the student.

    python benchmarks/distillation_reviews.py

The sentences are the film reviews of `benchmarks/reviews.py`, and so are the test and the draws of labels. `FEW` of a
seed's sentences are labelled. The teacher is MiniLM, frozen, with a logistic regression on those few labels. What it
says of the few, and of `UNLABELLED` more sentences, is what a student is taught with, in the place of labels. A student
is a BERT from random weights. At each size the student alone has the same initial weights, batch size, steps and
learning rate, and the labels that the teacher had. Of `RATES` the rate is the one that is best for the student alone,
of the size `TUNED`, by the mean of `TUNING` seeds on the validation sentences: the taught student takes it over and has
no choice of its own. Five seeds draw other sentences and other new weights. The result goes to
`benchmarks/results/distillation_reviews.json`, anew after each seed; what the file has is not computed again.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import report
import torch
from linear import fitted
from reviews import MODEL, Example, Frozen, Texts, by_text, config, descend, published, right
from torch import Tensor, nn

from companion.data import reviews
from companion.data.labelled import Labelled, minibatches
from companion.distillation.losses import soft_target_loss
from companion.finetuning.heads import SequenceClassifier
from companion.losses.classification import classification_loss, head_logits
from companion.metrics.classification import accuracy
from companion.metrics.confidence import interval
from companion.models.bert import Bert

FEW, UNLABELLED = 200, 1800
BATCH, STEPS = 32, 150
SIZES = ((1, 32), (2, 32), (1, 64), (2, 64))  # layers, width
TUNED = SIZES[-1]
TUNING = (100, 101, 102, 103, 104)  # seeds that the table does not have
RATES = (1e-3, 3e-3)
Loss = Callable[[nn.Module, Labelled], Tensor]


class Lesson:
    """A seed's sentences, and what the teacher says of them."""

    def __init__(self, frozen: Frozen, seed: int) -> None:
        """Draw the sentences; nobody has been asked yet."""
        self.seed, self.frozen = seed, frozen
        self.drawn = frozen.texts.drawn(FEW + UNLABELLED, seed)
        self.rows = frozen.texts.of(self.drawn)

    def ask_teacher(self) -> None:
        """Fit the teacher's head to the labels of the few, and ask it about all."""
        vectors = self.frozen.vectors("trained", self.drawn[:FEW])
        self.weights, self.bias = fitted(vectors, self.rows.labels[:FEW])
        self.said = self.asked(self.drawn)

    def asked(self, some: Sequence[Example]) -> Tensor:
        """The teacher's logits (sentences, labels)."""
        return self.frozen.vectors("trained", some) @ self.weights + self.bias

    def taught(self, how: str, size: tuple[int, int], rate: float) -> SequenceClassifier:
        """A student that has learned from the few "labels", or from the "teacher"; that is all they differ in."""
        n, targets, loss = self.labels() if how == "labels" else self.soft_targets()
        batches = minibatches(Labelled(*(column[:n] for column in self.rows[:3]), targets), BATCH, self.seed)
        return descend(student(size, self.seed), batches, STEPS, rate, loss)

    def labels(self) -> tuple[int, Tensor, Loss]:
        """The number of labelled sentences, their labels, and the loss that reads them."""
        return FEW, self.rows.labels[:FEW], classification_loss

    def soft_targets(self) -> tuple[int, Tensor, Loss]:
        """The number of all sentences, the number of each, and the loss that finds the teacher's word by it."""
        said = self.said

        def loss(model: nn.Module, batch: Labelled) -> Tensor:
            return soft_target_loss(head_logits(model, batch), said[batch.labels], temperature=1.0)

        return len(said), torch.arange(len(said)), loss


def student(size: tuple[int, int], seed: int) -> SequenceClassifier:
    """A BERT of this size, from random weights."""
    torch.manual_seed(seed)
    layers, width = size
    sizes = replace(config(), n_layers=layers, n_heads=width // 16, d_model=width, d_ff=4 * width, dropout=0.0)
    return SequenceClassifier(Bert(sizes), reviews.POLARITIES)


def name_of(how: str, size: tuple[int, int]) -> str:
    """How a row is called: labels, 2 x 64."""
    return f"{how}, {size[0]} x {size[1]}"


def chosen(frozen: Frozen) -> dict[str, Any]:
    """The rate that is best for the student alone on the validation sentences, with what each rate had."""
    judge, lessons = frozen.texts.of(frozen.texts.validation), [Lesson(frozen, seed) for seed in TUNING]
    tried = {rate: [right(lesson.taught("labels", TUNED, rate), judge) for lesson in lessons] for rate in RATES}
    return {"by rate": tried, "chosen": max(tried, key=lambda rate: sum(tried[rate]))}


def run(frozen: Frozen, seed: int, rate: float) -> dict[str, float]:
    """Every row of a seed: accuracy on the test sentences."""
    lesson, test = Lesson(frozen, seed), frozen.texts.of(frozen.texts.test)
    lesson.ask_teacher()
    found = {"teacher": accuracy(lesson.asked(frozen.texts.test).argmax(-1), test.labels)}
    for size in SIZES:
        for how in ("labels", "teacher"):
            found[name_of(how, size)] = right(lesson.taught(how, size, rate), test)
    return found


def costs(texts: Texts, rounds: int = 3) -> dict[str, dict[str, float]]:
    """Parameters, and processor milliseconds per sentence of a forward pass, side by side: the median of the rounds."""
    models = {"teacher": SequenceClassifier(published(), reviews.POLARITIES).eval()}
    models |= {f"{layers} x {width}": student((layers, width), 0).eval() for layers, width in SIZES}
    rows, seconds = texts.of(texts.test[:200]), {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            started = time.process_time()
            by_text(lambda batch, model=model: model(*batch[:3]), rows)
            seconds[name].append(time.process_time() - started)
    return {
        name: {
            "parameters": sum(p.numel() for p in model.parameters()),
            "milliseconds": 1000 * statistics.median(seconds[name]) / len(rows.labels),
        }
        for name, model in models.items()
    }


def table(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Mean and interval of each row, and of the differences that the chapter speaks of, seed by seed."""
    pairs = {name_of("taught", size): (name_of("teacher", size), name_of("labels", size)) for size in SIZES}
    pairs |= {name_of("room", size): ("teacher", name_of("labels", size)) for size in SIZES}
    return {
        "runs": runs,
        "mean": {name: interval([one[name] for one in runs])._asdict() for name in runs[0]},
        "paired": {
            name: interval([one[ours] - one[theirs] for one in runs])._asdict()
            for name, (ours, theirs) in pairs.items()
        },
    }


def main() -> None:
    """Choose the settings, run every seed that the file does not have, and write the table after each."""
    given = report.arguments(__doc__)
    path = report.RESULTS / "distillation_reviews.json"
    known = json.loads(path.read_text(encoding="utf8")) if path.exists() else {"runs": [], "seconds": []}
    frozen = Frozen(Texts())
    settings = known.get("settings") or chosen(frozen)
    print(settings, flush=True)
    cost = known.get("costs") or costs(frozen.texts)
    runs, seconds = known["runs"], known["seconds"]
    for seed in range(len(runs), given.seeds):
        started = time.process_time()
        runs.append(run(frozen, seed, settings["chosen"]))
        seconds.append(time.process_time() - started)
        print(seed, {name: round(value, 3) for name, value in runs[-1].items()}, flush=True)
        if not runs[1:]:  # an interval needs two
            continue
        sentences = {"few": FEW, "unlabelled": UNLABELLED, "test": len(frozen.texts.test)}
        report.write(
            "distillation_reviews",
            {
                "model": MODEL,
                "sentences": sentences,
                "batch": BATCH,
                "steps": STEPS,
                "settings": settings,
                "costs": cost,
                **table(runs),
                "seconds": seconds,
            },
        )


if __name__ == "__main__":
    main()
