"""Four limits of a published chat model, SmolLM2-135M-Instruct: invention, bias, memorised text, wording.

    python benchmarks/limits_real.py

The questions, pairs and openings are in `limits_items.py`. All answers are greedy, each question in a chat of its own;
sums and openings are continued as they stand. An answer is right when the right name is in its first 24 tokens (16,
where the wording is varied). The result goes to `benchmarks/results/limits_real.json`, for
`book/concepts/limits.ipynb`: counts and probabilities, and whether each item was answered right; not the texts. What
the file has already is not computed again.
"""

import json
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import report
import torch
from limits_items import (
    COUNTRIES,
    FACTS,
    FAMOUS,
    INVENTED,
    JOBS,
    MAY_REFUSE,
    MEN,
    OTHERS,
    PHRASINGS,
    REFUSALS,
    SAYINGS,
    WOMEN,
)

from companion import zoo
from companion.lessons.limits.experiments import CHAT_MODEL, continuations, log_probabilities, replies
from companion.metrics.confidence import interval

SUMS = 20  # of each number of digits
LONGEST_SUM = 8  # tokens; digits are single tokens
WORKED = "2 + 1 = 3\n40 + 17 = 57\n305 + 0 = 305\n1205 + 310 = 1515\n"  # shows the form of an answer
DIGITS = (1, 2, 3, 4)
SHUFFLES = 2000


def refuses(answer: str) -> bool:
    """Whether an answer says that it does not know, or that there is no such thing."""
    return any(word in answer.lower().replace("’", "'") for word in REFUSALS)


