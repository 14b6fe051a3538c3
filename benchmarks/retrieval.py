"""What a search survives: queries in other words, and stories of the same words; five seeds, with controls.

    python benchmarks/retrieval.py

Found are the 200 held-out stories of `benchmarks/denoising.py`, by the inquiries about them: English stories by English
inquiries, by inquiries whose names, places, objects and moods are partly Chinese, and Chinese stories by English
inquiries. Two encoders read the same stories and inquiries in both languages; one meets both texts of a pair in one
language, the other each in a language of its own choice. Beside them are BM25, and BM25 with a dictionary counted from
inquiries and stories in the two languages. Then 100 stories beside their mirrors: an encoder trained on summaries goes
on with hard negatives, or for as many steps on as many texts without them. All numbers are recall@1.
"""

import copy
import random
from collections.abc import Callable, Iterator, Sequence

import report
import torch
from denoising import HELD_OUT, PAIRS, TRAINING
from denoising import recalls as story_recalls

from companion.data.vocabulary import Vocabulary
from companion.lessons.denoising.experiments import Text, collate
from companion.lessons.retrieval.experiments import (
    Score,
    by_vectors,
    drawn_batches,
    new_encoder,
    pairs_of,
    train,
)
from companion.losses.contrastive import Views
from companion.metrics.retrieval import recall_at
from companion.models.baselines.bag_of_words import BagOfWords, dice_dictionary
from companion.models.sentence_encoder import SentenceEncoder
from companion.storyworld import VERSION, Story, World
from companion.storyworld.search import code_switched, inquiry
from companion.storyworld.views import summary, told

LANGUAGES = ("en", "zh")
BOTH = Vocabulary([*World().vocabulary, *World(language="zh").vocabulary[2:]])
CHINESE = [story.told_in("zh") for story in TRAINING]
INQUIRIES, TOLD = ({"en": list(map(view, TRAINING)), "zh": list(map(view, CHINESE))} for view in (inquiry, told))
STEPS, MORE_STEPS = 250, 150
SWITCHED = (0.0, 0.25, 0.5, 0.75, 1.0)  # probability that a content word of an inquiry is Chinese


def searches() -> dict[str, tuple[list[Text], list[Text]]]:
    """Queries and documents of each search; the document of a query has its number."""
    asked, english = [inquiry(story) for story in HELD_OUT], [told(story) for story in HELD_OUT]
    found: dict[str, tuple[list[Text], list[Text]]] = {
        f"switched {p}": ([code_switched(text, p, seed=i) for i, text in enumerate(asked)], english) for p in SWITCHED
    }
    return found | {"Chinese stories": (asked, [told(story.told_in("zh")) for story in HELD_OUT])}


def recalls(score: Score) -> dict[str, float]:
    """Recall@1 in each search."""
    wanted = torch.arange(len(HELD_OUT))
    return {name: recall_at(1, score(queries, documents), wanted) for name, (queries, documents) in searches().items()}


def with_dictionary() -> Score:
    """BM25 after both texts are put into Chinese, by a dictionary counted from training inquiries and stories."""
    dictionary = dice_dictionary(list(zip(INQUIRIES["en"], TOLD["zh"], strict=True)))

    def chinese(texts: Sequence[Text]) -> list[list[str]]:
        return [[dictionary.get(word, word) for word in text] for text in texts]

    return lambda queries, documents: BagOfWords(chinese(documents)).bm25(chinese(queries))


def bilingual(seed: int, across: bool) -> SentenceEncoder:
    """Encoder trained on inquiries and stories in two languages: both texts of a pair in one, or each in its own."""
    draw = random.Random(seed)

    def batches() -> Iterator[Views]:
        while True:
            group = draw.sample(range(len(TRAINING)), 32)
            asked, read = draw.choice(LANGUAGES), draw.choice(LANGUAGES)
            queries = [INQUIRIES[asked][i] for i in group]
            stories = [TOLD[read if across else asked][i] for i in group]
            yield Views(*collate(queries, BOTH), *collate(stories, BOTH))

    encoder = new_encoder(seed, BOTH)
    train(encoder, batches(), STEPS, seed=seed, device="cpu")
    return encoder


def negatives(seed: int) -> dict[str, dict[str, float]]:
    """One encoder of summaries, and two that go on from it for equal steps: with hard negatives, and with random."""

    def any_kind(group: Callable[[random.Random], Sequence[Story]]) -> Callable[[random.Random], Views]:
        return lambda draw: pairs_of(group(draw), draw.choice((summary, inquiry)))

    def summaries(draw: random.Random) -> Views:
        return pairs_of(draw.sample(TRAINING, 32), summary)

    first = new_encoder(seed)
    train(first, drawn_batches(summaries, random.Random(seed)), 120, seed=seed, device="cpu")
    groups: dict[str, Callable[[random.Random], Sequence[Story]]] = {
        "then random negatives": lambda draw: draw.sample(TRAINING, 48),
        "then hard negatives": lambda draw: [story for pair in draw.sample(PAIRS, 24) for story in pair],
    }
    found = {"trained on summaries": story_recalls(by_vectors(first))}
    for name, group in groups.items():
        encoder = copy.deepcopy(first)
        train(encoder, drawn_batches(any_kind(group), random.Random(seed)), MORE_STEPS, seed=seed, device="cpu")
        found[name] = story_recalls(by_vectors(encoder))
    return found


def main() -> None:
    """Run every seed, and write the tables, anew after each."""
    given = report.arguments(__doc__)
    words = {
        "BM25": [recalls(lambda queries, documents: BagOfWords(documents).bm25(queries))],
        "BM25, counted dictionary": [recalls(with_dictionary())],
    }
    mirrors: dict[str, list[dict[str, float]]] = {}
    for seed in range(given.seeds):
        encoders = {
            "untrained encoder": new_encoder(seed, BOTH).eval(),
            "each language by itself": bilingual(seed, across=False),
            "across languages": bilingual(seed, across=True),
        }
        for name, encoder in encoders.items():
            words.setdefault(name, []).append(recalls(by_vectors(encoder, BOTH)))
        for name, numbers in negatives(seed).items():
            mirrors.setdefault(name, []).append(numbers)
        print(seed, {name: runs[-1] for name, runs in (words | mirrors).items()}, flush=True)
        tables = {
            part: {name: {"runs": runs, "summary": report.summary(runs)} for name, runs in rows.items()}
            for part, rows in (("other words", words), ("mirrors", mirrors))
        }
        world = {"version": VERSION, "size": "small", "languages": LANGUAGES}
        report.write("retrieval", {"world": world, "steps": STEPS, "more steps": MORE_STEPS, **tables})


if __name__ == "__main__":
    main()
