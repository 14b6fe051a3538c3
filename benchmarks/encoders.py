"""Replaced tokens or masked words: the same body pre-trained on each at equal compute, then fine-tuned, five seeds.

    python benchmarks/encoders.py

Bodies, stories and tasks are those of `companion/lessons/encoders/experiments.py`. All ways have the same first weights
of the body, the same batches in the same order, and as many FLOPs as `--steps` steps of masked language modelling, as
torch counts them; the processor seconds stand beside. "Replaced, chosen places alone" is the control: the same
generator and the same discriminator, whose loss counts the masked places only. Each way chooses its learning rate from
`RATES` on a seed that the table does not have. Measured: accuracy on held-out stories after fine-tuning on `LABELLED`
others, at the first mention of each person: where is she at last, and does she come again? Two rows are no
pre-training: the first weights, fine-tuned alike, and the rule that everybody stays where they were first.
"""

from typing import Any

import report

from companion.lessons.encoders.experiments import (
    SENTENCES,
    TASKS,
    WAYS,
    WORLD,
    asked,
    fine_tuned,
    prepared,
    pretrain,
    step_flops,
)
from companion.metrics.confidence import interval
from companion.storyworld import VERSION

RATES = (4e-3, 1e-2)
LABELLED, FINE_TUNING, CHOOSING = 400, 100, 100  # stories, steps, and the seed on which rates are chosen


def first_place() -> float:
    """Accuracy of the rule that everybody stays where they were first."""
    right = total = 0
    for story in WORLD.stories(400, "held out"):
        where: dict[str, list[str]] = {}
        for event in story.statements[:SENTENCES]:
            if event.place:
                where.setdefault(event.subject, []).append(event.place)
        right += sum(places[0] == places[-1] for places in where.values())
        total += len(where)
    return right / total


def main() -> None:
    """Choose the rates, run every way with every seed, and write the table anew after each."""
    given = report.arguments(__doc__, steps=200)
    flops = {way: step_flops(way) for way in WAYS}
    steps = {way: round(given.steps * flops[WAYS[0]] / flops[way]) for way in WAYS}

    def run(way: str, seed: int, rate: float) -> dict[str, float]:
        body, seconds = pretrain(way, steps[way], seed, rate)
        return fine_tuned(body, LABELLED, FINE_TUNING, seed) | {"cpu_seconds": seconds}

    choice = {way: {str(rate): run(way, CHOOSING, rate) for rate in RATES} for way in WAYS}
    rates = {way: max(RATES, key=lambda rate: sum(choice[way][str(rate)][task] for task in TASKS)) for way in WAYS}
    print(choice, flush=True)
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in (*WAYS, "no pre-training")}
    for seed in range(given.seeds):
        for way in WAYS:
            runs[way].append(run(way, seed, rates[way]))
        first = fine_tuned(prepared(WAYS[0], seed)[2], LABELLED, FINE_TUNING, seed)
        runs["no pre-training"].append(first | {"cpu_seconds": 0.0})
        print(seed, {way: of[-1] for way, of in runs.items()}, flush=True)
        table: dict[str, Any] = {
            "world": {"version": VERSION, "size": "small", "language": "en", "sentences": SENTENCES},
            "labelled": LABELLED,
            "asked": int((asked(400, "held out")[2]["where"] >= 0).sum()),
            "first place": first_place(),
            "rates": choice,
            "ways": {
                way: {
                    "steps": steps.get(way, 0),
                    "flops": steps.get(way, 0) * flops.get(way, 0),
                    "rate": rates.get(way),
                    "runs": of,
                    "summary": report.summary(of),
                }
                for way, of in runs.items()
            },
        }
        if seed:
            table["less masked words"] = {
                way: {
                    task: interval([a[task] - b[task] for a, b in zip(of, runs[WAYS[0]], strict=True)])._asdict()
                    for task in TASKS
                }
                for way, of in runs.items()
                if way != WAYS[0]
            }
        report.write("encoders", table)


if __name__ == "__main__":
    main()
