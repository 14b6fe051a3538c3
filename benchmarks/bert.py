"""What the BERT chapter's model learns, over five seeds: masked words, next sentence, and sentence order.

    python benchmarks/bert.py

Model and training are those of the cell "Train one" of `book/algorithms/bert.ipynb`. The result goes to
`benchmarks/results/bert.json`. For each seed: how many single masked words are guessed right, beside the unigram, the
n-gram of the order that does best on these very texts, a perfect left-to-right reader and the best possible; how many
pairs are judged right, beside naive Bayes and the best possible; and the same for a model that is trained as long on
sentence order, ALBERT's question, in the place of next sentence. The settings were chosen on other stories.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import report
import torch

from companion.data.batch import IGNORED, padded
from companion.data.vocabulary import Vocabulary
from companion.losses.sentences import (
    Pairs,
    Pretraining,
    next_sentence_pairs,
    pretraining_batch,
    pretraining_loss,
)
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.models.baselines.ngram import NGram, NGramConfig
from companion.models.bert import BertConfig, BertForPreTraining
from companion.nn.initialization import mimetic_initialization, sinusoidal_initialization
from companion.storyworld import VERSION, World
from companion.storyworld.optimum import best_label
from companion.storyworld.tasks import SEPARATOR, Example
from companion.storyworld.views import sentences
from companion.training import Optimization, Runtime, fit

WORLD = World()
BATCH = 32  # texts
WORDS = Vocabulary([*WORLD.vocabulary, "[CLS]", "[SEP]", "[MASK]"])
CLS, SEP, MASK = (WORDS.number(token) for token in ("[CLS]", "[SEP]", "[MASK]"))
HIDING: dict[str, Any] = {"mask_id": MASK, "vocab_size": len(WORDS), "special_ids": (0, 1, CLS, SEP)}
HELD_OUT, TEXTS = 2_000_000, 600
Document = list[list[int]]  # the opening, then the events that were asked for
Pairing = Callable[[list[Document], torch.Generator], Pairs]


def documents(n: int, seed: int | str, events: int) -> list[Document]:
    """The openings of stories and the first events after them, of the stories that have so many."""
    found = []
    for story in WORLD.stories(n, seed):
        said = [WORDS.encode(sentence) for sentence in sentences(story)]
        opening = sum(event.kind == "be" for event in story.statements)
        if len(said) >= opening + events:
            first = [i for sentence in said[:opening] for i in sentence]
            found.append([first, *said[opening : opening + events]])
    return found


def next_pairs(docs: list[Document], draw: torch.Generator) -> Pairs:
    """Opening and first event; half of the time the event of another story."""
    return next_sentence_pairs(docs, cls_id=CLS, sep_id=SEP, generator=draw)


def order_pairs(docs: list[Document], draw: torch.Generator) -> Pairs:
    """Opening and two events, the second of them the second part; half of the time the two change places."""
    labels = torch.randint(2, (len(docs),), generator=draw)
    parts = []
    for (opening, one, two), swapped in zip(docs, labels.tolist(), strict=True):
        before, after = (two, one) if swapped else (one, two)
        parts.append(([*opening, *before], after))
    inputs, real = padded([[CLS, *first, SEP, *second, SEP] for first, second in parts])
    begins = torch.tensor([len(first) + 2 for first, _ in parts])
    types = real & (torch.arange(inputs.size(1)) >= begins[:, None])
    return Pairs(inputs, types.long(), real, labels)


TASKS: dict[str, tuple[int, Pairing]] = {"next sentence": (1, next_pairs), "sentence order": (2, order_pairs)}


def examples(task: str, docs: list[Document], pairs: Pairs) -> list[Example]:
    """The pairs as the world's own examples, for naive Bayes and the best possible answer."""
    found = []
    for (opening, *_), ids, real, label in zip(docs, pairs.inputs, pairs.attention_mask, pairs.labels, strict=True):
        tokens = [SEPARATOR if t == "[SEP]" else t for t in WORDS.decode(ids[real][1:-1])]
        if task == "sentence order":
            tokens.insert(len(opening), SEPARATOR)
        names = ("next", "other") if task == "next sentence" else ("in order", "swapped")
        found.append(Example(tuple(tokens), names[int(label)]))
    return found


def batches(task: str, size: int, seed: int) -> Iterator[Pretraining]:
    """New stories without end, in batches of about the same length."""
    events, pairing = TASKS[task]
    draw = torch.Generator().manual_seed(seed)
    pool = 0
    while True:
        told = sorted(documents(8 * size, f"{seed}/{pool}", events), key=lambda d: len(d[0]))
        some = [told[i : i + size] for i in range(0, len(told) - size + 1, size)]
        for i in torch.randperm(len(some), generator=draw).tolist():
            yield pretraining_batch(pairing(some[i], draw), **HIDING, generator=draw)
        pool += 1


