"""A search among real sentences, by queries in their own words and in others: a published encoder beside BM25.

    python benchmarks/paraphrases.py

Each of the 60 sentences of `companion.data.paraphrases` is looked for twice: by a query with all of its content words,
and by one with none of them. The sentences are the same both times, and so are the searchers: BM25; all-MiniLM-L6-v2;
the mean of its word-piece embeddings, which has its vocabulary and none of its blocks; and its architecture with new
weights (five seeds, averaged for each query). For each query: the reciprocal rank of its sentence and whether it came
first, a tie counting as its expectation. Intervals are 95 %, over the queries, paired where two searchers are compared.
"""

from collections.abc import Callable, Sequence

import report
import torch
from torch import Tensor

from companion import zoo
from companion.data.batch import padded
from companion.data.paraphrases import paraphrases, words
from companion.losses.contrastive import similarity
from companion.metrics.confidence import interval
from companion.metrics.retrieval import recall_at, reciprocal_ranks
from companion.models.baselines.bag_of_words import BagOfWords
from companion.models.bert import Bert
from companion.models.sentence_encoder import SentenceEncoder, masked_mean

MODEL = "minilm-l6"
ROWS = paraphrases()
SENTENCES = [row.sentence for row in ROWS]
QUERIES = {"same words": [row.same_words for row in ROWS], "other words": [row.other_words for row in ROWS]}
BERT, TOKENIZER = zoo.load(MODEL)
Embed = Callable[[Tensor, Tensor], Tensor]


def by_words(queries: Sequence[str]) -> Tensor:
    """BM25 scores."""
    return BagOfWords([words(text) for text in SENTENCES]).bm25([words(text) for text in queries])


@torch.no_grad()
def by_vectors(queries: Sequence[str], embed: Embed) -> Tensor:
    """Cosines of vectors."""
    sides = (padded([TOKENIZER.encode(text).ids for text in texts]) for texts in (queries, SENTENCES))
    return similarity(*(embed(*side) for side in sides))


def per_query(scores: Tensor) -> dict[str, list[float]]:
    """Whether each query finds its sentence first, and its reciprocal rank."""
    wanted = torch.arange(len(scores))
    first = [recall_at(1, scores[i : i + 1], wanted[i : i + 1]) for i in range(len(scores))]
    return {"recall@1": first, "reciprocal rank": reciprocal_ranks(scores, wanted).tolist()}


def averaged(runs: Sequence[dict[str, list[float]]]) -> dict[str, list[float]]:
    """The mean over seeds, query by query."""
    return {name: torch.tensor([run[name] for run in runs]).mean(0).tolist() for name in runs[0]}


def untrained(seed: int) -> SentenceEncoder:
    """The architecture with new weights."""
    torch.manual_seed(seed)
    return SentenceEncoder(Bert(BERT.config)).eval()


def main() -> None:
    """Search, and write the table."""
    given = report.arguments(__doc__)
    encoder = SentenceEncoder(BERT)
    found: dict[str, dict[str, dict[str, list[float]]]] = {
        "BM25": {},
        "MiniLM": {},
        "its embeddings": {},
        "untrained": {},
    }
    for group, queries in QUERIES.items():
        found["BM25"][group] = per_query(by_words(queries))
        found["MiniLM"][group] = per_query(by_vectors(queries, encoder))
        found["its embeddings"][group] = per_query(
            by_vectors(queries, lambda ids, real: masked_mean(BERT.token_embedding(ids), real))
        )
        found["untrained"][group] = averaged(
            [per_query(by_vectors(queries, untrained(seed))) for seed in range(given.seeds)]
        )
    table = {
        name: {
            group: {measure: {**interval(values)._asdict(), "queries": values} for measure, values in measures.items()}
            for group, measures in groups.items()
        }
        for name, groups in found.items()
    }
    against = {
        group: {
            measure: interval([a - b for a, b in zip(values, found["BM25"][group][measure], strict=True)])._asdict()
            for measure, values in found["MiniLM"][group].items()
        }
        for group in QUERIES
    }
    for name, groups in table.items():
        print(name, {g: {m: round(v["mean"], 3) for m, v in ms.items()} for g, ms in groups.items()}, flush=True)
    print("MiniLM - BM25", against)
    report.write("paraphrases", {"model": MODEL, "sentences": len(ROWS), "found": table, "MiniLM less BM25": against})


if __name__ == "__main__":
    main()
