"""What copied layers give a student, and what a teacher's words give it, each measured alone and both together.

    python benchmarks/distillation.py

The task is that of `book/algorithms/distillation.ipynb`: who does what in a story. The teacher is the story BERT, of 4
layers, fine-tuned on `MANY` labelled stories; a student has 2 layers and `FEW` of them. All students begin alike, with
the weights of `positional_initialization`, as the teacher did before its pre-training. Half of them then get the
teacher's embeddings, every second of its layers and its head: *copied*. Each of the two starts is crossed with five
losses: the labels alone, and four ways to be taught. All ten read the same stories in the same order for as many steps,
and each has its settings chosen among three (`TRIES`) on the validation stories of a seed of its own. The ways whose
tries are of temperature and weight have the rate and the dropout that the labels chose from the same start.

Beside them: the usual random start, which such comparisons often give the student alone; the first layers copied;
`UNLABELLED` more stories, with their labels and with the teacher's word in their place; and four rows with `LONGER`
steps. Each of the five seeds draws other stories and other new weights, and fine-tunes its own teacher. The result goes
to `benchmarks/results/distillation.json`, anew after each seed.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import report
import torch
from torch import Tensor
from tuning import score

from companion import zoo
from companion.data.labelled import Tagged, minibatches, tagged
from companion.distillation.distiller import Distiller
from companion.distillation.losses import distilbert_loss, hinton_loss, pkd_loss, tinybert_loss
from companion.distillation.student import every_second, initialise_from, skip_layers
from companion.finetuning.heads import TokenClassifier
from companion.losses.classification import tagging_loss
from companion.metrics.confidence import interval
from companion.models.bert import Bert
from companion.nn.initialization import positional_initialization
from companion.storyworld import VERSION, Story, World
from companion.storyworld.questionnaire import SPECIALS
from companion.storyworld.tasks import split
from companion.storyworld.views import ROLES, tags
from companion.training import Optimization, Runtime, fit

BERT = "storyworld-bert"
WORLD = World()
TOKENIZER = WORLD.tokenizer(SPECIALS)
NAMES = ["O", *sorted({f"B-{role}" for role in ROLES.values()})]
OFFSETS = (1, 2, 3, 4)  # of the first heads, as in the teacher's recipe
FEW, MANY, UNLABELLED, VALIDATION, TEST = 30, 300, 300, 60, 200  # stories
BATCH, TEACHER_STEPS = 8, 150
LONGER = 200  # steps
TUNING = 100  # the seed on which settings are chosen
EVERY_SECOND = every_second(4)
FIRST = (1, 2)
Settings = dict[str, Any]
RATE = 3e-3
RATES: list[Settings] = [
    {"rate": rate, "dropout": dropout} for rate, dropout in ((RATE, 0.0), (2 * RATE, 0.0), (RATE, 0.1))
]
TRIES: dict[str, list[Settings]] = {
    "labels": RATES,
    "Hinton": [{"temperature": t, "alpha": alpha} for t, alpha in ((1.0, 0.9), (2.0, 0.5), (4.0, 0.9))],
    "DistilBERT": [{"temperature": t} for t in (1.0, 2.0, 4.0)],
    "PKD": [{"temperature": t, "beta": beta} for t, beta in ((1.0, 1.0), (2.0, 10.0), (4.0, 1.0))],
    "TinyBERT": RATES,
}
LOSSES: dict[str, Callable[..., Tensor]] = {
    "Hinton": hinton_loss,
    "DistilBERT": distilbert_loss,
    "PKD": pkd_loss,
    "TinyBERT": tinybert_loss,
}
STARTS = {"new": (), "copied": EVERY_SECOND}


def encoded(stories: Sequence[Story]) -> Tagged:
    """The stories as the model reads them, with each word's role."""
    pairs = [tags(story, "role") for story in stories]
    encodings = [TOKENIZER.encode([word for word, _ in text], is_pretokenized=True) for text in pairs]
    return tagged(encodings, [[tag for _, tag in text] for text in pairs], NAMES)


def headed(body: Bert) -> TokenClassifier:
    """A tagger on a body, without the pooler that it does not read."""
    body.pooler = None
    return TokenClassifier(body, NAMES)