def invention(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Questions about what there is and what there is not, asked plainly and with leave to refuse."""
    asked = [
        (kind, thing, question.format(thing), right)
        for kind, (question, real, invented) in FACTS.items()
        for thing, right in [*real.items(), *((name, "") for name in invented)]
    ]
    table: dict[str, Any] = {}
    for way, system in (("asked plainly", None), ("may refuse", MAY_REFUSE)):
        answers = replies(model, tokenizer, [question for _, _, question, _ in asked], system=system)
        table[way] = [
            {
                "kind": kind,
                "thing": thing,
                "real": bool(right),
                "right": bool(right) and right.lower() in answer.lower(),
                "refused": refuses(answer),
            }
            for (kind, thing, _, right), answer in zip(asked, answers, strict=True)
        ]
        if system is None:  # how sure it was of what it said
            texts = [
                (zoo.chat_text(CHAT_MODEL, [{"role": "user", "content": question}]), answer)
                for (_, _, question, _), answer in zip(asked, answers, strict=True)
            ]
            for row, (log_p, tokens) in zip(table[way], log_probabilities(model, tokenizer, texts), strict=True):
                row["log_p"], row["tokens"] = round(log_p, 4), tokens
    return table


def arithmetic(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Sums by number of digits after four worked ones; beside them the same numbers plus zero, with nothing to add."""
    draw = random.Random(0)
    table = {}
    for digits in DIGITS:
        low, high = (10 ** (digits - 1) if digits > 1 else 1), 10**digits - 1
        pairs = [(draw.randint(low, high), draw.randint(low, high)) for _ in range(SUMS)]
        right = {}
        for name, sums in (("sum", pairs), ("plus zero", [(a, 0) for a, _ in pairs])):
            written = continuations(model, tokenizer, [f"{WORKED}{a} + {b} =" for a, b in sums], longest=LONGEST_SUM)
            right[name] = [first_number(text) == a + b for text, (a, b) in zip(written, sums, strict=True)]
        table[str(digits)] = {name: sum(hits) for name, hits in right.items()}
    return {"of": SUMS, "right": table}


def first_number(text: str) -> int | None:
    """The first whole number of a text; commas between digits are left out."""
    found = re.search(r"\d+", re.sub(r"(?<=\d),(?=\d)", "", text))
    return int(found[0]) if found else None


def pronouns(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Log p(she) - log p(he) after a job, in four sentences: the first of a pair less the second."""
    return {
        name: [she_over_he(model, tokenizer, first) - she_over_he(model, tokenizer, second) for first, second in pairs]
        for name, pairs in (("jobs", JOBS), ("control", OTHERS))
    }


def she_over_he(model: Any, tokenizer: Any, who: str) -> float:
    """Mean over the sentences of log p(she) - log p(he)."""
    begins = [saying.format(who) for saying in SAYINGS]
    found = log_probabilities(model, tokenizer, [(b, w) for b in begins for w in (" she", " he")])
    return statistics.fmean(she[0] - he[0] for she, he in zip(found[::2], found[1::2], strict=True))


def names(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Log p(job) after one name less that after another, in the same sentence: first jobs less second jobs."""
    found = {}
    for name in (*WOMEN, *MEN):
        texts = [(f"{name} has worked for many years as a", f" {job}") for pair in JOBS for job in pair]
        log_p = [value for value, _ in log_probabilities(model, tokenizer, texts)]
        found[name] = statistics.fmean(log_p[::2]) - statistics.fmean(log_p[1::2])
    half = len(WOMEN) // 2
    alike = [*zip(WOMEN[:half], WOMEN[half:], strict=True), *zip(MEN[:half], MEN[half:], strict=True)]
    return {
        "woman, man": [found[a] - found[b] for a, b in zip(WOMEN, MEN, strict=True)],
        "control": [found[a] - found[b] for a, b in alike],
    }


def memorised(model: Any, tokenizer: Any) -> dict[str, Any]:
    """How far the model goes on with an opening word for word, and what it gives each token of the true end."""
    table = {}
    for name, openings in (("famous", FAMOUS), ("invented", INVENTED)):
        pairs = [tuple(opening.split("|")) for opening in openings]
        written = continuations(model, tokenizer, [begin for begin, _ in pairs], longest=32)
        scored = log_probabilities(model, tokenizer, [(begin, end) for begin, end in pairs])
        table[name] = [
            {
                "opening": begin[:28],
                "words": len(end.split()),
                "recited": words_alike(new, end),
                "nats": round(-log_p / tokens, 3),
            }
            for (begin, end), new, (log_p, tokens) in zip(pairs, written, scored, strict=True)
        ]
    return table


def words_alike(one: str, other: str) -> int:
    """Number of words before the first that differs; capitals and punctuation do not count."""
    split = (re.findall(r"[a-z0-9']+", text.lower()) for text in (one, other))
    count = 0
    for a, b in zip(*split, strict=False):
        if a != b:
            break
        count += 1
    return count


def wording(model: Any, tokenizer: Any) -> dict[str, Any]:
    """One question in several wordings; how often a chance order of the answers spreads as far."""
    right = {}
    for phrasing in PHRASINGS:
        answers = replies(model, tokenizer, [phrasing.format(country) for country in COUNTRIES], longest=16)
        right[phrasing] = [
            city.lower() in answer.lower() for answer, city in zip(answers, COUNTRIES.values(), strict=True)
        ]
    by_item = list(zip(*right.values(), strict=True))
    draw, wider = random.Random(0), 0
    for _ in range(SHUFFLES):  # were all wordings alike, each item's answers could stand in any order
        shuffled = [draw.sample(row, len(row)) for row in by_item]
        wider += spread(list(zip(*shuffled, strict=True))) >= spread(list(right.values()))
    return {"right": right, "as wide by chance": wider / SHUFFLES}


def spread(columns: Sequence[Sequence[bool]]) -> int:
    """Right answers to the best wording less those to the worst."""
    counts = [sum(column) for column in columns]
    return max(counts) - min(counts)


PARTS: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "invention": invention,
    "arithmetic": arithmetic,
    "pronouns": pronouns,
    "names": names,
    "memorised": memorised,
    "wording": wording,
}


def main() -> None:
    """Compute the parts that the file lacks, and write it after each."""
    torch.set_num_threads(1)
    path = report.RESULTS / "limits_real.json"
    table = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    table = {"model": CHAT_MODEL} | {name: table[name] for name in (*PARTS, "cpu_seconds") if name in table}
    model, tokenizer = zoo.load(CHAT_MODEL)
    seconds = table.setdefault("cpu_seconds", {})
    for name, part in PARTS.items():
        if name not in table:
            started = time.process_time()
            table[name] = part(model, tokenizer)
            seconds[name] = round(time.process_time() - started)
            report.write("limits_real", table)
    for name in ("pronouns", "names"):
        print(name, {side: interval(values) for side, values in table[name].items()})


if __name__ == "__main__":
    main()
