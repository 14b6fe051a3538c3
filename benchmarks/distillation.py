"""What distillation is worth: four methods, next to the same student alone, with few labels and with many.

    python benchmarks/distillation.py

The task is that of `book/algorithms/distillation.ipynb`: who does what in a story. The teacher is the story BERT, of 4
layers, fine-tuned on 500 labelled stories; a student has 2. Where labels are few, the students have 100 of these
stories, and where they are many, all of them. Each of the five seeds draws other stories, for training, validation and
test, and other new weights. All students of a table take as many steps of as many stories, and each keeps the weights
that were best on the same validation stories. The student alone is trained with each of `ALONE` and keeps the best of
them, on validation, seed by seed. The result goes to `benchmarks/results/distillation.json`, anew after each seed.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import report
import torch
from torch import nn
from tuning import score

from companion import zoo
from companion.data.labelled import Tagged, minibatches, tagged
from companion.distillation.distiller import Distiller
from companion.distillation.losses import distilbert_loss, hinton_loss, pkd_loss, tinybert_loss
from companion.distillation.student import Student, every_second, initialise_from, last_layers, skip_layers
from companion.finetuning.heads import TokenClassifier
from companion.losses.classification import tagging_loss
from companion.metrics.confidence import interval
from companion.models.bert import Bert
from companion.nn.initialization import mimetic_initialization, sinusoidal_initialization
from companion.storyworld import VERSION, Story, World
from companion.storyworld.questionnaire import SPECIALS
from companion.storyworld.tasks import Split, split
from companion.storyworld.views import ROLES, tags
from companion.training import Evaluation, Optimization, Runtime, fit

BERT = "storyworld-bert"
WORLD = World()
TOKENIZER = WORLD.tokenizer(SPECIALS)
NAMES = ["O", *sorted({f"B-{role}" for role in ROLES.values()})]
FEW, MANY = 100, 500  # labelled stories
BATCH, VALIDATION, TEST, UNLABELLED = 10, 40, 400, 500  # stories
EVERY = 50  # steps from one look at the validation stories to the next
RATE, TEACHER_STEPS = 3e-3, 400
ALONE = ((1e-3, 0.0, 0.01), (3e-3, 0.0, 0.01), (3e-3, 0.1, 0.1), (6e-3, 0.1, 0.1))  # rate, dropout, weight decay


def encoded(stories: Sequence[Story]) -> Tagged:
    """The stories as the model reads them, with each word's role."""
    pairs = [tags(story, "role") for story in stories]
    encodings = [TOKENIZER.encode([word for word, _ in text], is_pretokenized=True) for text in pairs]
    return tagged(encodings, [[tag for _, tag in text] for text in pairs], NAMES)


@dataclass
class Class:
    """A seed's stories, its teacher, and how long a student learns."""

    stories: Split
    seed: int
    steps: int

    def __post_init__(self) -> None:
        """Encode the stories, and fine-tune the teacher on all that are labelled."""
        self.train, self.validation, self.test = map(
            encoded, (self.stories.train, self.stories.validation, self.stories.test)
        )
        body = Bert.from_pretrained(zoo.folder(BERT))
        body.pooler = None
        torch.manual_seed(self.seed)
        self.teacher = TokenClassifier(body, NAMES)
        self.learn(self.teacher, tagging_loss, rate=4e-3, optimizer="muon", steps=TEACHER_STEPS)

    def learn(
        self,
        model: Any,
        loss: Callable[..., torch.Tensor],
        rows: Tagged | None = None,
        rate: float = RATE,
        decay: float = 0.01,
        optimizer: str = "adamw",
        steps: int | None = None,
    ) -> tuple[float, float]:
        """Train a model; return its F1 on the validation and on the test stories."""
        kept: TokenClassifier = getattr(model, "model", model)
        history = fit(
            model,
            minibatches(rows or self.train, BATCH, self.seed),
            steps=steps or self.steps,
            loss=loss,
            learning_rate=rate,
            optimization=Optimization(optimizer, weight_decay=decay, schedule="linear"),
            # so patient that it never stops early, and keeps the best weights
            evaluation=Evaluation(lambda _: 1 - score(kept, self.validation), every=EVERY, patience=10_000),
            runtime=Runtime(device="cpu", seed=self.seed),
            progress=False,
        )
        return 1 - min(value for _, value in history.evaluations), score(kept, self.test)

    def student(self, *, layers: Sequence[int] = (), d_model: int = 64, dropout: float = 0.0) -> TokenClassifier:
        """A new student of two layers, with the teacher's ``layers`` where some are named."""
        torch.manual_seed(1000 + self.seed)
        config = replace(self.teacher.config, n_layers=2, d_model=d_model, d_ff=None, dropout=dropout)
        model = TokenClassifier(Bert(config), NAMES)
        sinusoidal_initialization(model.bert)
        mimetic_initialization(model)
        model.bert.pooler = None
        if layers:
            initialise_from(model, self.teacher, layers)
        return model

    def alone(self) -> float:
        """The student without a teacher, with the setting of ``ALONE`` that is best on validation."""
        found = []
        for rate, dropout, decay in ALONE:
            found.append(self.learn(self.student(dropout=dropout), tagging_loss, rate=rate, decay=decay))
        return max(found)[1]

    def taught(self, model: nn.Module, loss: Callable[..., torch.Tensor], **how: Any) -> float:
        """The student with a method; ``rate`` and ``rows`` go to :meth:`learn`, the rest to the method."""
        own = {name: how.pop(name) for name in ("rate", "rows") if name in how}
        return self.learn(model, Distiller(self.teacher, loss, **how), **own)[1]

    @property
    def unlabelled(self) -> list[Story]:
        """Stories whose roles nobody has told."""
        return WORLD.stories(UNLABELLED, f"unlabelled/{self.seed}")


