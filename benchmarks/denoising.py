"""How well spoiled stories are restored, and stories found: five seeds, beside what needs no training.

    python benchmarks/denoising.py

Models and trainings are those of `book/algorithms/denoising.ipynb` and, for the searches, of `retrieval.ipynb` beside
it. Restored are 200 held-out stories whose sentences were shuffled and of which 30 % of the words were filled in by
masks: ROUGE-L, the fraction of texts that the world could have told, and that of exact ones. Found are 200 held-out
stories by their summary, by the same facts put as questions, and 100 stories beside their mirrors by their summary:
recall@1. The seed draws weights, batches and noise; the stories and the damage to be undone are the same each time.
Controls of the searches: `benchmarks/retrieval.py`.
"""

import copy
import random

import report
import torch

from companion.lessons.denoising.experiments import (
    END,
    VOCABULARY,
    by_rule,
    judged,
    nats_per_word,
    restored,
    short_stories,
    spoiled,
    spoiled_batches,
    train,
    words,
)
from companion.lessons.retrieval import experiments as retrieval
from companion.lessons.retrieval.experiments import (
    Score,
    by_vectors,
    drawn_batches,
    near_pairs,
    new_encoder,
    pairs_of,
    with_mirrors,
)
from companion.losses.contrastive import Views
from companion.losses.spans import sequence_loss
from companion.metrics.retrieval import recall_at
from companion.models.baselines.bag_of_words import BagOfWords
from companion.models.sentence_encoder import SentenceEncoder, masked_mean
from companion.models.transformer import Transformer, TransformerConfig
from companion.storyworld import VERSION
from companion.storyworld.search import inquiry
from companion.storyworld.views import summary, told

HELD_OUT, MORE, TRAINING, _ = short_stories()
PAIRS, MIRRORS = with_mirrors(TRAINING), [story for pair in with_mirrors(MORE)[:100] for story in pair]
TEST = spoiled(HELD_OUT, seed=1_000_000)
READ = [words(row[real]) for row, real in zip(TEST.inputs, TEST.attention_mask, strict=True)]
ORIGINALS = [told(story) for story in HELD_OUT]


def denoiser(seed: int) -> tuple[Transformer, dict[str, float]]:
    """Train one; return it with its numbers."""
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(len(VOCABULARY), 80, 2, 4, 64, activation="gelu", start_id=END))
    batches = spoiled_batches(TRAINING, seed)
    history = train(
        model, batches, 480, loss=sequence_loss, learning_rate=6e-3, seed=seed, optimizer="muon", device="cpu"
    )
    numbers = judged(restored(model, TEST), ORIGINALS)
    return model, {**numbers, "nats": nats_per_word(model, TEST), "cpu_seconds": history.cpu_seconds}


def recalls(score: Score) -> dict[str, float]:
    """Recall@1 in the three searches."""
    found = {}
    searches = (("summary", HELD_OUT, summary), ("inquiry", HELD_OUT, inquiry), ("mirrors", MIRRORS, summary))
    for name, stories, view in searches:
        scores = score([view(story) for story in stories], [told(story) for story in stories])
        found[name] = recall_at(1, scores, torch.arange(len(stories)))
    return found


def encoders(seed: int) -> dict[str, SentenceEncoder]:
    """The untrained encoder, and the three that learn."""

    def mirrors(draw: random.Random) -> Views:
        group = [story for pair in draw.sample(PAIRS, 24) for story in pair]
        return pairs_of(group, draw.choice((summary, inquiry)))

    def twins(draw: random.Random) -> Views:
        return pairs_of(draw.sample(TRAINING, 32), told)

    def summaries(draw: random.Random) -> Views:
        return pairs_of(draw.sample(TRAINING, 32), summary)

    draw = random.Random(seed)
    simcse, paired = new_encoder(seed, dropout=0.1), new_encoder(seed)
    retrieval.train(simcse, drawn_batches(twins, draw), 80, seed=seed, device="cpu")
    retrieval.train(paired, drawn_batches(summaries, draw), 120, seed=seed, device="cpu")
    hardened = copy.deepcopy(paired)
    retrieval.train(hardened, drawn_batches(mirrors, draw), 150, seed=seed, device="cpu")
    return {
        "untrained encoder": new_encoder(seed).eval(),
        "trained on twins": simcse,
        "trained on summaries": paired,
        "then hard negatives": hardened,
    }


def main() -> None:
    """Run every seed, and write the tables."""
    given = report.arguments(__doc__)
    mended = {
        "copied": [judged(READ, ORIGINALS)],
        "by rule": [judged([by_rule(text) for text in READ], ORIGINALS)],
        "by the model": [],
    }
    found = {
        "guessing": [recalls(lambda q, d: torch.zeros(len(q), len(d)))],
        "tf-idf": [recalls(lambda q, d: BagOfWords(d).cosine(q))],
        "BM25": [recalls(lambda q, d: BagOfWords(d).bm25(q))],
        "BM25, pairs of words": [recalls(lambda q, d: BagOfWords(near_pairs(d)).bm25(near_pairs(q)))],
    }
    for seed in range(given.seeds):
        model, numbers = denoiser(seed)
        mended["by the model"].append(numbers)
        found.setdefault("denoiser's encoder", []).append(
            recalls(by_vectors(lambda ids, real, model=model: masked_mean(model.encode(ids, real), real)))
        )
        for name, encoder in encoders(seed).items():
            found.setdefault(name, []).append(recalls(by_vectors(encoder)))
        print(seed, numbers, {name: runs[-1] for name, runs in found.items()}, flush=True)
    exact = [p for story in HELD_OUT for p in story.log_probs[: len(told(story))]]
    tables = {
        part: {name: {"runs": runs, "summary": report.summary(runs)} for name, runs in rows.items()}
        for part, rows in (("restored", mended), ("found", found))
    }
    world = {
        "version": VERSION,
        "size": "small",
        "language": "en",
        "nats from the left alone": -sum(exact) / len(exact),
    }
    report.write("denoising", {"world": world, **tables})


if __name__ == "__main__":
    main()
