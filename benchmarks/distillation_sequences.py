"""Whose texts should a student that writes learn from, and which way round is it compared with its teacher?

    python benchmarks/distillation_sequences.py

The teacher is the story GPT, of 4 layers and width 64; the student has 2 layers of width 32. There are `FEW` true
stories, and the student learns these first. What follows begins from the same weights in every row, and the rows differ
in two things: who writes the stories of a batch (the few true ones again, the teacher, or the student itself), and what
is learned from them (the tokens, or the forward or the reverse divergence from the teacher). *fresh* is what the
teacher's texts replace: new true stories, which nobody has to spare. All rows take as many steps of as many stories, at
the same rate; none of them was tuned.

Measured on held-out stories: the excess over the stories' exact entropy. Measured on stories that the student writes:
the tokens before the first that the world could not have told, how many stories have none, and the student's entropy.
The result goes to `benchmarks/results/distillation_sequences.json`, anew after each seed.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import report
import torch
from torch import Tensor

from companion import zoo
from companion.data.batch import IGNORED
from companion.data.batching import length_buckets
from companion.distillation.distiller import Distiller
from companion.distillation.losses import hinton_loss
from companion.distillation.sequences import OnPolicyDistiller, reverse_kl_loss, written
from companion.losses import causal_loss
from companion.metrics.confidence import interval
from companion.metrics.language_model import excess_nll
from companion.models.gpt import GPT, GPTConfig
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import VERSION, World, rows
from companion.training import Optimization, Runtime, fit

WORLD = World()
TEACHER = zoo.load("storyworld-en")[0].eval()
LONGEST = 64  # tokens of a story that are read, or written; what follows is cut off
CONFIG = GPTConfig(len(WORLD.vocabulary), TEACHER.config.context_length, n_layers=2, n_heads=4, d_model=32)
END = 0  # the token before and after each story
FEW, TEST, WRITTEN = 200, 200, 200  # stories
BATCH, FIRST_STEPS, RATE = 16, 250, 3e-3
FORWARD = {"loss": hinton_loss, "temperature": 1.0, "alpha": 1.0}
REVERSE = {"loss": reverse_kl_loss}
ROWS: dict[str, tuple[str, dict[str, Any]]] = {  # whose stories, and the divergence where it is not the tokens
    "few, labels": ("few", {}),
    "few, forward": ("few", FORWARD),
    "teacher's, labels": ("teacher's", {}),
    "own, forward": ("own", FORWARD),
    "own, reverse": ("own", REVERSE),
    "fresh, labels": ("fresh", {}),
}


def batches(stories: Tensor, seed: int) -> Iterator[Tensor]:
    """Batches of stories of about the same length, without end."""
    lengths = (stories != IGNORED).sum(1)
    for chosen in length_buckets(lengths.tolist(), BATCH, seed):
        yield stories[chosen, : int(lengths[chosen].max())]


def prompts(n: int) -> Tensor:
    """What stands before a story, so many times."""
    return torch.full((n, 1), END)


def told(n: int, seed: str) -> Tensor:
    """True stories, cut off where what is written is."""
    return rows(WORLD.stories(n, seed))[:, : LONGEST + 1]


def by_teacher(n: int) -> Tensor:
    """Stories that the teacher writes, laid out as true ones are."""
    batch = written(TEACHER, prompts(n), LONGEST, END)
    return torch.cat([batch.inputs[:, :1], batch.targets], 1)


def measured(model: GPT, seed: str, n: int) -> dict[str, float]:
    """What a student is worth, on held-out stories and on its own."""
    torch.manual_seed(0)
    with torch.no_grad():
        own = written(model, prompts(WRITTEN), LONGEST, END)
        log_q = model(own.inputs).log_softmax(-1)
    entropy = -(log_q.exp() * log_q).sum(-1)[own.targets != IGNORED].mean().item()
    stories = [[WORLD.vocabulary[i] for i in row if i != IGNORED] for row in own.targets.tolist()]
    tokens = [before_slip(story) for story in stories]
    exact = [story.log_probs[:LONGEST] for story in WORLD.stories(n, seed)]
    return {
        "excess": excess_nll(model, told(n, seed), exact).value,
        "tokens before a slip": sum(tokens) / len(tokens),
        "without a slip": sum(n == len(story) for n, story in zip(tokens, stories, strict=True)) / len(stories),
        "entropy": entropy,
    }


def before_slip(tokens: Sequence[str]) -> int:
    """Number of tokens before the first that cannot follow in this world, a wrong answer too; all where none is."""
    reader = WORLD.reader()
    for number, token in enumerate(tokens):
        try:
            reader.read(token)
        except ValueError:
            return number
    return len(tokens)


class Course:
    """A seed's few true stories, and the student that has learned them."""

    def __init__(self, seed: int, steps: int) -> None:
        """Train the student on the few stories."""
        self.seed, self.steps = seed, steps
        self.few = told(FEW, f"few/{seed}")
        torch.manual_seed(seed)
        self.student = GPT(CONFIG)
        sinusoidal_initialization(self.student)
        self.train(self.student, batches(self.few, seed), causal_loss, FIRST_STEPS)

    def train(self, model: GPT, texts: Any, loss: Callable[..., Tensor], steps: int) -> None:
        """Train a model on these batches."""
        fit(
            model,
            texts,
            steps=steps,
            loss=loss,
            learning_rate=RATE,
            optimization=Optimization("muon", weight_decay=0.01, schedule="linear"),
            runtime=Runtime(device="cpu", seed=self.seed),
            progress=False,
        )

    def go_on(self, row: str) -> tuple[GPT, float]:
        """Return a student that goes on learning as a row says, and the processor seconds, its texts' included."""
        whose, how = ROWS[row]
        model = copy.deepcopy(self.student)
        started = time.process_time()
        torch.manual_seed(self.seed)
        n = self.steps * BATCH
        if whose == "own":
            loss: Any = OnPolicyDistiller(TEACHER, max_new_tokens=LONGEST, stop=END, **how)
            texts: Any = [prompts(BATCH)]
        else:
            made = {"few": lambda: self.few, "teacher's": lambda: by_teacher(n), "fresh": self.fresh}
            texts = batches(made[whose](), self.seed + 1)
            loss = Distiller(TEACHER, **how) if how else causal_loss
        self.train(model, texts, loss, self.steps)
        return model, time.process_time() - started

    def fresh(self) -> Tensor:
        """New true stories, one for each that a row reads."""
        return told(self.steps * BATCH, f"fresh/{self.seed}")


