"""What a small chat model answers with a text and without: forty questions in two wordings, and twenty without answer.

    python benchmarks/grounded.py

SmolLM2-135M-Instruct answers the questions of `companion.data.primer_questions`, greedily and in at most 24 tokens:
alone; with the paragraph that has the answer (the oracle); with a wrong paragraph, the right one of another question of
the same kind; and with the paragraph that MiniLM found. An answer is right when one of the right answers stands in it.
Then with leave to say that the text has none: questions with their paragraph, and those that the primer leaves open
with what MiniLM found. Intervals are 95 %, over the questions.
"""

import time
from collections.abc import Sequence
from typing import Any

import report
from torch import Tensor

from companion import zoo
from companion.data.primer_questions import open_questions, paragraphs, questions
from companion.lessons.retrieval.experiments import answers, declines, is_right, means, prompt, token_vectors
from companion.losses.contrastive import similarity
from companion.metrics.confidence import interval

PARAGRAPHS, QUESTIONS, OPEN = paragraphs(), questions(), open_questions()
ORACLE = [one.paragraph for one in QUESTIONS]
HALF = len(QUESTIONS) // 2
WRONG = [ORACLE[(i + 1) % HALF + i // HALF * HALF] for i in range(len(QUESTIONS))]  # of the next question of its kind
WORDINGS = {
    "same words": [one.same_words for one in QUESTIONS],
    "other words": [one.other_words for one in QUESTIONS],
}

OPEN_ONES = "open questions"


class Asked:
    """The chat model, which is asked nothing twice."""

    def __init__(self) -> None:
        """Load it."""
        self.model, self.tokenizer = zoo.load("smollm2-135m")
        self.known: dict[str, str] = {}

    def __call__(self, asked: Sequence[str], texts: Sequence[str], leave: bool = False) -> list[str]:
        """Answers to questions with a text each."""
        prompts = [prompt(question, text, leave) for question, text in zip(asked, texts, strict=True)]
        new = [one for one in dict.fromkeys(prompts) if one not in self.known]
        self.known |= dict(zip(new, answers(self.model, self.tokenizer, new), strict=True)) if new else {}
        return [self.known[one] for one in prompts]


def judged(said: Sequence[str]) -> dict[str, Any]:
    """Whether each answer is right, all of them and by kind."""
    right = [float(is_right(answer, one)) for answer, one in zip(said, QUESTIONS, strict=True)]
    kinds = {"stories": sum(right[:HALF]) / HALF, "facts": sum(right[HALF:]) / HALF}
    return {"right": right, "all": interval(right)._asdict(), **kinds}


def with_texts(ask: Asked, near: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Answers alone, with paragraphs that are given and with those that were found, for each wording."""
    table: dict[str, dict[str, Any]] = {}
    for wording, asked in WORDINGS.items():
        best = near[wording].topk(1).indices.tolist()
        given: dict[str, list[list[int]]] = {
            "nothing": [[] for _ in asked],
            "a wrong paragraph": [[i] for i in WRONG],
            "the best found": best,
            "the right paragraph": [[i] for i in ORACLE],
        }
        for name, rows in given.items():
            row = judged(ask(asked, ["\n\n".join(PARAGRAPHS[i] for i in chosen) for chosen in rows]))
            row["has the right one"] = [float(one in chosen) for one, chosen in zip(ORACLE, rows, strict=True)]
            table.setdefault(name, {})[wording] = row
            print(wording, name, row["all"], row["stories"], row["facts"], flush=True)
    return table


def with_leave(ask: Asked, near: Tensor) -> dict[str, dict[str, Any]]:
    """How often the model says that the text has no answer, where it has one and where it has none."""
    found: dict[str, dict[str, Any]] = {}
    for name, asked, rows in (
        ("the right paragraph", WORDINGS["same words"], ORACLE),
        ("open questions, the best found", OPEN, near.argmax(1).tolist()),
    ):
        said = ask(asked, [PARAGRAPHS[i] for i in rows], leave=True)
        found[name] = {"declined": [float(declines(answer)) for answer in said]}
        if len(asked) == len(QUESTIONS):
            found[name]["right"] = [float(is_right(answer, one)) for answer, one in zip(said, QUESTIONS, strict=True)]
        print(name, {k: sum(v) / len(v) for k, v in found[name].items()}, flush=True)
    return found


def main() -> None:
    """Ask, and write the tables."""
    report.arguments(__doc__)
    began = time.process_time()
    bert, tokenizer = zoo.load("minilm-l6")
    vectors = means(token_vectors(bert, tokenizer, PARAGRAPHS))
    near = {
        name: similarity(means(token_vectors(bert, tokenizer, asked)), vectors)
        for name, asked in (WORDINGS | {OPEN_ONES: OPEN}).items()
    }
    ask = Asked()
    tables = {
        "answers": with_texts(ask, near),
        "with leave": with_leave(ask, near[OPEN_ONES]),
        "best cosine": {
            name: [round(one, 4) for one in scores.max(1).values.tolist()] for name, scores in near.items()
        },
    }
    report.write("grounded", {**tables, "cpu_seconds": round(time.process_time() - began)})


if __name__ == "__main__":
    main()