def trained(lessons: Iterable[Pretraining], seed: int, steps: int) -> tuple[BertForPreTraining, float]:
    """A model that was trained on these batches, and the processor seconds that it took."""
    torch.manual_seed(seed)
    model = BertForPreTraining(BertConfig(len(WORDS), context_length=40, n_layers=2, n_heads=4, d_model=64))
    sinusoidal_initialization(model.bert)
    mimetic_initialization(model)
    history = fit(
        model,
        lessons,
        steps=steps,
        loss=pretraining_loss,
        learning_rate=4e-3,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return model, history.cpu_seconds


class Gaps:
    """Held-out texts with one word missing in each."""

    def __init__(self) -> None:
        """Choose the words, and frame the texts for BERT."""
        pick = random.Random(0)
        self.docs = documents(TEXTS, HELD_OUT, 1)
        self.texts = [first + second for first, second in self.docs]
        self.places = [pick.randrange(len(text)) for text in self.texts]
        self.answers = torch.tensor([text[t] for text, t in zip(self.texts, self.places, strict=True)])
        rows, types = [], []
        for (first, second), t in zip(self.docs, self.places, strict=True):
            row = [CLS, *first, SEP, *second, SEP]
            row[t + 1 if t < len(first) else t + 2] = MASK
            rows.append(row)
            types.append([0] * (len(first) + 2) + [1] * (len(second) + 1))
        self.inputs, self.real = padded(rows)
        self.types, _ = padded(types)

    def fraction(self, guesses: torch.Tensor) -> float:
        """How many of the guesses are right."""
        return (guesses == self.answers).float().mean().item()

    @torch.no_grad()
    def of_bert(self, model: BertForPreTraining) -> float:
        """How many words the model guesses."""
        logits, _ = model(self.inputs, self.types, self.real)
        return self.fraction(logits[self.inputs == MASK].argmax(-1))

    def yardsticks(self) -> dict[str, float]:
        """What needs no network: counting, and knowing the process."""
        rows, real = padded([[0, *first, *second] for first, second in documents(4000, 0, 1)])
        common = torch.bincount(rows[:, 1:][real[:, 1:]]).argmax()
        orders = {n: self._ngram(rows.masked_fill(~real, IGNORED), n) for n in (2, 3, 4, 5)}
        best = max(orders, key=orders.__getitem__)
        exact = [self._exact(text, t) for text, t in zip(self.texts, self.places, strict=True)]
        left, both = (torch.tensor(column) for column in zip(*exact, strict=True))
        return {
            "unigram": self.fraction(common.expand(len(self.texts))),
            "n-gram": orders[best],
            "order of the n-gram": best,
            "perfect, left to right": self.fraction(left),
            "best possible": self.fraction(both),
        }

    def _ngram(self, rows: torch.Tensor, order: int) -> float:
        model = NGram(NGramConfig(len(WORDS), order)).count(rows)
        read = (torch.tensor([[0, *text[:t]]]) for text, t in zip(self.texts, self.places, strict=True))
        return self.fraction(torch.stack([model(ids)[0, -1].argmax() for ids in read]))

    def _exact(self, text: Sequence[int], t: int) -> tuple[int, int]:
        """The likeliest word given what stands before it, and given both sides."""
        before, after = WORDS.decode(text[:t]), WORDS.decode(text[t + 1 :])
        left = WORLD.next_probabilities(before)
        chances = {}
        for token in left:
            reader = WORLD.reader()
            try:
                chances[token] = sum(reader.read(one) for one in (*before, token, *after))
            except ValueError:  # no story reads like this
                continue
        return WORDS.number(max(left, key=left.__getitem__)), WORDS.number(max(chances, key=chances.__getitem__))


@torch.no_grad()
def judged(model: BertForPreTraining, pairs: Pairs) -> float:
    """How many pairs the model judges right, nothing hidden."""
    _, logits = model(pairs.inputs, pairs.token_type_ids, pairs.attention_mask)
    assert logits is not None
    return (logits.argmax(-1) == pairs.labels).float().mean().item()


def asked(task: str) -> tuple[Pairs, dict[str, float]]:
    """Held-out pairs, and what naive Bayes and the world say of them."""
    events, pairing = TASKS[task]
    draw = torch.Generator().manual_seed(1)
    seen, new = documents(4000, 0, events), documents(TEXTS, HELD_OUT, events)
    pairs = pairing(new, draw)
    train, test = examples(task, seen, pairing(seen, draw)), examples(task, new, pairs)
    bayes = NaiveBayes([e.tokens for e in train], [e.label for e in train])
    return pairs, {
        "naive Bayes": bayes.accuracy([e.tokens for e in test], [e.label for e in test]),
        "best possible": sum(best_label(task, e, WORLD) == e.label for e in test) / len(test),
        "pairs": len(test),
    }


def main() -> None:
    """Run every seed, and write the table."""
    given = report.arguments(__doc__, steps=1000)
    gaps = Gaps()
    tests = {task: asked(task) for task in TASKS}
    runs = []
    for seed in range(given.seeds):
        run: dict[str, float] = {}
        for task, (pairs, _) in tests.items():
            model, seconds = trained(batches(task, BATCH, seed), seed, given.steps)
            run[task] = judged(model, pairs)
            run[f"cpu_seconds, {task}"] = seconds
            if task == "next sentence":
                run["masked words"] = gaps.of_bert(model)
        runs.append(run)
        print(f"seed {seed}: " + "  ".join(f"{k} {v:.3f}" for k, v in run.items()), flush=True)
    report.write(
        "bert",
        {
            "world": {"version": VERSION, "size": "small", "language": "en"},
            "steps": given.steps,
            "seeds": list(range(given.seeds)),
            "runs": runs,
            "summary": report.summary(runs),
            "yardsticks": {"masked words": gaps.yardsticks()} | {task: found for task, (_, found) in tests.items()},
        },
    )


if __name__ == "__main__":
    main()
