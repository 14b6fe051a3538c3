"""A client, a load of requests at a chosen concurrency, and what it says: percentiles, and how many were in flight.

Chapter: ``book/practice/train_save_serve.ipynb``. Source: Little 1961, "A Proof for the Queuing Formula L = λW".
"""

import http.client
import itertools
import json
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from companion.nn.checks import check_integer

JSON = {"Content-Type": "application/json"}


class Request(NamedTuple):
    """What is sent.

    Attributes:
        path: of the service.
        body: bytes; without any it is a GET.
        headers: those of HTTP.
        method: POST with a body, GET without, when not given.
    """

    path: str = "/predict"
    body: bytes | None = None
    headers: Mapping[str, str] = JSON
    method: str | None = None


class Call(NamedTuple):
    """What came back.

    Attributes:
        status: of HTTP.
        content: the answer's JSON, or its text where it is none.
        start: in seconds, on a clock of its own.
        end: on the same clock.
    """

    status: int
    content: Any
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Latency: from the first byte sent to the last received."""
        return self.end - self.start


def prediction(texts: Sequence[str]) -> Request:
    """The request that asks for the answers to some texts.

    >>> prediction(["Anna"]).body
    b'{"texts": ["Anna"]}'
    """
    return Request(body=json.dumps({"texts": list(texts)}).encode())


def call(address: str, request: Request, timeout: float = 30.0) -> Call:
    """The answer of a service to one request, over a connection of its own.

    >>> from companion.serving.service import Service
    >>> with Service(lambda texts: [text.upper() for text in texts], about={}) as service:
    ...     call(service.address, prediction(["anna"])).content
    {'answers': ['ANNA']}

    Raises:
        OSError: when nobody answers there, or not in time.
    """
    place = urlsplit(address)
    start = time.perf_counter()
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=timeout)
    try:
        method = request.method or ("GET" if request.body is None else "POST")
        connection.request(method, request.path, request.body, dict(request.headers))
        answer = connection.getresponse()
        raw = answer.read()
    finally:
        connection.close()
    end = time.perf_counter()
    try:
        return Call(answer.status, json.loads(raw), start, end)
    except ValueError:
        return Call(answer.status, raw.decode("utf-8", "replace"), start, end)


def load(address: str, requests: Sequence[Request], concurrency: int) -> list[Call]:
    """The answers to many requests, in their order; each of ``concurrency`` clients sends the next when one is free.

    >>> from companion.serving.service import Service
    >>> with Service(lambda texts: texts, about={}) as service:
    ...     [one.status for one in load(service.address, [prediction(["a"]), Request(body=b"{")], concurrency=2)]
    [200, 400]

    Raises:
        ValueError: on a concurrency below 1.
        OSError: when a request got no answer.
    """
    check_integer("concurrency", concurrency)
    with ThreadPoolExecutor(concurrency) as clients:
        return list(clients.map(lambda request: call(address, request), requests))


def percentile(values: Sequence[float], fraction: float) -> float:
    """Percentile by the nearest rank: the smallest of the values with at least this fraction of all at or below it.

    >>> percentile([30.0, 10.0, 20.0, 900.0], 0.5), percentile([30.0, 10.0, 20.0, 900.0], 0.99)
    (20.0, 900.0)

    Raises:
        ValueError: on no values, or a fraction that is not above 0 and at most 1.
    """
    if not values:
        raise ValueError("values must hold at least one; got none")
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be above 0 and at most 1; got {fraction}")
    return sorted(values)[math.ceil(round(fraction * len(values), 9)) - 1]  # 0.07 · 100 is 7.000000000000001


def mean_in_flight(intervals: Sequence[tuple[float, float]]) -> float:
    """Mean number of requests in flight, over the time from the first start to the last end.

    The number is followed from event to event: it rises at each start and falls at each end.

    >>> mean_in_flight([(0.0, 2.0), (1.0, 2.0)])  # one for a second, two for a second
    1.5

    Raises:
        ValueError: on no intervals, or none that takes time.
    """
    events = sorted([(start, 1) for start, _ in intervals] + [(end, -1) for _, end in intervals])
    if not events or events[-1][0] == events[0][0]:
        raise ValueError(f"there must be an interval that takes time; got {len(intervals)} that take none")
    area, running = 0.0, 0
    for (now, change), (later, _) in itertools.pairwise(events):
        running += change
        area += running * (later - now)
    return area / (events[-1][0] - events[0][0])