def run(seed: int, steps: int) -> dict[str, dict[str, float]]:
    """Every row, from the same weights."""
    course = Course(seed, steps)
    found = {"before": measured(course.student, "test", TEST)}
    for row in ROWS:
        model, seconds = course.go_on(row)
        found[row] = measured(model, "test", TEST) | {"seconds": seconds}
    return found


def paired(runs: Sequence[dict[str, dict[str, float]]], one: str, other: str) -> dict[str, list[float]]:
    """Mean difference of two rows, seed by seed, and its 95 % interval, of each measure."""
    measures = ("excess", "tokens before a slip", "without a slip", "entropy")
    return {m: list(interval([run[one][m] - run[other][m] for run in runs])) for m in measures}


def main() -> None:
    """Run every seed, and write the table."""
    given = report.arguments(__doc__, steps=100)
    started = time.process_time()
    runs: list[dict[str, dict[str, float]]] = []
    for seed in range(given.seeds):
        runs.append(run(seed, given.steps))
        print(seed, {row: {k: round(v, 3) for k, v in own.items()} for row, own in runs[-1].items()}, flush=True)
        if not seed:  # an interval needs two
            continue
        table = {
            "world": {"version": VERSION, "size": "small", "language": "en"},
            "seeds": list(range(len(runs))),
            "stories": {"few": FEW, "batch": BATCH, "test": TEST, "written": WRITTEN, "longest": LONGEST},
            "steps": given.steps,
            "parameters": {name: sum(p.numel() for p in m.parameters()) for name, m in models().items()},
            "teacher": measured(TEACHER, "test", TEST),
            "runs": runs,
            "mean": {row: report.summary([run[row] for run in runs]) for row in runs[0]},
            "over few, labels": {row: paired(runs, row, "few, labels") for row in ROWS},
            "own over few": paired(runs, "own, forward", "few, forward"),
            "reverse over forward": paired(runs, "own, reverse", "own, forward"),
            "teacher's over fresh": paired(runs, "teacher's, labels", "fresh, labels"),
            "cpu_seconds": time.process_time() - started,
        }
        report.write("distillation_sequences", table)


def models() -> dict[str, GPT]:
    """The two models, for their sizes."""
    return {"teacher": TEACHER, "student": GPT(CONFIG)}


if __name__ == "__main__":
    main()
