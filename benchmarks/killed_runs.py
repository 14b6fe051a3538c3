"""Runs that are killed with SIGKILL at random moments and started again: do they end as one that was left alone?

``python benchmarks/killed_runs.py`` kills 200 runs, each one to three times, half of the times when a file that was
written aside is moved to its place: training, a recipe of the zoo, fine-tuning, and saves of a model over an older one.
It writes ``results/killed_runs.json``; a run that ends otherwise, or with an error, is counted and named.
"""

import hashlib
import itertools
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import report
import torch
from torch import Tensor, nn

from companion.checkpoints import CheckpointError
from companion.data.labelled import labelled
from companion.data.prose import random_windows
from companion.data.tokenization import train_wordpiece
from companion.finetuning import run as finetuning
from companion.finetuning.heads import SequenceClassifier
from companion.finetuning.tasks import Split
from companion.losses.classification import classification_loss
from companion.metrics.language_model import cross_entropy
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig
from companion.training import Checkpoint, Evaluation, Optimization, Runtime, fit
from companion.training.optimizers import NAMES
from companion.zoo.recipes import common

STREAM = torch.randint(31, (300,), generator=torch.Generator().manual_seed(0))
TEXTS = ["the dog has the ball", "a cat sleeps", "the dog sleeps", "a cat has the ball"] * 4
DIGEST, ERROR = "digest", "error"


def gpt(seed: int = 0, dropout: float = 0.2) -> GPT:
    """A tiny GPT."""
    torch.manual_seed(seed)
    return GPT(GPTConfig(vocab_size=31, context_length=16, n_layers=2, n_heads=2, d_model=12, dropout=dropout))


def measured(model: nn.Module) -> float:
    """An evaluation that draws a random number, as one may."""
    torch.rand(1)
    return cross_entropy(model, STREAM[:60])


def train(folder: Path, seed: int) -> str:
    """Training with all that has a state: dropout, momenta, accumulation, evaluations, patience."""
    model = gpt(seed)
    history = fit(
        model,
        random_windows(STREAM, batch_size=2, length=8, seed=seed),
        steps=24,
        optimization=Optimization(NAMES[seed % len(NAMES)], gradient_accumulation_steps=2),
        evaluation=Evaluation(measured, every=4, patience=4),
        checkpoint=Checkpoint(folder / "run", every=2),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return digest(model, history.loss, history.gradient_norm, history.evaluations)


class Recipe:
    """Settings of a recipe on stories."""

    def __init__(self, seed: int) -> None:
        """Keep the seed."""
        self.learning_rate, self.seed = 1e-2, seed


def zoo_train(folder: Path, seed: int) -> str:
    """What recipes of the zoo do: training on stories, then the folder of the model."""
    model = gpt(seed, dropout=0.0)
    batches = random_windows(STREAM, batch_size=2, length=8, seed=seed)
    history = common.train_on_stories(model, batches, 40, Recipe(seed), folder / "run", measured)
    common.finish(model, folder / "model", lambda: "A card.")
    return digest(GPT.from_pretrained(folder / "model"), history.loss, (folder / "model" / "README.md").read_text())


def finetune(folder: Path, seed: int) -> str:
    """Fine-tuning of a BERT with a new head, and the folder that is written."""
    tokenizer = train_wordpiece(TEXTS, 60)
    source = folder.parent / "source"
    source.mkdir(exist_ok=True)
    tokenizer.save(str(source / "tokenizer.json"))
    torch.manual_seed(seed)
    bert = Bert(BertConfig(vocab_size=60, context_length=16, n_layers=1, n_heads=2, d_model=8, dropout=0.1))
    model = SequenceClassifier(bert, ["cat", "dog"])
    names = ["dog" if "dog" in text else "cat" for text in TEXTS]
    encodings = tokenizer.encode_batch(TEXTS)
    split = Split(labelled(encodings, names, model.labels), encodings, names, model.labels)
    settings = finetuning.Settings(epochs=6, batch_size=4, rate=1e-3, seed=seed, device="cpu")
    finetuning.train(model, classification_loss, (split, split, split), folder / "out", source, settings, {})
    return digest(SequenceClassifier.from_pretrained(folder / "out"))


def save(folder: Path, seed: int) -> str:
    """Saves of two models over each other, in shards and in one file; what is there must be one of them, or refused."""
    models = [gpt(seed, dropout=0.1), gpt(seed + 1)]
    known = {digest(model) for model in models}
    if (folder / "config.json").is_file():
        try:
            found = digest(GPT.from_pretrained(folder))
        except CheckpointError:
            found = None
        if found is not None and found not in known:
            raise AssertionError("the folder holds a mixture of two models")
    for number in range(8):
        models[number % 2].save_pretrained(folder, shard_bytes=None if number % 4 < 2 else 4000)
    return digest(GPT.from_pretrained(folder))


KINDS: dict[str, Callable[[Path, int], str]] = {
    "training": train,
    "zoo": zoo_train,
    "finetuning": finetune,
    "save": save,
}


def digest(model: nn.Module, *more: Any) -> str:
    """SHA-256 of a model's configuration and weights, and of anything else by how it is written."""
    found = hashlib.sha256(repr((getattr(model, "config", None), more)).encode())
    tensors: Iterator[Tensor] = (parameter.detach() for parameter in model.parameters())
    for tensor in tensors:
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def started(kind: str, folder: Path, seed: int, deadly: int = 0) -> int:
    """Start a run in a process of its own, and return its id; one that is deadly dies at that move of a file."""
    process = os.fork()
    if process:
        return process
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        if deadly:
            die_at(deadly)
        (folder / DIGEST).write_text(KINDS[kind](folder / "work", seed))
    except BaseException:
        (folder / ERROR).write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)


