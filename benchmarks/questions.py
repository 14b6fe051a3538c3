"""Forty questions, each in two wordings, to the 472 paragraphs of the primer: who finds the paragraph that answers?

    python benchmarks/questions.py

Searchers: BM25 over content words; all-MiniLM-L6-v2 by one vector per text; late interaction over the same model's
token vectors; the first two fused by reciprocal ranks; and the five best of MiniLM ranked anew by the chat model
SmolLM2-135M-Instruct, which reads paragraph and question together. Then the questions in other words with one to four
words of the paragraph before them, five draws of the words, and two ways to fuse, all ranks or the ten best of each;
the primer's four files as long texts, cut into chunks in several ways, of which a reader takes the best up to 240
words; and the nearest vectors by an inverted file, five draws of its centres. Intervals are 95 %, over the questions,
paired where two searchers are compared.
"""

import time
from collections.abc import Sequence
from importlib import resources
from typing import Any

import report
import torch
from torch import Tensor

from companion import zoo
from companion.data.primer_questions import paragraphs, questions
from companion.lessons.retrieval.experiments import (
    by_words,
    means,
    question_likelihood,
    reminded,
    token_vectors,
    windows,
)
from companion.losses.contrastive import similarity
from companion.metrics.confidence import interval
from companion.metrics.retrieval import ndcg_at, recall_at, reciprocal_ranks
from companion.models.ranking import InvertedFile, max_sim, reciprocal_rank_fusion

PARAGRAPHS, QUESTIONS = paragraphs(), questions()
WANTED = torch.tensor([one.paragraph for one in QUESTIONS])
WORDINGS = {
    "same words": [one.same_words for one in QUESTIONS],
    "other words": [one.other_words for one in QUESTIONS],
}
REMINDERS, DRAWS = (0, 1, 2, 3, 4), 5
CHUNKS = ((30, 0), (60, 0), (60, 30), (120, 0), (240, 0))  # words, and words in common with the chunk before
FIRST = 10  # documents of each ranking, in the second way to fuse
READ = 240  # words that the reader of chunks takes
CANDIDATES = 5  # of MiniLM, that are ranked anew
CELLS, PROBES = 16, (1, 2, 4, 8, 16)


def measured(scores: Tensor) -> dict[str, list[float]]:
    """Recall at 1 and 5, reciprocal rank and nDCG at 10, question by question."""
    gains = torch.zeros_like(scores).scatter(1, WANTED[:, None], 1.0)
    each = range(len(scores))
    return {
        "recall@1": [recall_at(1, scores[i : i + 1], WANTED[i : i + 1]) for i in each],
        "recall@5": [recall_at(5, scores[i : i + 1], WANTED[i : i + 1]) for i in each],
        "reciprocal rank": reciprocal_ranks(scores, WANTED).tolist(),
        "nDCG@10": ndcg_at(10, scores, gains).tolist(),
    }


def ranked_anew(scores: Tensor, asked: Sequence[str]) -> Tensor:
    """The scores with the best few of each question in the order of the chat model, before all others."""
    model, tokenizer = zoo.load("smollm2-135m")
    anew = scores.clone()
    for row, question in zip(anew, asked, strict=True):
        best = row.topk(CANDIDATES).indices
        row[best] = 100 + question_likelihood(model, tokenizer, question, [PARAGRAPHS[i] for i in best.tolist()])
    return anew


def searches(bert: Any, tokenizer: Any, documents: list[Tensor]) -> dict[str, dict[str, Tensor]]:
    """Scores of each searcher for each wording."""
    found: dict[str, dict[str, Tensor]] = {}
    for wording, asked in WORDINGS.items():
        tokens = token_vectors(bert, tokenizer, asked)
        counted = by_words(asked, PARAGRAPHS)
        near = similarity(means(tokens), means(documents))
        rows = {
            "BM25": counted,
            "MiniLM": near,
            "late interaction": max_sim(tokens, documents),
            "BM25 and MiniLM fused": reciprocal_rank_fusion([counted, near]),
            "MiniLM, then SmolLM2": ranked_anew(near, asked),
        }
        for name, scores in rows.items():
            found.setdefault(name, {})[wording] = scores
    return found


def best_of(scores: Tensor) -> Tensor:
    """The scores of the first few documents of each question; minus infinity for the others."""
    return scores.masked_fill(scores < scores.topk(FIRST).values[:, -1:], -torch.inf)


def with_reminders(bert: Any, tokenizer: Any, documents: Tensor) -> dict[str, list[list[float]]]:
    """Recall@1 of four searchers, by the number of words of the paragraph: the mean over draws, for each question."""
    found: dict[str, list[list[float]]] = {}
    for number in REMINDERS:
        runs: dict[str, list[list[float]]] = {}
        for seed in range(DRAWS if number else 1):
            asked = [reminded(one, PARAGRAPHS[one.paragraph], number, seed) for one in QUESTIONS]
            counted = by_words(asked, PARAGRAPHS)
            near = similarity(means(token_vectors(bert, tokenizer, asked)), documents)
            ranked = {
                "BM25": counted,
                "MiniLM": near,
                "fused": reciprocal_rank_fusion([counted, near]),
                "fused, ten best": reciprocal_rank_fusion([best_of(counted), best_of(near)]),
            }
            for name, scores in ranked.items():
                runs.setdefault(name, []).append(measured(scores)["recall@1"])
        for name, values in runs.items():
            found.setdefault(name, []).append(torch.tensor(values).mean(0).tolist())
    return found


