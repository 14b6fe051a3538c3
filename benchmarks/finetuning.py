"""What pre-training is worth, in labels: the story GPT against the same model from scratch, and against counting.

    python benchmarks/finetuning.py

The result goes to `benchmarks/results/finetuning.json` and is shown by `book/concepts/transfer.ipynb`. Five seeds; each
draws other labelled stories, and other new weights. All are tested on the same held-out stories. The settings come
from short trials on other stories, one seed each: two or three rates for the pre-trained model and for the one from
scratch, one for LoRA and one for the frozen head. Both models get as many steps, so the one from scratch is not trained
until it can do no more.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import report
from tuning import Setting, learned, score

from companion import zoo
from companion.data.labelled import Labelled, labelled
from companion.metrics.confidence import interval
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.storyworld import GENRES, VERSION, Event, Story, World, tasks
from companion.storyworld.language import say

GPT = "storyworld-en"
WORLD = World()
TOKENIZER = WORLD.tokenizer()
STORIES, TEST = 2400, 1000  # of each seed, and of the test


class Data(NamedTuple):
    """Texts with their labels, for a network and for counting.

    Attributes:
        rows: numbers for the network.
        texts: words.
        labels: of each text.
    """

    rows: Labelled
    texts: list[tuple[str, ...]]
    labels: list[str]


def claims(stories: Sequence[Story]) -> list[tasks.Example]:
    """The pairs of people of :func:`tasks.meeting`, asked about by two statements instead of the known question."""
    examples = []
    for story in stories:
        for example in tasks.meeting([story]):
            one, other = example.parts[1][1], example.parts[1][3]
            events = [Event("be", person, place=story.end.place[one]) for person in (one, other)]
            claim = [token for event in events for token in say(event, story.world.language)]
            examples.append(tasks.Example((*example.parts[0], *claim), example.label, len(claim)))
    return examples


TEXTS: dict[str, tuple[Callable[[Sequence[Story]], list[tasks.Example]], list[str]]] = {
    "together": (tasks.meeting, ["no", "yes"]),
    "together, not asked": (lambda stories: tasks.meeting(stories, with_question=False), ["no", "yes"]),
    "together, claimed": (claims, ["no", "yes"]),
    "genre": (tasks.genre, list(GENRES)),
}


def data_of(task: str, stories: Sequence[Story], n: int | None = None) -> Data:
    """The first ``n`` labelled texts of a task, all without ``n``."""
    make, known = TEXTS[task]
    examples = make(stories)[:n]
    if n and len(examples) < n:
        raise ValueError(f"{n} labels were asked for; {len(stories)} stories have {len(examples)}")
    encodings = [TOKENIZER.encode(list(example.tokens), is_pretokenized=True) for example in examples]
    labels = [example.label for example in examples]
    return Data(labelled(encodings, labels, known), [example.tokens for example in examples], labels)


def bayes(train: Data, test: Data) -> float:
    """Accuracy of naive Bayes, which knows words and no order."""
    return NaiveBayes(train.texts, train.labels).accuracy(test.texts, test.labels)


class Cell(NamedTuple):
    """What is measured over all seeds: a task, how it is learned, and from how many labelled texts."""

    task: str
    method: str
    n: int


def steps_of(n: int) -> int:
    """Steps of 16 texts: about 30 times over few texts, and fewer times over many."""
    return next(steps for most, steps in STEPS.items() if n <= most)


STEPS = {10: 40, 25: 60, 50: 100, 100: 120, 300: 150, 1000: 250}
SETTINGS = {
    ("together", "pre-trained"): Setting(5e-4, 0),
    ("together", "scratch"): Setting(1e-3, 0),
    ("together", "LoRA"): Setting(5e-3, 0),
    ("together", "frozen"): Setting(1e-2, 300),
    ("genre", "pre-trained"): Setting(3e-3, 0),
    ("genre", "scratch"): Setting(3e-3, 0),
}


def setting_of(cell: Cell) -> Setting:
    """The setting of a cell; where it names no steps, they follow from the number of texts."""
    found = SETTINGS[cell.task.split(",")[0], cell.method]
    return found if found.steps else replace(found, steps=steps_of(cell.n))


def measured(cell: Cell, stories: Sequence[Story], test: Data, seed: int, folder: Path) -> dict[str, float]:
    """Learn once and return the score on the test and the processor seconds of the training."""
    train = data_of(cell.task, stories, cell.n)
    if cell.method == "naive Bayes":
        return {"score": bayes(train, test), "cpu_seconds": 0.0}
    model, seconds = learned(cell.method, folder, train.rows, TEXTS[cell.task][1], setting_of(cell), seed)
    return {"score": score(model, test.rows), "cpu_seconds": seconds}


def cells() -> list[Cell]:
    """All that is measured."""
    asked = [Cell("together", method, 100) for method in ("naive Bayes", "frozen", "pre-trained", "scratch", "LoRA")]
    asked += [Cell("together, not asked", method, 100) for method in ("naive Bayes", "frozen", "pre-trained")]
    asked += [Cell("together, claimed", method, 100) for method in ("naive Bayes", "frozen", "pre-trained")]
    asked += [Cell("genre", method, n) for n in (25, 100) for method in ("naive Bayes", "pre-trained", "scratch")]
    asked += [Cell("together", method, n) for n in LABELS for method in ("naive Bayes", "frozen", "pre-trained")]
    asked += [Cell("together", "LoRA", n) for n in LABELS]
    asked += [Cell("together", "scratch", n) for n in LABELS]
    return list(dict.fromkeys(asked))


LABELS = (10, 25, 50, 100, 300, 1000)


def main() -> None:
    """Run every cell over all seeds, and write the table after each."""
    given = report.arguments(__doc__)
    drawn = [tasks.split(WORLD, STORIES, 0, 0, f"finetuning/{seed}").train for seed in range(given.seeds)]
    seen = {story.events for stories in drawn for story in stories}
    held_out = [story for story in WORLD.stories(TEST, "finetuning/test") if story.events not in seen]
    tests = {task: data_of(task, held_out) for task in TEXTS}
    table: dict[str, Any] = {
        "world": {"version": VERSION, "size": "small", "language": "en"},
        "model": GPT,
        "seeds": list(range(given.seeds)),
        "tested on": {task: len(test.texts) for task, test in tests.items()},
        "settings": {" / ".join(key): asdict(one) for key, one in SETTINGS.items()},
        "steps by labels": STEPS,
        "results": [],
    }
    for cell in cells():
        runs = [measured(cell, own, tests[cell.task], seed, zoo.folder(GPT)) for seed, own in enumerate(drawn)]
        scores = [run["score"] for run in runs]
        row = cell._asdict() | interval(scores)._asdict() | {"scores": scores}
        row["cpu_seconds"] = statistics.fmean(run["cpu_seconds"] for run in runs)
        table["results"].append(row)
        print(f"{cell.task:>20} {cell.method:>12} {cell.n:5}: {row['mean']:.3f} {row['low']:.3f} {row['high']:.3f}")
        report.write("finetuning", table)


if __name__ == "__main__":
    main()
