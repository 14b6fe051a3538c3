"""What pre-training is worth on real text: film reviews rated by people, and a published BERT, MiniLM.

    python benchmarks/reviews.py

The texts are sentences of film reviews, each rated by fifteen people or more; the label is whether the mean of their
ratings is above zero. Left out are sentences with a mean within half a point of zero. Model and texts are fetched once
(`companion.data.fetched`). The result goes to `benchmarks/results/reviews.json`, for `book/concepts/transfer.ipynb`
and for `book/algorithms/finetuning.ipynb`. Five seeds: each draws other labelled sentences and other new weights, the
fewer always among the more; the held-out sentences are the same. With as many labels every network reads as many
sentences (`PASSES`), a small one more often, as a step costs it less. None has dropout.
Each has two learning rates to choose from, by the mean of `TRIALS` draws of `TRIAL_LABELS` labels, judged by 300
validation sentences; these and the labels of the trials are used for nothing else. Every linear classifier has five
penalties, chosen by cross-validation on its labels. What the file has already is not computed again: a run that was cut
off goes on, and to begin anew one deletes it.
"""

import json
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import report
import torch
from linear import fitted, tf_idf
from torch import Tensor, nn

from companion import zoo
from companion.data import hub, reviews
from companion.data.labelled import Labelled, minibatches
from companion.data.published import entry
from companion.finetuning.heads import SequenceClassifier
from companion.finetuning.lora import add_lora
from companion.losses.classification import classification_loss
from companion.metrics.classification import accuracy
from companion.metrics.confidence import interval
from companion.metrics.raters import one_rater
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.models.bert import Bert, BertConfig
from companion.models.sentence_encoder import SentenceEncoder
from companion.training.optimizers import make_optimizers
from companion.training.schedules import multipliers

MODEL = "minilm-l6"
CONTEXT = 64  # tokens kept of a sentence
TEST, VALIDATION, TRIAL = 500, 300, 200
TRIALS, TRIAL_LABELS = 3, 100
MOST = 5000  # labels of a seed
PASSES = {50: 320, TRIAL_LABELS: 400, 200: 640, 1000: 960, MOST: 4800}  # by labels: sentences read, in batches of 16
BATCH = 16
WIDE = 384  # from this width on bfloat16 takes less time, on a processor that has units for it; below it takes more
WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


class Example(NamedTuple):
    """A sentence, its number among the encoded ones, its words, and its label."""

    number: int
    words: list[str]
    label: str


@dataclass(frozen=True)
class Network:
    """How a network begins, the rates it may choose from, how often it reads what others read once, and what learns."""

    begin: Callable[[], Bert]
    rates: tuple[float, ...]
    patience: int = 1
    lora: bool = False


def published() -> Bert:
    """The pre-trained body."""
    return zoo.load(MODEL)[0]


@cache
def config() -> BertConfig:
    """Its sizes."""
    return published().config


def small() -> Bert:
    """A BERT of two layers, a third as wide, from random weights: fewer numbers to learn from few labels."""
    return Bert(replace(config(), n_layers=2, n_heads=4, d_model=128, d_ff=512))


NETWORKS = {
    "fine-tuned": Network(published, (1e-4, 3e-4)),
    "LoRA": Network(published, (1e-3, 4e-3), lora=True),
    "small, from scratch": Network(small, (1e-3, 3e-3), patience=3),
}


class Texts:
    """The sentences with an opinion, encoded once, in parts that have none in common: test, validation, trial, pool."""

    def __init__(self) -> None:
        """Read the sentences, encode them, and part them."""
        self.rated = reviews.opinions(reviews.movie_reviews())
        labelled = reviews.polarity(self.rated)
        self.rows = labelled.rows(hub.encode(zoo.load(MODEL)[1], labelled.texts, CONTEXT))
        found = {
            review: Example(number, WORD.findall(review.text.lower()), labelled.labels[number])
            for number, review in enumerate(self.rated)
        }
        draw, parts = random.Random("reviews"), reviews.split(found)
        self.test = [found[review] for review in draw.sample(parts.test, TEST)]
        self.validation = [found[review] for review in draw.sample(parts.validation, VALIDATION)]
        others = [found[review] for review in draw.sample(parts.train, len(parts.train))]
        self.trial, self.pool = others[:TRIAL], others[TRIAL:]

    def drawn(self, n: int, seed: int) -> list[Example]:
        """The first n of the labelled sentences of a seed."""
        return random.Random(f"reviews/{seed}").sample(self.pool, MOST)[:n]

    def of(self, some: Sequence[Example]) -> Labelled:
        """Some sentences as a batch."""
        numbers = [example.number for example in some]
        return Labelled(*(column[numbers] for column in self.rows))