class Class:
    """A seed's stories and its teacher, which train students."""

    def __init__(self, seed: int, steps: int) -> None:
        """Draw the stories, and fine-tune the teacher on those with labels."""
        self.seed, self.steps = seed, steps
        drawn = split(WORLD, MANY + UNLABELLED, VALIDATION, TEST, seed)
        self.all, self.validation, self.test = map(encoded, (drawn.train, drawn.validation, drawn.test))
        self.many, self.few = (Tagged(*(column[:n] for column in self.all)) for n in (MANY, FEW))
        self.all = Tagged(*(torch.cat([column[:FEW], column[MANY:]]) for column in self.all))
        torch.manual_seed(seed)
        self.teacher = headed(Bert.from_pretrained(zoo.folder(BERT)))
        self.train(self.teacher, tagging_loss, self.many, TEACHER_STEPS, 4e-3, "muon")

    def train(
        self,
        model: TokenClassifier,
        loss: Callable[..., Tensor],
        rows: Tagged,
        steps: int,
        rate: float,
        optimizer: str = "adamw",
    ) -> None:
        """Train a model on these rows."""
        fit(
            model,
            minibatches(rows, BATCH, self.seed),
            steps=steps,
            loss=loss,
            learning_rate=rate,
            optimization=Optimization(optimizer, weight_decay=0.01, schedule="linear"),
            runtime=Runtime(device="cpu", seed=self.seed),
            progress=False,
        )

    def student(self, copied: Sequence[int], usual: bool, dropout: float) -> TokenClassifier:
        """A new student, with the teacher's embeddings, head and these layers where some are named."""
        torch.manual_seed(1000 + self.seed)
        model = headed(Bert(replace(self.teacher.config, n_layers=2, dropout=dropout)))
        if not usual:
            positional_initialization(model.bert, OFFSETS)
        if copied:
            initialise_from(model, self.teacher, copied)
        return model

    def taught(
        self,
        method: str,
        settings: Settings,
        copied: Sequence[int] = (),
        usual: bool = False,
        rows: Tagged | None = None,
    ) -> TokenClassifier:
        """A student that has learned by a method with these settings."""
        own = dict(settings)
        rate, dropout = own.pop("rate", RATE), own.pop("dropout", 0.0)
        if method in ("PKD", "TinyBERT"):
            own["layers"] = skip_layers(2, self.teacher.config.n_layers)
        own |= {"stage": "task"} if method == "TinyBERT" else {}
        loss: Any = tagging_loss if method == "labels" else Distiller(self.teacher, LOSSES[method], **own)
        model = self.student(copied, usual, dropout)
        self.train(model, loss, rows or self.few, self.steps, rate)
        return model


def tuned(steps: int) -> dict[str, Settings]:
    """The settings of each row that are best on validation, all on one seed that the table does not have."""
    group = Class(TUNING, steps)
    chosen = {}
    for start, copied in STARTS.items():
        for method in TRIES:
            tries = [chosen.get(f"{start}, labels", {}) | one for one in TRIES[method]]
            tried = [
                (score(group.taught(method, one, copied), group.validation), -number)
                for number, one in enumerate(tries)
            ]
            chosen[f"{start}, {method}"] = tries[-max(tried)[1]]
            print(f"{start}, {method}:", [round(value, 3) for value, _ in tried], flush=True)
    return chosen


def run(group: Class, chosen: dict[str, Settings]) -> dict[str, float]:
    """Every row of a seed for a student of two layers, F1 on its test stories."""
    found = {"teacher": score(group.teacher, group.test)}

    def row(name: str, method: str, settings: Settings, *args: Any, **how: Any) -> None:
        found[name] = score(group.taught(method, settings, *args, **how), group.test)

    row("usual, labels", "labels", chosen["new, labels"], usual=True)
    for start, copied in STARTS.items():
        for method in TRIES:
            row(f"{start}, {method}", method, chosen[f"{start}, {method}"], copied)
    row("first layers, labels", "labels", chosen["copied, labels"], FIRST)
    row("more, labels", "labels", chosen["new, labels"], rows=group.all)
    row("more, taught", "Hinton", chosen["new, Hinton"] | {"alpha": 1.0}, rows=group.all)
    return found


def longer(group: Class, chosen: dict[str, Settings]) -> dict[str, float]:
    """Four of the rows, with the same settings and more steps."""
    group.steps = LONGER
    found = {}
    for name in ("new, labels", "new, TinyBERT", "copied, labels", "copied, TinyBERT"):
        start, method = name.split(", ")
        found[name] = score(group.taught(method, chosen[name], STARTS[start]), group.test)
    return found


