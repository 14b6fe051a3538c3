"""The service answers what is right, says why not to all else, stays whole under both at once, and stops cleanly."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from companion.serving.load import JSON, Request, call, load, prediction
from companion.serving.requests import Limits
from companion.serving.service import Service

PAGE = "https://book.example"
LIMITS = Limits(body_bytes=5_000, texts=4, characters=100, read_seconds=0.5)


def lengths(texts: list[str]) -> list[int]:
    if "refuse me" in texts:
        raise ValueError("text 0 is not to my taste")
    if "break" in texts:
        raise RuntimeError("a secret of the machine")
    return [len(text) for text in texts]


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(lengths, about={"model": "lengths"}, limits=LIMITS, page="<h1>Ask</h1>", origins=[PAGE]) as running:
        yield running


def raw(service: Service, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that the service says to bytes that are sent as they are."""
    place = urlsplit(service.address)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        said = b""
        while new := connection.recv(65_536):
            said += new
        return said


def test_texts_are_answered_in_their_order(service: Service):
    answer = call(service.address, prediction(["Anna", "is", "here"]))
    assert (answer.status, answer.content) == (200, {"answers": [4, 2, 4]})


def test_health_says_which_model_answers_and_what_is_allowed(service: Service):
    health = call(service.address, Request("/health"))
    assert health.status == 200
    assert health.content["status"] == "ok"
    assert health.content["model"] == "lengths"
    assert health.content["limits"]["texts"] == 4


def test_the_page_stands_at_the_address(service: Service):
    assert call(service.address, Request("/")).content == "<h1>Ask</h1>"


REFUSED = {  # what is sent, the status, what the reason says
    "another path": (Request("/predictions", b"{}"), 404, 'no \\"/predictions\\"; there are /, /health, /predict'),
    "a GET of what takes a POST": (Request("/predict"), 405, "/predict takes POST; got GET"),
    "a POST of what takes a GET": (Request("/health", b"{}"), 405, "/health takes GET; got POST"),
    "PUT": (Request(body=b"{}", method="PUT"), 405, 'GET, POST and OPTIONS; got \\"PUT\\"'),
    "DELETE": (Request(method="DELETE"), 405, 'got \\"DELETE\\"'),
    "an invented method": (Request(method="SING"), 405, 'got \\"SING\\"'),
    "a form": (
        Request(body=b"a=1", headers={"Content-Type": "text/plain"}),
        415,
        'application/json; got \\"text/plain',
    ),
    "no kind": (Request(body=b"{}", headers={}), 415, "application/json; got null"),
    "no JSON": (Request(body=b"{"), 400, "must be JSON"),
    "too long": (Request(body=b" " * 5_001), 413, "at most 5000 bytes; got 5001"),
    "far too long": (Request(body=b" " * 3_000_000), 413, "at most 5000 bytes; got 3000000"),
    "a length of words": (Request(body=b"{}", headers={**JSON, "Content-Length": "ten"}), 400, 'bytes; got \\"ten\\"'),
    "a negative length": (Request(body=b"{}", headers={**JSON, "Content-Length": "-5"}), 400, 'bytes; got \\"-5\\"'),
    "what the model refuses": (prediction(["refuse me"]), 422, "not to my taste"),
}


