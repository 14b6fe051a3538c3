"""Labelled sentences, requests good and bad, and a classifier of film reviews, for the chapter on serving.

Chapter: ``book/practice/train_save_serve.ipynb``.
"""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from companion import zoo
from companion.data.batch import padded
from companion.data.hub import Texts, encode
from companion.data.reviews import POLARITIES, movie_reviews, opinions, polarity, split
from companion.data.tokenization import encode_as_text
from companion.models.sentence_encoder import SentenceEncoder
from companion.serving.load import Request, prediction
from companion.storyworld import World, tasks

ENCODER = "minilm-l6"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HOSTILE = {  # what may come, by what is wrong with it
    "not JSON": Request(body=b"{"),
    "not UTF-8": Request(body=b'{"texts": ["\xff"]}'),
    "null": Request(body=b"null"),
    "a text that is null": Request(body=b'{"texts": [null]}'),
    "one text, no list": Request(body=b'{"texts": "Anna"}'),
    "a number for a text": Request(body=b'{"texts": [1e999]}'),
    "a number of 5,000 digits": Request(body=b'{"texts": [' + b"9" * 5_000 + b"]}"),
    "lists in lists, 60,000 deep": Request(body=b"[" * 60_000),
    "half of a character": Request(body=b'{"texts": ["\\ud800"]}'),
    "nothing to be seen": prediction(["  \n "]),
    "an unknown setting": Request(body=b'{"texts": ["Anna"], "beams": 4}'),
    "a thousand texts": prediction(["Anna"] * 1_000),
    "a text of a book's length": prediction(["Anna " * 600]),
    "a body of a megabyte": Request(body=b" " * 1_000_000),
    "a word never read": prediction(["Anna gets the pizza from Tom ."]),
    "a form": Request(body=b"texts=Anna", headers=FORM),
    "another path": Request("/admin"),
    "GET for POST": Request("/predict"),
    "DELETE": Request(method="DELETE"),
}


class Sentences(NamedTuple):
    """Sentences, each with whether the person named at its end gives or gets.

    Attributes:
        texts: as somebody would type them.
        labels: "gives" or "gets".
    """

    texts: list[str]
    labels: list[str]


def sentences() -> tuple[Sentences, Sentences, Sentences]:
    """Sentences of the story world to learn from, to choose by, and to be judged by.

    The stories of the three are different; a sentence can still occur in two of them.
    """
    parts = tasks.split(World(), train=500, validation=150, test=500, seed=7)
    return _typed(parts.train), _typed(parts.validation), _typed(parts.test)


def _typed(stories: Sequence[Any]) -> Sentences:
    found = tasks.giver(stories)
    return Sentences([" ".join(one.tokens) for one in found], [one.label for one in found])


def mixed(good: Sequence[str], n: int) -> list[Request]:
    """Good and bad requests in turn, ``n`` in all: one text each, and then one of ``HOSTILE``."""
    bad = list(HOSTILE.values())
    return [bad[i // 2 % len(bad)] if i % 2 else prediction([good[i // 2 % len(good)]]) for i in range(n)]


def wire(request: Request) -> str:
    """A request as it goes over the wire: first line, headers, an empty line, the body."""
    body = request.body or b""
    headers = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **request.headers}
    lines = [f"POST {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\n".join([*lines, "", json.dumps(json.loads(body))])


# Film reviews


class Features(NamedTuple):
    """Film reviews as MiniLM reads them.

    Attributes:
        vectors: (reviews, 384), each of length 1.
        labels: (reviews,), 0 for negative and 1 for positive.
    """

    vectors: Tensor
    labels: Tensor


def review_features(train: int, test: int) -> tuple[Features, Features]:
    """Reviews to learn from and to be judged by, drawn at random, as frozen MiniLM reads them.

    Raises:
        companion.data.fetched.NotFetchedError: when the model or the reviews cannot be fetched.
    """
    parts, draw = split(opinions(movie_reviews())), random.Random(0)
    return _features(polarity(draw.sample(parts.train, train))), _features(polarity(draw.sample(parts.test, test)))


def _features(texts: Texts) -> Features:
    labels = torch.tensor([POLARITIES.index(label) for label in texts.labels])
    return Features(embedded(texts.texts), labels)


def embedded(texts: Sequence[str]) -> Tensor:
    """Vectors of texts by frozen MiniLM: (texts, 384), each of length 1.

    Raises:
        companion.data.fetched.NotFetchedError: when it cannot be fetched.
    """
    model, tokenizer = zoo.load(ENCODER)
    encoder = SentenceEncoder(model).eval()
    encodings = encode(tokenizer, texts, context_length=128)
    order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
    vectors = torch.empty(len(texts), model.config.d_model)
    with torch.inference_mode():
        for first in range(0, len(order), 32):
            places = order[first : first + 32]
            vectors[places] = encoder(*padded([encodings[i].ids for i in places]))
    return vectors


def fit_head(features: Features, strength: float = 1e-3, steps: int = 200) -> dict[str, Tensor]:
    """Logistic regression on the vectors: weight (2, d) and bias (2,), with an L2 penalty of this strength."""
    width = features.vectors.size(1)
    head = {"weight": torch.zeros(2, width, requires_grad=True), "bias": torch.zeros(2, requires_grad=True)}
    optimizer = torch.optim.Adam(head.values(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = F.linear(features.vectors, head["weight"], head["bias"])
        penalty = strength * head["weight"].square().sum()
        (F.cross_entropy(logits, features.labels) + penalty).backward()
        optimizer.step()
    return {name: tensor.detach() for name, tensor in head.items()}


def review_answers(file: str | Path) -> Callable[[Sequence[str]], list[dict[str, Any]]]:
    """The function from texts to answers of a head that was saved to a safetensors file, over frozen MiniLM.

    Raises:
        companion.data.fetched.NotFetchedError: when MiniLM cannot be fetched.
    """
    head, (model, tokenizer) = load_file(file), zoo.load(ENCODER)
    encoder = SentenceEncoder(model).eval()

    @torch.inference_mode()
    def answer(texts: Sequence[str]) -> list[dict[str, Any]]:
        rows = [encoding.ids for encoding in encode_as_text(tokenizer, texts)]
        longest = max(map(len, rows))
        if longest > 128:
            raise ValueError(f"a text must have at most 128 tokens; got {longest}")
        probabilities = F.linear(encoder(*padded(rows)), head["weight"], head["bias"]).softmax(-1)
        return [{"label": POLARITIES[int(p.argmax())], "probability": p.max().item()} for p in probabilities]

    return answer
