"""How well spoiled stories are restored, and stories found: five seeds, beside what needs no training.

    python benchmarks/denoising.py

Models and trainings are those of `book/algorithms/denoising.ipynb`. Restored are 200 held-out stories whose sentences
were shuffled and of which 30 % of the words were filled in by masks: ROUGE-L, the fraction of texts that the world
could have told, and that of exact ones. Found are 200 held-out stories by their summary, by the same facts put as
questions, and 100 stories beside their mirrors by their summary: recall@1. The seed draws weights, batches and noise;
the stories and the damage to be undone are the same each time. Controls of the searches: `benchmarks/retrieval.py`.
"""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import report
import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import padded
from companion.data.batching import length_buckets
from companion.data.vocabulary import Vocabulary
from companion.generation import GREEDY, generate
from companion.losses.contrastive import Views, similarity, views_loss
from companion.losses.denoising import noise
from companion.losses.spans import Seq2Seq, sequence_loss
from companion.metrics.text import exact_match, rouge_l
from companion.models.baselines.bag_of_words import BagOfWords
from companion.models.bert import Bert, BertConfig
from companion.models.sentence_encoder import SentenceEncoder, masked_mean, recall_at
from companion.models.transformer import Transformer, TransformerConfig
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import VERSION, Story, World
from companion.storyworld.search import inquiry, mirrored
from companion.storyworld.views import summary, told
from companion.training import Optimization, Runtime, fit

WORLD = World()
VOCABULARY = Vocabulary([*WORLD.vocabulary, "[MASK]"])
MASK, STOP, END = (VOCABULARY.number(token) for token in ("[MASK]", ".", "<|endoftext|>"))
Text = Sequence[str]
Score = Callable[[Sequence[Text], Sequence[Text]], Tensor]  # queries, documents -> (queries, documents)


def short(story: Story) -> bool:
    """At most 32 words, and something happens after the opening."""
    return len(told(story)) <= 32 and len(story.statements) > len(story.end.place)


STORIES = list({told(story): story for story in WORLD.stories(10_000) if short(story)}.values())
HELD_OUT, MORE, TRAINING = STORIES[:200], STORIES[200:500], STORIES[500:]


def with_mirrors(stories: Sequence[Story]) -> list[tuple[Story, Story]]:
    """Those stories that have a mirror, each with it."""
    return [(story, mirror) for story in stories if (mirror := mirrored(story))]


PAIRS, MIRRORS = with_mirrors(TRAINING), [story for pair in with_mirrors(MORE)[:100] for story in pair]


def collate(texts: Sequence[Text], vocabulary: Vocabulary = VOCABULARY) -> tuple[Tensor, Tensor]:
    """Ids and mask."""
    return padded([vocabulary.encode(text) for text in texts])


def spoiled(stories: Sequence[Story], seed: int) -> Seq2Seq:
    """Sentences shuffled, then 30 % of the words behind masks."""
    draw = torch.Generator().manual_seed(seed)
    texts = collate([told(story) for story in stories])
    return noise(*texts, mask_id=MASK, stop_id=STOP, start_id=END, end_id=END, generator=draw)


def words(ids: Tensor) -> list[str]:
    """The words up to the end."""
    numbers = ids[ids >= 0].tolist()
    return VOCABULARY.decode(numbers[: numbers.index(END)] if END in numbers else numbers)


def by_rule(text: Text) -> list[str]:
    """Masks dropped, sentences with *is* first."""
    sentences = [part.split() for part in " ".join(word for word in text if word != "[MASK]").split(" .")]
    sentences = sorted(filter(None, sentences), key=lambda sentence: "is" not in sentence)
    return [word for sentence in sentences for word in (*sentence, ".")]


def possible(text: Text) -> bool:
    """Whether the world could have told this."""
    try:
        return bool(WORLD.read(text))
    except ValueError:
        return False


def judged(texts: Sequence[Text]) -> dict[str, float]:
    """Three numbers for restored stories."""
    originals = [told(story) for story in HELD_OUT]
    n = len(originals)
    return {
        "ROUGE-L": sum(map(rouge_l, texts, originals)) / n,
        "possible": sum(map(possible, texts)) / n,
        "exact": exact_match([tuple(text) for text in texts], originals),
    }


TEST = spoiled(HELD_OUT, seed=1_000_000)
READ = [words(row[real]) for row, real in zip(TEST.inputs, TEST.attention_mask, strict=True)]


def denoiser(seed: int) -> tuple[Transformer, dict[str, float]]:
    """Train one; return it with its numbers."""

    def lessons() -> Iterator[Seq2Seq]:
        lengths = [len(told(story)) for story in TRAINING]
        for step, rows in enumerate(length_buckets(lengths, 16, seed)):
            yield spoiled([TRAINING[i] for i in rows], seed=100_000 * seed + step)

    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(len(VOCABULARY), 80, 2, 4, 64, activation="gelu", start_id=END))
    history = train(model, lessons(), 480, seed, "muon", learning_rate=6e-3, loss=sequence_loss)
    with torch.no_grad():
        logits = model(TEST.inputs, TEST.decoder_inputs, TEST.attention_mask)
    targets = TEST.targets.masked_fill(TEST.targets == END, -100)
    nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
    written = generate(model, TEST.inputs, 48, attention_mask=TEST.attention_mask, decoding=GREEDY, stop=END)
    numbers = judged([words(row[1:]) for row in written])
    return model, {**numbers, "nats": nats, "cpu_seconds": history.cpu_seconds}