def few(group: Class) -> dict[str, float]:
    """All methods and controls, where labels are few."""
    skip, last, second, first = skip_layers(2, 4), last_layers(2, 4), every_second(4), (1, 2)
    group.train = Tagged(*(column[:FEW] for column in group.train))
    more = encoded([*group.stories.train[:FEW], *group.unlabelled])  # `hinton_loss` with alpha = 1 reads no label
    narrow = group.student(d_model=32)
    return {
        "teacher": score(group.teacher, group.test),
        "alone": group.alone(),
        "start 1, 3": group.learn(group.student(layers=second), tagging_loss)[1],
        "start 1, 2": group.learn(group.student(layers=first), tagging_loss)[1],
        "Hinton": group.taught(group.student(), hinton_loss),
        "DistilBERT": group.taught(group.student(layers=second), distilbert_loss),
        "DistilBERT, 1, 2": group.taught(group.student(layers=first), distilbert_loss),
        "PKD-skip": group.taught(group.student(layers=first), pkd_loss, layers=skip),
        "PKD-last": group.taught(group.student(layers=first), pkd_loss, layers=last),
        "TinyBERT": group.taught(group.student(), tinybert_loss, layers=skip, stage="task"),
        "TinyBERT, narrow": group.taught(Student(narrow, 64), tinybert_loss, layers=skip, stage="task"),
        "Hinton, unlabelled": group.taught(group.student(), hinton_loss, rows=more, alpha=1.0),
    }


def many(group: Class) -> dict[str, float]:
    """The student alone and two methods, where it has all the labels that the teacher had."""
    return {
        "teacher": score(group.teacher, group.test),
        "alone": group.alone(),
        "Hinton": group.taught(group.student(), hinton_loss),
        "TinyBERT": group.taught(group.student(), tinybert_loss, layers=skip_layers(2, 4), stage="task"),
    }


def speed(group: Class, rounds: int = 9) -> dict[str, dict[str, float]]:
    """Parameters, and texts a second of a core in one forward pass, side by side: the median of the rounds."""
    models = {"teacher": group.teacher, "student": group.student(), "narrow": group.student(d_model=32)}
    batches = [Tagged(*(column[start : start + 50] for column in group.test)) for start in range(0, 200, 50)]
    rates: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            started = time.process_time()
            with torch.no_grad():
                for batch in batches:
                    model.eval()(batch.inputs, batch.token_type_ids, batch.attention_mask)
            rates[name].append(200 / (time.process_time() - started))
    return {
        name: {
            "parameters": sum(p.numel() for p in model.parameters()),
            "texts a second": statistics.median(rates[name]),
            "times as fast": statistics.median(a / b for a, b in zip(rates[name], rates["teacher"], strict=True)),
        }
        for name, model in models.items()
    }


def summed(runs: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and 95 % interval of each row, of its difference from the student alone, and of its share of the teacher."""
    rows = {}
    for name in runs[0]:
        views = {
            "": [run[name] for run in runs],
            "gain_": [run[name] - run["alone"] for run in runs],
            "kept_": [run[name] / run["teacher"] for run in runs],
        }
        rows[name] = {
            prefix + end: value
            for prefix, values in views.items()
            for end, value in zip(("mean", "low", "high"), interval(values), strict=True)
        }
    return rows


def main() -> None:
    """Run every seed in both regimes, and write the table."""
    given = report.arguments(__doc__, steps=300)
    started = time.process_time()
    runs: dict[str, list[dict[str, float]]] = {"few": [], "many": []}
    for seed in range(given.seeds):
        group = Class(split(WORLD, MANY, VALIDATION, TEST, seed), seed, given.steps)
        for name, rows in (("many", many), ("few", few)):
            runs[name].append(rows(group))
            print(f"{name}, seed {seed}: " + "  ".join(f"{k} {v:.3f}" for k, v in runs[name][-1].items()), flush=True)
        if seed:  # an interval needs two
            report.write("distillation", table(runs, group, time.process_time() - started))


def table(runs: dict[str, list[dict[str, float]]], group: Class, seconds: float) -> dict[str, Any]:
    """All that was found so far."""
    stories = {"few": FEW, "many": MANY, "batch": BATCH, "validation": VALIDATION, "test": TEST}
    return {
        "world": {"version": VERSION, "size": "small", "language": "en"},
        "seeds": list(range(len(runs["few"]))),
        "stories": stories | {"unlabelled": UNLABELLED},
        "steps": group.steps,
        "alone tries": len(ALONE),
        **{name: {"runs": own, "summary": summed(own)} for name, own in runs.items()},
        "speed": speed(group),
        "cpu_seconds": seconds,
    }


if __name__ == "__main__":
    main()