def die_at(number: int) -> None:
    """Let this process die at a move of a file that was written aside: before it, or after it for even numbers."""
    moves = itertools.count(1)
    move = Path.replace

    def replace(self: Path, target: Path) -> Path:
        last = next(moves) == (number + 1) // 2
        if last and number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        moved = move(self, target)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    Path.replace = replace  # type: ignore[assignment,method-assign]  # in this process alone


def was_killed(process: int) -> bool:
    """Wait for a process, and say whether it was killed or ended by itself."""
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def whole(kind: str, folder: Path, seed: int) -> tuple[str, float]:
    """What a run ends with that nobody kills, and how long it takes."""
    (folder / "work").mkdir(parents=True)
    begin = time.monotonic()
    was_killed(started(kind, folder, seed))
    if (folder / ERROR).is_file():
        sys.exit((folder / ERROR).read_text())
    return (folder / DIGEST).read_text(), time.monotonic() - begin


def killed(kind: str, folder: Path, seed: int, seconds: float, draw: random.Random) -> dict[str, Any]:
    """What a run ends with that is killed one to three times, and how many of these at the move of a file."""
    (folder / "work").mkdir(parents=True)
    kills = moves = 0
    for _ in range(draw.randint(1, 3)):
        deadly = draw.randint(1, 12) if draw.random() < 0.5 else 0
        process = started(kind, folder, seed, deadly)
        if not deadly:
            time.sleep(draw.random() * seconds)
            os.kill(process, signal.SIGKILL)
        if not was_killed(process):
            break
        kills += 1
        moves += deadly > 0
    if not (folder / DIGEST).is_file() and not (folder / ERROR).is_file():
        was_killed(started(kind, folder, seed))
    error = (folder / ERROR).read_text().strip().splitlines()[-1] if (folder / ERROR).is_file() else ""
    found = (folder / DIGEST).read_text() if (folder / DIGEST).is_file() else ""
    return {"kills": kills, "moves": moves, "digest": found, "error": error}


def main() -> None:
    """Kill runs of each kind, compare, and write the table."""
    options = report.arguments(__doc__, runs=200)
    torch.optim.AdamW([torch.zeros(1)])  # takes seconds the first time, here once and not in every process
    draw, rows = random.Random(0), {}
    for kind in KINDS:
        found: dict[str, Any] = {"runs": 0, "kills": 0, "kills_at_a_move": 0, "differences": 0, "errors": []}
        references: dict[int, tuple[str, float]] = {}
        while found["runs"] < options.runs // len(KINDS):
            seed = draw.randrange(options.seeds)
            with tempfile.TemporaryDirectory() as place:
                if seed not in references:
                    references[seed] = whole(kind, Path(place) / "whole", seed)
                wanted, seconds = references[seed]
                run = killed(kind, Path(place) / "killed", seed, seconds, draw)
            if not run["kills"]:  # it was done before its moment came
                continue
            found["runs"] += 1
            found["kills"] += run["kills"]
            found["kills_at_a_move"] += run["moves"]
            found["differences"] += run["digest"] != wanted
            found["errors"] += [run["error"]] if run["error"] else []
        rows[kind] = found
        print(kind, found, f"{sum(os.times()[:4]):.0f} CPU-s", flush=True)
        report.write("killed_runs", {"seeds": options.seeds, "kinds": rows, "cpu_seconds": round(sum(os.times()[:4]))})


if __name__ == "__main__":
    if not hasattr(os, "fork"):
        sys.exit("killed_runs.py needs fork and SIGKILL, which this system does not have")
    main()
