"""Exercises of ``book/practice/train_save_serve.ipynb``."""

import hashlib
import math
import statistics
from typing import Any

from companion.lessons.exercise_check import Exercise, Mistake
from companion.serving.load import mean_in_flight, percentile

LATENCIES = [0.012, 0.010, 0.011, 0.250, 0.013, 0.009, 0.016, 0.014, 0.015, 0.900]

PERCENTILE = Exercise(
    name="nearest-rank",
    task="From the latencies `x`, a list, and a fraction `q`, return the percentile by the nearest rank.",
    reference=percentile,
    cases=lambda: [(LATENCIES, 0.5), (LATENCIES, 0.95), (LATENCIES, 1.0), ([3.0, 1.0, 2.0], 0.34), ([5.0], 0.01)],
    mistakes=(
        Mistake(
            lambda x, q: x[math.ceil(round(q * len(x), 9)) - 1],
            "You take the value that came at that place. Sort them first.",
        ),
        Mistake(
            lambda x, q: sorted(x)[min(int(q * len(x)), len(x) - 1)],
            "Yours is one rank too high where q n is a whole number. Python counts from 0: rank k is at k - 1.",
        ),
        Mistake(
            lambda x, q: statistics.fmean(x),
            "That is the mean. One slow request in ten moves it, and it is nobody's latency.",
        ),
        Mistake(
            lambda x, q: q * max(x),
            "That is a fraction of the largest value. A percentile is one of the values, chosen by its rank.",
        ),
    ),
)


def _rate(intervals: list[tuple[float, float]]) -> float:
    return len(intervals) / (max(end for _, end in intervals) - min(start for start, _ in intervals))


def _latency(intervals: list[tuple[float, float]]) -> float:
    return statistics.fmean(end - start for start, end in intervals)


IN_FLIGHT = Exercise(
    name="requests-in-flight",
    task="From `intervals`, a list of (start, end) in seconds, return the mean number of requests in flight.",
    reference=mean_in_flight,
    cases=lambda: [
        ([(0.0, 2.0), (1.0, 2.0)],),
        ([(0.0, 1.0), (3.0, 4.0)],),
        ([(0.5, 2.5), (0.5, 1.5), (1.0, 4.5), (2.0, 2.5)],),
    ],
    mistakes=(
        Mistake(_rate, "That is the throughput, requests per second. How long does each of them stay?"),
        Mistake(_latency, "That is the mean latency, in seconds. How many such requests come per second?"),
        Mistake(
            lambda intervals: float(
                max(sum(start <= moment < end for start, end in intervals) for moment, _ in intervals)
            ),
            "That is the largest number at any moment. The mean is smaller unless all start and end together.",
        ),
        Mistake(
            lambda intervals: _rate(intervals) / _latency(intervals),
            "Multiply the throughput by the latency. Requests that stay longer are more, not fewer.",
        ),
    ),
)


def _is_acceptable(content: Any, most: int) -> bool:
    if not isinstance(content, dict) or set(content) != {"texts"} or not isinstance(content["texts"], list):
        return False
    texts = content["texts"]
    return 1 <= len(texts) <= most and all(isinstance(text, str) and bool(text.strip()) for text in texts)


def _texts(content: Any) -> Any:
    return content.get("texts") if isinstance(content, dict) and set(content) == {"texts"} else None


ACCEPTABLE = Exercise(
    name="acceptable-body",
    task=(
        "From `content`, the parsed JSON of a body, and the largest number `most` of texts, return True when it is an "
        'object with the one key "texts" and a list of 1 to `most` strings, none blank, and False otherwise.'
    ),
    reference=_is_acceptable,
    cases=lambda: [
        ({"texts": "Anna"}, 8),
        ({"texts": ["Anna", "Tom"]}, 2),
        ({"texts": []}, 2),
        ({"texts": ["a", "b", "c"]}, 2),
        ({"texts": ["a", 7]}, 2),
        ({"texts": ["a", " "]}, 2),
        ({"texts": ["a"], "temperature": 2}, 2),
        (["a"], 2),
        (None, 2),
    ],
    mistakes=(
        Mistake(
            lambda content, most: bool(
                isinstance(_texts(content), list | str)
                and 1 <= len(_texts(content)) <= most
                and all(isinstance(text, str) and text.strip() for text in _texts(content))
            ),
            "A string is let through: its letters are strings too. Ask for a list.",
        ),
        Mistake(
            lambda content, most: bool(
                isinstance(_texts(content), list)
                and len(_texts(content)) <= most
                and all(isinstance(text, str) and text.strip() for text in _texts(content))
            ),
            "An empty list is let through: of no texts, all are right. Ask for at least one.",
        ),
        Mistake(
            lambda content, most: bool(
                isinstance(_texts(content), list)
                and 1 <= len(_texts(content)) <= most
                and all(isinstance(text, str) and text for text in _texts(content))
            ),
            "A text of white space is let through. What has no character that can be seen is no text.",
        ),
        Mistake(
            lambda content, most: isinstance(content, dict) and _is_acceptable({"texts": content.get("texts")}, most),
            "A key that nobody asked for is let through. The client thinks that it does something, and it does not.",
        ),
        Mistake(
            lambda content, most: _is_acceptable(content, most - 1),
            "You refuse `most` texts, and so many are allowed.",
        ),
    ),
)