def in_chunks(bert: Any, tokenizer: Any) -> dict[str, dict[str, Any]]:
    """Whether the evidence lies whole in a chunk, and in the chunks that are read, for each way of cutting."""
    files = sorted((resources.files("companion.data") / "primer").iterdir(), key=lambda file: file.name)
    texts = [file.read_text(encoding="utf8") for file in files]
    ways = {f"{size} words, {overlap} in common": (size, overlap) for size, overlap in CHUNKS}
    found: dict[str, dict[str, Any]] = {}
    for name, (size, overlap) in ({"paragraphs": (0, 0)} | ways).items():
        parts = [part for text in texts for part in windows(text, size, overlap)] if size else PARAGRAPHS
        parts = [" ".join(part.split()) for part in parts]
        holds = torch.tensor([[one.evidence in part for part in parts] for one in QUESTIONS])
        vectors = means(token_vectors(bert, tokenizer, parts))
        row: dict[str, Any] = {"chunks": len(parts), "whole": holds.any(1).float().mean().item()}
        for wording, asked in WORDINGS.items():
            near = similarity(means(token_vectors(bert, tokenizer, asked)), vectors)
            row[wording] = [float(taken(one, parts, held)) for one, held in zip(near, holds, strict=True)]
        found[name] = row
        print(name, row["chunks"], row["whole"], {w: sum(row[w]) / len(QUESTIONS) for w in WORDINGS}, flush=True)
    return found


def taken(scores: Tensor, parts: Sequence[str], holds: Tensor) -> bool:
    """Whether the evidence is in the best chunks, of which as many are taken as have the number of words to be read."""
    left = READ
    for number in scores.argsort(descending=True).tolist():
        left -= len(parts[number].split())
        if left < 0:
            return False
        if holds[number]:
            return True
    return False


def in_cells(documents: Tensor, asked: Tensor) -> dict[str, dict[str, list[float]]]:
    """For each number of opened cells: how often the nearest vector is found, and how many are compared, by seed."""
    exact = similarity(asked, documents).argmax(1).tolist()
    found: dict[str, dict[str, list[float]]] = {str(n): {"found": [], "compared": []} for n in PROBES}
    for seed in range(DRAWS):
        index = InvertedFile(documents, CELLS, seed=seed)
        for probes in PROBES:
            answers = [index.nearest(one, probes) for one in asked]
            same = [number == right for (number, _), right in zip(answers, exact, strict=True)]
            found[str(probes)]["found"].append(sum(same) / len(same))
            found[str(probes)]["compared"].append(sum(n for _, n in answers) / len(answers) / len(documents))
    return found


def main() -> None:
    """Search in every way, and write the tables."""
    report.arguments(__doc__)
    began = time.process_time()
    bert, tokenizer = zoo.load("minilm-l6")
    documents = token_vectors(bert, tokenizer, PARAGRAPHS)
    scores = searches(bert, tokenizer, documents)
    runs = {name: {w: measured(s) for w, s in rows.items()} for name, rows in scores.items()}
    table = {
        name: {w: {m: {**interval(v)._asdict(), "queries": v} for m, v in of.items()} for w, of in rows.items()}
        for name, rows in runs.items()
    }
    for name, rows in table.items():
        print(name, {w: {m: round(v["mean"], 3) for m, v in of.items()} for w, of in rows.items()}, flush=True)
    against = {
        name: {
            w: interval([a - b for a, b in zip(of["recall@1"], runs["MiniLM"][w]["recall@1"], strict=True)])._asdict()
            for w, of in rows.items()
        }
        for name, rows in runs.items()
        if name != "MiniLM"
    }
    print(against, flush=True)
    vectors = means(documents)
    reminders = with_reminders(bert, tokenizer, vectors)
    print({name: [round(sum(v) / len(v), 3) for v in rows] for name, rows in reminders.items()}, flush=True)
    asked = means(token_vectors(bert, tokenizer, [*WORDINGS["same words"], *WORDINGS["other words"]]))
    cells = in_cells(vectors, asked)
    print(cells, flush=True)
    tables = {
        "paragraphs": len(PARAGRAPHS),
        "questions": len(QUESTIONS),
        "found": table,
        "less MiniLM": against,
        "reminders": {"words": REMINDERS, "draws": DRAWS, **reminders},
        "chunks": {"words read": READ, "ways": in_chunks(bert, tokenizer)},
        "cells": {"cells": CELLS, "opened": cells},
    }
    report.write("questions", {**tables, "cpu_seconds": round(time.process_time() - began)})


if __name__ == "__main__":
    main()