class Frozen:
    """Frozen bodies, and the vectors that they give, each computed once: the mean over a text's tokens, of length 1."""

    def __init__(self, texts: Texts) -> None:
        """Nothing is computed before it is asked for."""
        self.texts, self.bodies, self.known = texts, {}, {}

    def vectors(self, body: str, some: Sequence[Example]) -> Tensor:
        """The vectors of some sentences (sentences, width); a body is "trained", or the seed of random weights."""
        if body not in self.bodies:
            torch.manual_seed(int(body) if body != "trained" else 0)
            bert = zoo.load(MODEL)[0]
            self.bodies[body] = SentenceEncoder(bert if body == "trained" else Bert(bert.config)).eval()
        new = [example for example in some if (body, example.number) not in self.known]
        if new:
            encoder = self.bodies[body]
            found = by_text(lambda batch: encoder(batch.inputs, batch.attention_mask), self.texts.of(new))
            self.known |= {(body, one.number): vector for one, vector in zip(new, found, strict=True)}
        return torch.stack([self.known[body, example.number] for example in some])


@torch.no_grad()
def by_text(function: Callable[[Labelled], Tensor], rows: Labelled) -> Tensor:
    """What a function says of each text, computed in batches of about the same length."""
    lengths = rows.attention_mask.sum(1)
    said: dict[int, Tensor] = {}
    for chosen in lengths.argsort().split(64):
        longest = int(lengths[chosen].max())
        batch = Labelled(*(column[chosen, :longest] for column in rows[:3]), rows.labels[chosen])
        said |= zip(chosen.tolist(), function(batch), strict=True)
    return torch.stack([said[number] for number in range(len(lengths))])


def headed(kind: Network) -> SequenceClassifier:
    """A network with a new head, that has learned nothing yet."""
    model = SequenceClassifier(kind.begin(), reviews.POLARITIES)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if kind.lora:
        add_lora(model, "query|value", rank=8, alpha=16.0, also="pooler|classifier")
    return model