@pytest.mark.parametrize(("request_", "status", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_request_is_told_what_is_wrong_and_what_is_allowed(
    service: Service, request_: Request, status: int, reason: str
):
    answer = call(service.address, request_)
    assert answer.status == status
    assert set(answer.content) == {"error"}
    assert reason in json.dumps(answer.content["error"])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no http at all\r\n\r\n", b"400"),
        (b"GET /health HTTP/9.9\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\n\r\n", b"411"),
        (b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0", b"411"),
    ],
    ids=["words", "version", "address", "headers", "no length", "chunks"],
)
def test_what_is_hardly_http_gets_a_4xx_and_a_reason_too(service: Service, sent: bytes, status: bytes):
    head, _, body = raw(service, sent).partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert json.loads(body)["error"]


def test_a_body_that_ends_early_is_told_how_much_came(service: Service):
    head = b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{}"
    place = urlsplit(service.address)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        said = connection.makefile("rb").read()
    assert b" 400 " in said
    assert b"90 bytes were announced, 2 came" in said


@pytest.mark.parametrize("slow", ["nothing", "headers", "body"])
def test_a_client_that_is_slow_gets_no_longer_by_sending_a_byte_now_and_then(service: Service, slow: str):
    head = b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
    drops = {"nothing": [], "headers": [b"P", b"O", b"S", b"T"], "body": [head, b"{", b" ", b" ", b" "]}[slow]
    start = time.monotonic()
    said = raw(service, *drops, pause=0.1)
    assert b" 408 " in said
    assert b"within 0.5 seconds" in said
    assert time.monotonic() - start < 2


def test_a_model_that_fails_says_nothing_of_the_machine(service: Service):
    answer = call(service.address, prediction(["break"]))
    assert (answer.status, answer.content) == (500, {"error": "the model failed"})
    assert call(service.address, prediction(["Anna"])).status == 200


def test_a_request_does_not_wait_for_the_model_without_end():
    begun, go_on = threading.Event(), threading.Event()

    def slow(texts: list[str]) -> list[str]:
        begun.set()
        go_on.wait(10)
        return texts

    with Service(slow, about={}, limits=Limits(wait_seconds=0.1)) as service:
        first = threading.Thread(target=call, args=(service.address, prediction(["a"])))
        first.start()
        begun.wait(10)
        answer = call(service.address, prediction(["b"]))
        go_on.set()
        first.join()
    assert answer.status == 503
    assert "busy for 0.1 seconds" in answer.content["error"]


def test_a_stop_answers_the_request_in_flight_and_frees_the_address():
    begun, answers = threading.Event(), []

    def slow(texts: list[str]) -> list[str]:
        begun.set()
        time.sleep(0.3)
        return texts

    with Service(slow, about={}) as service:
        client = threading.Thread(target=lambda: answers.append(call(service.address, prediction(["a"]))))
        client.start()
        begun.wait(10)
    client.join()
    assert answers[0].status == 200
    with pytest.raises(OSError, match="refused"):
        call(service.address, Request("/health"))


# Pages of other origins


def asked(service: Service, origin: str, method: str) -> bytes:
    head = f"{method} /predict HTTP/1.1\r\nOrigin: {origin}\r\nContent-Type: application/json\r\n"
    body = "" if method == "OPTIONS" else '{"texts": ["a"]}'
    return raw(service, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())


@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
def test_a_page_of_an_allowed_origin_may_read_the_answer(service: Service, method: str):
    said = asked(service, PAGE, method)
    assert b" 200 " in said
    assert f"Access-Control-Allow-Origin: {PAGE}\r\n".encode() in said
    assert b"Vary: Origin\r\n" in said


def test_a_page_of_any_other_origin_is_told_which_are_allowed(service: Service):
    said = asked(service, "https://elsewhere.example", "OPTIONS")
    assert b" 403 " in said
    assert PAGE.encode() in said
    assert b"Access-Control-Allow-Origin" not in said + asked(service, "https://elsewhere.example", "POST")


# Many at once


def test_good_and_bad_requests_together_each_get_their_own_answer(service: Service):
    good = [prediction(["a" * (1 + n % 50)]) for n in range(150)]
    bad = [one for one, _, _ in REFUSED.values()] * 4
    mixed = [request for pair in zip(good, bad * 3, strict=False) for request in pair]
    answers = load(service.address, mixed, concurrency=16)
    assert [one.content for one in answers[::2]] == [{"answers": [1 + n % 50]} for n in range(150)]
    assert {one.status // 100 for one in answers[1::2]} == {4}


def test_slow_clients_do_not_keep_others_waiting_for_longer_than_their_time(service: Service):
    place = urlsplit(service.address)
    idle = [socket.create_connection((place.hostname, place.port)) for _ in range(2 * LIMITS.connections)]
    answer = call(service.address, prediction(["Anna"]))
    for connection in idle:
        connection.close()
    assert answer.status == 200
    assert answer.seconds < 5 * LIMITS.read_seconds


@pytest.mark.parametrize(
    "answer", [lambda texts: [], lambda texts: [1, 2], lambda texts: [float("nan")], lambda texts: [b"x"]]
)
def test_answers_that_fit_no_texts_or_no_json_are_a_fault_of_the_model(answer):
    with Service(answer, about={}) as running:
        said = call(running.address, prediction(["Anna"]))
    assert (said.status, said.content) == (500, {"error": "the model failed"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": ""}, "host must be a name or an address; got ''"),
        ({"port": 70_000}, "port must be at most 65535; got 70000"),
        ({"port": -5}, "port must be at least 0; got -5"),
        ({"origins": PAGE}, "origins"),
    ],
)
def test_an_address_that_is_none_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Service(lengths, about={}, **settings)