def train(
    model: torch.nn.Module, batches: Iterator[Any], steps: int, seed: int, optimizer: str = "adamw", **settings: Any
) -> Any:
    """Train as the chapter does."""
    return fit(
        model,
        batches,
        steps=steps,
        optimization=Optimization(optimizer, weight_decay=0.0, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
        **{"learning_rate": 3e-3, "loss": views_loss} | settings,
    )


def recalls(score: Score) -> dict[str, float]:
    """Recall@1 in the three searches."""
    found = {}
    searches = (("summary", HELD_OUT, summary), ("inquiry", HELD_OUT, inquiry), ("mirrors", MIRRORS, summary))
    for name, stories, view in searches:
        scores = score([view(story) for story in stories], [told(story) for story in stories])
        found[name] = recall_at(1, scores, torch.arange(len(stories)))
    return found


def by_vectors(embed: Callable[[Tensor, Tensor], Tensor], vocabulary: Vocabulary = VOCABULARY) -> Score:
    """Search by the cosine of vectors."""

    @torch.no_grad()
    def score(queries: Sequence[Text], documents: Sequence[Text]) -> Tensor:
        return similarity(embed(*collate(queries, vocabulary)), embed(*collate(documents, vocabulary)))

    return score


def near_pairs(texts: Sequence[Text]) -> list[list[str]]:
    """Each text as its words and its pairs of words, up to five apart."""
    return [[*text, *(f"{a} {b}" for i, a in enumerate(text) for b in text[i + 1 : i + 6])] for text in texts]


def new_encoder(seed: int, vocabulary: Vocabulary = VOCABULARY, dropout: float = 0.0) -> SentenceEncoder:
    """An untrained encoder."""
    torch.manual_seed(seed)
    encoder = SentenceEncoder(Bert(BertConfig(len(vocabulary), 80, 2, 4, 64, n_segments=1, dropout=dropout)))
    sinusoidal_initialization(encoder.bert)
    return encoder


def pairs_of(group: Sequence[Story], view: Callable[[Story], Text]) -> Views:
    """Stories, each beside a view of it."""
    return Views(*collate([view(story) for story in group]), *collate([told(story) for story in group]))


def encoders(seed: int) -> dict[str, SentenceEncoder]:
    """The untrained encoder, and the three that learn."""
    draw = random.Random(seed)

    def batches(kind: str) -> Iterator[Views]:
        while True:
            if kind == "mirrors":
                group = [story for pair in draw.sample(PAIRS, 24) for story in pair]
                yield pairs_of(group, draw.choice((summary, inquiry)))
            else:
                yield pairs_of(draw.sample(TRAINING, 32), told if kind == "twins" else summary)

    twins, paired = new_encoder(seed, dropout=0.1), new_encoder(seed)
    train(twins, batches("twins"), 80, seed)
    train(paired, batches("summaries"), 120, seed)
    hardened = copy.deepcopy(paired)
    train(hardened, batches("mirrors"), 150, seed)
    return {
        "untrained encoder": new_encoder(seed).eval(),
        "trained on twins": twins,
        "trained on summaries": paired,
        "then hard negatives": hardened,
    }


def main() -> None:
    """Run every seed, and write the tables."""
    given = report.arguments(__doc__)
    restored = {"copied": [judged(READ)], "by rule": [judged([by_rule(text) for text in READ])], "by the model": []}
    found = {
        "guessing": [recalls(lambda q, d: torch.zeros(len(q), len(d)))],
        "tf-idf": [recalls(lambda q, d: BagOfWords(d).cosine(q))],
        "BM25": [recalls(lambda q, d: BagOfWords(d).bm25(q))],
        "BM25, pairs of words": [recalls(lambda q, d: BagOfWords(near_pairs(d)).bm25(near_pairs(q)))],
    }
    for seed in range(given.seeds):
        model, numbers = denoiser(seed)
        restored["by the model"].append(numbers)
        found.setdefault("denoiser's encoder", []).append(
            recalls(by_vectors(lambda ids, real, model=model: masked_mean(model.encode(ids, real), real)))
        )
        for name, encoder in encoders(seed).items():
            found.setdefault(name, []).append(recalls(by_vectors(encoder)))
        print(seed, numbers, {name: runs[-1] for name, runs in found.items()}, flush=True)
    exact = [p for story in HELD_OUT for p in story.log_probs[: len(told(story))]]
    tables = {
        part: {name: {"runs": runs, "summary": report.summary(runs)} for name, runs in rows.items()}
        for part, rows in (("restored", restored), ("found", found))
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