def descend(
    model: SequenceClassifier,
    batches: Iterator[Labelled],
    steps: int,
    rate: float,
    loss: Callable[[nn.Module, Labelled], Tensor] = classification_loss,
) -> SequenceClassifier:
    """Train a network as `companion.training.fit` would, only sooner: a wide one multiplies in bfloat16."""
    (optimizer,) = make_optimizers(model, "adamw", rate, weight_decay=0.01)
    for group in optimizer.param_groups:
        group["fused"] = True  # of a body this large, AdamW's own step is else a third of the time
    for factor in multipliers("linear", steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
        with torch.autocast("cpu", torch.bfloat16, enabled=model.config.d_model >= WIDE):
            objective = loss(model.train(), next(batches))
        objective.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def taught(kind: Network, rows: Labelled, rate: float, seed: int) -> SequenceClassifier:
    """A network that has learned some labelled sentences."""
    torch.manual_seed(seed)
    steps = kind.patience * PASSES[len(rows.labels)] // BATCH
    return descend(headed(kind), minibatches(rows, BATCH, seed), steps, rate)


def right(model: SequenceClassifier, rows: Labelled) -> float:
    """Accuracy of a network on some sentences."""
    with torch.autocast("cpu", torch.bfloat16, enabled=model.config.d_model >= WIDE):
        logits = by_text(lambda batch: model(*batch[:3]), rows)
    return accuracy(logits.argmax(-1), rows.labels)


def trials(kind: Network, texts: Texts) -> dict[str, list[float]]:
    """Accuracies on the validation sentences by rate, one for each draw of trial labels."""
    judge = texts.of(texts.validation)
    drawn = [random.Random(f"trial/{draw}").sample(texts.trial, TRIAL_LABELS) for draw in range(TRIALS)]
    return {
        f"{rate:g}": [right(taught(kind, texts.of(some), rate, draw), judge) for draw, some in enumerate(drawn)]
        for rate in kind.rates
    }


def by_lexicon(test: Sequence[Example], valence: dict[str, float]) -> float:
    """Accuracy of adding up the words' ratings in a lexicon; a sum of zero is right half of the time."""
    sums = [sum(valence.get(word, 0.0) for word in example.words) for example in test]
    return statistics.fmean(
        0.5 if total == 0 else float((total > 0) == (example.label == "positive"))
        for total, example in zip(sums, test, strict=True)
    )


def parameters(model: SequenceClassifier) -> dict[str, int]:
    """How many numbers a network has, and how many of them learn."""
    every = list(model.parameters())
    return {"all": sum(p.numel() for p in every), "learn": sum(p.numel() for p in every if p.requires_grad)}


def cells() -> list[tuple[str, int]]:
    """What is measured, and from how many labels; what costs most comes last."""
    counts = [(method, n) for method in ("naive Bayes", "TF-IDF") for n in (50, 200, 500, 1000, MOST)]
    frozen = [("frozen", n) for n in (50, 200, 500, 1000, MOST)] + [("frozen, untrained", n) for n in (50, 200, 500)]
    return [*counts, *frozen, *((method, n) for n in (50, 200, 1000, MOST) for method in reversed(NETWORKS))]


def begun(texts: Texts) -> dict[str, Any]:
    """The table as far as an earlier run came, or a new one."""
    path = report.RESULTS / "reviews.json"
    done = json.loads(path.read_text(encoding="utf8")) if path.exists() else {"results": []}
    known = {(row["method"], row["n"]): row for row in done["results"]}
    rows = [known.get(cell, {"method": cell[0], "n": cell[1], "scores": [], "cpu_seconds": []}) for cell in cells()]
    test = [texts.rated[example.number].ratings for example in texts.test]
    return {
        "model": MODEL,
        "sentences": {"all": len(texts.rated), "positive": int(texts.rows.labels.sum()), "test": len(texts.test)},
        "sha256": {name: entry(name).sha256 for name in (MODEL, reviews.NAME)},
        "passes": {str(n): passes for n, passes in PASSES.items()},
        "patience": {name: kind.patience for name, kind in NETWORKS.items()},
        "rates": done.get("rates", {}),
        "parameters": {name: parameters(headed(kind)) for name, kind in NETWORKS.items()},
        "lexicon": by_lexicon(texts.test, reviews.lexicon()),
        "one rater": one_rater(test)._asdict(),
        "results": rows,
    }


def measured(method: str, frozen: Frozen, n: int, seed: int, rates: dict[str, float]) -> float:
    """Accuracy of a method with a seed's labels."""
    texts = frozen.texts
    train, test = texts.drawn(n, seed), texts.of(texts.test)
    if method in NETWORKS:
        return right(taught(NETWORKS[method], texts.of(train), rates[method], seed), test)
    if method == "naive Bayes":
        words, labels = [one.words for one in train], [one.label for one in train]
        return NaiveBayes(words, labels).accuracy([one.words for one in texts.test], [one.label for one in texts.test])
    if method == "TF-IDF":
        known, new = tf_idf([one.words for one in train], [one.words for one in texts.test])
    else:
        body = "trained" if method == "frozen" else str(seed)
        known, new = frozen.vectors(body, train), frozen.vectors(body, texts.test)
    weights, bias = fitted(known, texts.of(train).labels)
    return accuracy((new @ weights + bias).argmax(-1), test.labels)


def write(table: dict[str, Any]) -> None:
    """Write the table, without the cells that have not begun."""
    report.write("reviews", table | {"results": [row for row in table["results"] if row["scores"]]})


def main() -> None:
    """Run every cell over all seeds, and write the table after each."""
    given = report.arguments(__doc__)
    texts = Texts()
    table = begun(texts)
    frozen = Frozen(texts)
    best: dict[str, float] = {}
    for row in table["results"]:
        method, n = row["method"], row["n"]
        if method in NETWORKS:
            if method not in table["rates"]:
                table["rates"][method] = trials(NETWORKS[method], texts)
            tried = table["rates"][method]
            best[method] = float(max(tried, key=lambda rate: sum(tried[rate])))
        for seed in range(len(row["scores"]), given.seeds):
            started = time.process_time()
            row["scores"].append(measured(method, frozen, n, seed, best))
            row["cpu_seconds"].append(time.process_time() - started)
            write(table)
        row |= interval(row["scores"])._asdict()
        print(f"{method:>20} {n:5}: {row['mean']:.3f} {row['low']:.3f} {row['high']:.3f}", flush=True)
        write(table)


if __name__ == "__main__":
    main()