def _of_the_log(lines: list[str]) -> tuple[float, float]:
    rows = [line.split() for line in lines]
    asked = [(int(status), float(seconds)) for _, path, status, seconds in rows if path == "/predict"]
    failed = sum(status >= 500 for status, _ in asked) / len(asked)
    return failed, percentile([seconds for status, seconds in asked if status == 200], 0.95)


def _read(lines: list[str]) -> list[tuple[str, int, float]]:
    return [(path, int(status), float(seconds)) for _, path, status, seconds in map(str.split, lines)]


def _log() -> list[tuple[list[str]]]:
    first = [
        "POST /predict 200 0.020",
        "POST /predict 422 0.001",
        "POST /predict 200 0.030",
        "POST /predict 503 5.001",
        "GET /health 200 0.900",
        "POST /predict 400 0.001",
    ]
    second = [f"POST /predict 200 0.0{n}" for n in range(10, 40)] + ["POST /predict 500 0.002", "GET /health 503 1.0"]
    return [(first,), (second,)]


LOG = Exercise(
    name="read-the-log",
    task=(
        'From the `lines` of a log, "POST /predict 200 0.013" (method, path, status, seconds), return two numbers '
        "about /predict alone: the fraction of its requests in which the service failed (5xx), and the 95th "
        "percentile of the latencies of its answers (200), by the nearest rank."
    ),
    reference=_of_the_log,
    cases=_log,
    mistakes=(
        Mistake(
            lambda lines: (
                sum(s != 200 for p, s, _ in _read(lines) if p == "/predict")
                / sum(p == "/predict" for p, _, _ in _read(lines)),
                _of_the_log(lines)[1],
            ),
            "You count the 4xx as failures. There the client was wrong, and the service said so: that is its job.",
        ),
        Mistake(
            lambda lines: (
                sum(s >= 500 for _, s, _ in _read(lines)) / len(lines),
                percentile([t for _, s, t in _read(lines) if s == 200], 0.95),
            ),
            "You count /health as well. A machine asks that every few seconds, and it hides what people see.",
        ),
        Mistake(
            lambda lines: (_of_the_log(lines)[0], percentile([t for p, _, t in _read(lines) if p == "/predict"], 0.95)),
            "Your latencies are those of refusals too, which are quick, and of failures. Take the answers alone.",
        ),
        Mistake(
            lambda lines: (
                _of_the_log(lines)[0],
                statistics.fmean(t for p, s, t in _read(lines) if p == "/predict" and s == 200),
            ),
            "The second number is the mean. What do the slowest answers take?",
        ),
    ),
)

WORKERS = Exercise(
    name="enough-workers",
    task=(
        "Per second `rate` requests come, and one takes a worker `seconds`. Return the least number of workers that "
        "are busy for at most the fraction `busy` of their time."
    ),
    reference=lambda rate, seconds, busy: math.ceil(round(rate * seconds / busy, 9)),
    cases=lambda: [(50.0, 0.1, 0.5), (40.0, 0.05, 0.6), (1.0, 0.2, 0.7), (300.0, 0.012, 0.75)],
    mistakes=(
        Mistake(
            lambda rate, seconds, busy: math.ceil(round(rate * seconds, 9)),
            "So many are busy on average, all of them, all the time. Leave room: divide by `busy`.",
        ),
        Mistake(
            lambda rate, seconds, busy: int(rate * seconds / busy),
            "You round down. Then the workers are busier than they may be; with none, nobody answers.",
        ),
        Mistake(
            lambda rate, seconds, busy: math.ceil(round(rate * seconds * busy, 9)),
            "Multiplied by `busy` they are fewer than the work that comes. Divide.",
        ),
        Mistake(
            lambda rate, seconds, busy: math.ceil(rate / seconds),
            "A request that takes longer needs more workers, not fewer: multiply rate and seconds.",
        ),
    ),
)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _changed(card: dict[str, str], files: dict[str, bytes]) -> list[str]:
    return sorted(name for name, digest in card.items() if name not in files or _sha(files[name]) != digest)


def _folders() -> list[tuple[dict[str, str], dict[str, bytes]]]:
    files = {"model.safetensors": b"weights", "config.json": b"{}", "tokenizer.json": b"words"}
    card = {name: _sha(content) for name, content in files.items()}
    return [
        (card, {**files, "model.safetensors": b"wEights"}),
        (card, files),
        (card, {name: content for name, content in files.items() if name != "config.json"}),
        (card, {**files, "tokenizer.json": b"", "notes.txt": b"mine"}),
    ]


CHANGED = Exercise(
    name="changed-files",
    task=(
        "On the `card` stands the SHA-256 of each file in hexadecimal digits, by name; `files` has the bytes of those "
        "that are there. Return the sorted list of names on the card whose file is missing or has another SHA-256."
    ),
    reference=_changed,
    cases=_folders,
    mistakes=(
        Mistake(
            lambda card, files: sorted(name for name in card if name in files and _sha(files[name]) != card[name]),
            "A file that is missing is not named. A model without its config is no model either.",
        ),
        Mistake(
            lambda card, files: sorted(set(card) - set(files)),
            "You look for the names alone. A file can be there and be another.",
        ),
        Mistake(
            lambda card, files: sorted({*_changed(card, files), *(set(files) - set(card))}),
            "A file that the card does not know is named. It may lie there; the model does not read it.",
        ),
        Mistake(
            lambda card, files: sorted(card) if _changed(card, files) else [],
            "You name all files when one has changed. Say which.",
        ),
    ),
)

EXERCISES = (PERCENTILE, IN_FLIGHT, ACCEPTABLE, LOG, WORKERS, CHANGED)
