"""What 80/10/10 is worth: the same BERT trained with [MASK] at every chosen place, on equal terms, over five seeds.

    python benchmarks/masking.py

Model, stories and training are those of `benchmarks/bert.py`, with next sentence prediction. Both ways have the same
weights at the start, the same texts, the same chosen places and the same steps; the only difference is what stands at a
chosen place: [MASK] with 80 %, a random word with 10 % and the word itself with 10 %, or [MASK] always. Neither had its
learning rate searched. Measured on held-out texts, at one place of each: how often the right word comes first where
[MASK] stands, where a wrong word stands, and where the word itself does. Then what BERT is used for, on whole texts:
pairs judged, and the frozen vectors of the names of the openings, from which a logistic regression says whether the
name comes again (from so many texts as `PROBED` says, other ones than those it is judged by).
"""

from collections.abc import Iterator
from typing import Any

import report
import torch
from bert import BATCH, CLS, HELD_OUT, MASK, SEP, TEXTS, WORDS, WORLD, Gaps, asked, batches, documents, judged, trained
from linear import fitted
from torch import Tensor

from companion.data.batch import IGNORED, padded
from companion.losses.sentences import Pretraining
from companion.metrics.confidence import interval
from companion.models.bert import BertForPreTraining
from companion.storyworld import VERSION
from companion.storyworld.lexicon import PEOPLE

TASK, PROBED = "next sentence", 200
WAYS = ("80/10/10", "[MASK] alone")


def masks_alone(mixed: Iterator[Pretraining]) -> Iterator[Pretraining]:
    """The same batches, with [MASK] at every chosen place."""
    return (batch._replace(inputs=batch.inputs.masked_fill(batch.targets != IGNORED, MASK)) for batch in mixed)


@torch.no_grad()
def at_a_place(model: BertForPreTraining, gaps: Gaps, shown: Tensor) -> float:
    """How often the right word comes first where ``shown`` (texts,) stands in the place of [MASK]."""
    place = gaps.inputs == MASK
    logits, _ = model(gaps.inputs.masked_scatter(place, shown), gaps.types, gaps.real)
    return gaps.fraction(logits[place].argmax(-1))


def wrong_words(gaps: Gaps) -> Tensor:
    """A random word for each text, any but the right one (and none of the special tokens)."""
    draw = torch.Generator().manual_seed(0)
    words = torch.arange(2, len(WORLD.vocabulary)).expand(len(gaps.answers), -1)
    others = words[words != gaps.answers[:, None]].view(len(words), -1)
    return others.gather(1, torch.randint(others.size(1), (len(words), 1), generator=draw))[:, 0]


@torch.no_grad()
def names(model: BertForPreTraining, seed: int) -> tuple[Tensor, Tensor]:
    """Vectors of the names in the openings, (names, d_model), and whether each comes again in the text, (names,)."""
    people = torch.tensor(WORDS.encode(name for name in PEOPLE if name in WORLD.vocabulary))
    docs = documents(TEXTS, seed, 1)
    inputs, real = padded([[CLS, *first, SEP, *second, SEP] for first, second in docs])
    begins = torch.tensor([len(first) + 2 for first, _ in docs])
    types = real & (torch.arange(inputs.size(1)) >= begins[:, None])
    chosen = torch.isin(inputs, people) & ~types
    again = ((inputs[:, :, None] == inputs[:, None, :]) & types[:, None, :]).any(-1)
    hidden = model.bert(inputs, types.long(), real)
    return hidden[chosen], again[chosen].long()


def probed(model: BertForPreTraining) -> float:
    """Accuracy of a logistic regression on frozen vectors."""
    vectors, labels = names(model, HELD_OUT + 1)
    weights, bias = fitted(vectors[: 3 * PROBED], labels[: 3 * PROBED])
    new, true = names(model, HELD_OUT)
    return ((new @ weights + bias).argmax(-1) == true).float().mean().item()


def main() -> None:
    """Run both ways with every seed, and write the table anew after each."""
    given = report.arguments(__doc__, steps=1000)
    gaps = Gaps()
    wrong, (pairs, _) = wrong_words(gaps), asked(TASK)
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for seed in range(given.seeds):
        for way in WAYS:
            mixed = batches(TASK, BATCH, seed)
            model, seconds = trained(mixed if way == WAYS[0] else masks_alone(mixed), seed, given.steps)
            runs[way].append(
                {
                    "at [MASK]": gaps.of_bert(model),
                    "at a wrong word": at_a_place(model, gaps, wrong),
                    "at the word itself": at_a_place(model, gaps, gaps.answers),
                    "pairs": judged(model, pairs),
                    "frozen vectors": probed(model),
                    "cpu_seconds": seconds,
                }
            )
            print(seed, way, runs[way][-1], flush=True)
        table: dict[str, Any] = {
            "world": {"version": VERSION, "size": "small", "language": "en"},
            "steps": given.steps,
            "ways": {way: {"runs": of, "summary": report.summary(of)} for way, of in runs.items()},
        }
        if seed:
            table["80/10/10 less [MASK] alone"] = {
                what: interval([a[what] - b[what] for a, b in zip(*runs.values(), strict=True)])._asdict()
                for what in runs[WAYS[0]][0]
            }
        report.write("masking", table)


if __name__ == "__main__":
    main()