def speed(group: Class, rounds: int = 9) -> dict[str, dict[str, float]]:
    """Parameters, and texts per second of a core in one forward pass, side by side: the median of the rounds."""
    models = {"teacher": group.teacher, "student": group.student((), False, 0.0)}
    batches = [Tagged(*(column[start : start + 50] for column in group.test)) for start in range(0, TEST, 50)]
    rates: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            started = time.process_time()
            with torch.no_grad():
                for batch in batches:
                    model.eval()(batch.inputs, batch.token_type_ids, batch.attention_mask)
            rates[name].append(TEST / (time.process_time() - started))
    return {
        name: {
            "parameters": sum(p.numel() for p in model.parameters()),
            "texts per second": statistics.median(rates[name]),
            "times as fast": statistics.median(a / b for a, b in zip(rates[name], rates["teacher"], strict=True)),
        }
        for name, model in models.items()
    }


def paired(runs: Sequence[dict[str, float]], one: str, other: str) -> list[float]:
    """Mean difference of two rows, seed by seed, and its 95 % interval."""
    return list(interval([run[one] - run[other] for run in runs]))


def table(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Mean and interval of each row, and the differences that the chapter speaks of."""
    pairs = {
        "as often quoted": ("copied, DistilBERT", "usual, labels"),
        "positional start": ("new, labels", "usual, labels"),
        "copied layers": ("copied, labels", "new, labels"),
        "first layers": ("first layers, labels", "new, labels"),
        "first for every second": ("first layers, labels", "copied, labels"),
        "new: room": ("teacher", "new, labels"),
        "copied: room": ("teacher", "copied, labels"),
        "more taught": ("more, taught", "new, labels"),
        "more: labels over teacher": ("more, labels", "more, taught"),
    }
    pairs |= {f"{start}: {method}": (f"{start}, {method}", f"{start}, labels") for start in STARTS for method in LOSSES}
    return summed(runs, pairs)


def summed(runs: list[dict[str, float]], pairs: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Mean and interval of each row, and of the difference of each pair of rows, seed by seed."""
    return {
        "runs": runs,
        "mean": {name: list(interval([run[name] for run in runs])) for name in runs[0]},
        "paired": {name: paired(runs, *pair) for name, pair in pairs.items()},
    }


def table_of_longer(runs: list[dict[str, float]]) -> dict[str, Any]:
    """The same of the rows with more steps."""
    pairs = {
        "copied layers": ("copied, labels", "new, labels"),
        "new: TinyBERT": ("new, TinyBERT", "new, labels"),
        "copied: TinyBERT": ("copied, TinyBERT", "copied, labels"),
        "words over layers": ("new, TinyBERT", "copied, labels"),
    }
    return {"steps": LONGER, **summed(runs, pairs)}


def result_of(
    steps: int, chosen: dict[str, Settings], runs: list[dict[str, float]], others: list[dict[str, float]]
) -> dict[str, Any]:
    """Everything that was found so far, with what it was found on."""
    stories = {"few": FEW, "many": MANY, "unlabelled": UNLABELLED, "validation": VALIDATION, "test": TEST}
    return {
        "world": {"version": VERSION, "size": "small", "language": "en"},
        "seeds": list(range(len(runs))),
        "stories": stories | {"batch": BATCH},
        "steps": steps,
        "tries": {method: len(tries) for method, tries in TRIES.items()},
        "chosen": chosen,
        **table(runs),
        "longer": table_of_longer(others) if others[1:] else {},
    }


def main() -> None:
    """Choose the settings, run every seed, then some rows for longer, and write the table."""
    given = report.arguments(__doc__, steps=100)
    started = time.process_time()
    chosen = tuned(given.steps)
    groups: list[Class] = []
    runs: list[dict[str, float]] = []
    others: list[dict[str, float]] = []

    def write() -> None:
        costs = {"speed": speed(groups[0]), "cpu_seconds": time.process_time() - started}
        report.write("distillation", result_of(given.steps, chosen, runs, others) | costs)

    for seed in range(given.seeds):
        groups.append(Class(seed, given.steps))
        runs.append(run(groups[-1], chosen))
        print(f"seed {seed}: " + "  ".join(f"{k} {v:.3f}" for k, v in runs[-1].items()), flush=True)
        if seed:  # an interval needs two
            write()
    for group in groups:
        others.append(longer(group, chosen))
        print("  ".join(f"{k} {v:.3f}" for k, v in others[-1].items()), flush=True)
        if others[1:]:
            write()


if __name__ == "__main__":
    main()
