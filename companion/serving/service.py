"""HTTP service of a model: /predict answers texts, /health says what answers, and everything else is told why not.

It is Python's own server, one thread for each connection and one request for each connection, with limits on all that
a client can make large: the body, the texts, the time it takes to send them, the number of connections. Chapter:
``book/practice/train_save_serve.ipynb``. Source: RFC 9110, "HTTP Semantics", and the Fetch standard for CORS.
"""

import contextlib
import io
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from companion.data.checks import check_list
from companion.nn.checks import check_integer
from companion.serving.requests import Limits, RefusedError, shown, texts_of

LOG = logging.getLogger(__name__)  # methods, paths and statuses; never a text of a client's
METHODS = {"/": "GET", "/health": "GET", "/predict": "POST"}
LINGER_BYTES, LINGER_SECONDS = 4_000_000, 1.0  # read of a refused body, so that the client gets to read the refusal

Answer = Callable[[list[str]], Sequence[Any]]


class Service:
    """A running HTTP service; leaving its ``with`` block stops it once the requests in flight are answered.

    >>> from urllib.request import urlopen
    >>> with Service(lambda texts: [len(text) for text in texts], about={"model": "length"}) as service:
    ...     json.load(urlopen(service.address + "/health"))["model"]
    'length'
    """

    def __init__(
        self,
        answer: Answer,
        *,
        about: Mapping[str, Any],
        limits: Limits = Limits(),
        page: str = "",
        origins: Collection[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Bind the address; nothing is answered before the ``with`` block begins.

        Args:
            answer: texts -> one answer for each, of what JSON can hold. A ValueError refuses the texts with its words.
            about: what /health says beside the limits: which model answers.
            limits: see :class:`companion.serving.requests.Limits`.
            page: HTML at the address itself.
            origins: addresses of other pages that a browser may let read the answers, ``"https://example.org"``.
            host: "127.0.0.1" is reached from this machine only.
            port: 0 takes any that is free.

        Raises:
            OSError: when the address is in use.
            ValueError: on an empty host, which would be every interface, a port that is none, or one string of origins.
        """
        if not host:
            raise ValueError("host must be a name or an address; got '', which would listen on every interface")
        check_integer("port", port, least=0, most=65535)
        check_list("origins", origins)
        self._server = _Server((host, port), _Handler)
        self._server.answer, self._server.limits = answer, limits
        self._server.about = {**about, "limits": asdict(limits)}
        self._server.page, self._server.origins = page, frozenset(origins)
        self._server.slots = threading.Semaphore(limits.connections)
        self.address = f"http://{host}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        """Begin to answer, in a thread of its own."""
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take no more requests, answer those in flight, and free the address."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()  # joins the threads of the connections


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # a stop waits for the requests in flight
    request_queue_size = 128
    answer: Answer
    limits: Limits
    about: Mapping[str, Any]
    page: str
    origins: frozenset[str]
    slots: threading.Semaphore

    def __init__(self, *address: Any) -> None:
        super().__init__(*address)
        self.model = threading.Lock()  # it answers one request at a time

    def process_request(self, request: Any, client_address: Any) -> None:
        self.slots.acquire()  # when all are taken, further clients wait in the system's queue
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        early = isinstance(sys.exception(), OSError)  # the client is gone, or does not read
        LOG.log(logging.DEBUG if early else logging.ERROR, "a connection was not answered", exc_info=True)


class _Timed(io.RawIOBase):
    """What a connection sends, until its time is over: a client that sends a byte now and then gets no longer."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self.connection, self.end = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)
        return self.connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "companion", ""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Timed(self.connection, self.server.limits.read_seconds))
        self.command, self.requestline, self.request_version = "", "", self.protocol_version
        self.raw_requestline = b"of which nothing has come"
        self.answered, self.unread = False, False

    def handle(self) -> None:
        try:
            self.handle_one_request()  # it swallows the end of the time
            if not self.answered and self.raw_requestline:
                self.refuse(408, f"the request must arrive within {self.server.limits.read_seconds:g} seconds")
        except RefusedError as error:
            self.refuse(error.status, str(error))

    def finish(self) -> None:
        """Let the client read the answer: a socket closed over unread bytes would throw it away."""
        with contextlib.suppress(OSError):
            super().finish()
            if self.unread:
                self.connection.shutdown(socket.SHUT_WR)
                rest, left = _Timed(self.connection, LINGER_SECONDS), LINGER_BYTES
                while left > 0 and (read := rest.readinto(bytearray(65_536))):
                    left -= read

    def do_GET(self) -> None:
        path = self.known_path("GET")
        if path == "/":
            self.reply(200, self.server.page.encode(), "text/html; charset=utf-8")
        else:
            self.reply_json(200, {"status": "ok", **self.server.about})

    def do_POST(self) -> None:
        self.known_path("POST")
        texts = texts_of(self.body(), self.server.limits)
        seconds = self.server.limits.wait_seconds
        if not self.server.model.acquire(timeout=seconds):
            raise RefusedError(503, f"the model was busy for {seconds:g} seconds; try again later")
        try:
            answers = list(self.server.answer(texts))
        except ValueError as error:
            raise RefusedError(422, str(error)) from None
        except Exception:
            LOG.exception("the model failed")
            raise RefusedError(500, "the model failed") from None
        finally:
            self.server.model.release()
        if len(answers) != len(texts):
            LOG.error("the model gave %d answers to %d texts", len(answers), len(texts))
            raise RefusedError(500, "the model failed")
        try:
            json.dumps(answers, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            LOG.error("the model gave what JSON cannot hold: %s", error)
            raise RefusedError(500, "the model failed") from None
        self.reply_json(200, {"answers": answers})

    def do_OPTIONS(self) -> None:
        """The question of a browser whether a page of another origin may send what it is about to send."""
        self.unread = True
        origin = self.headers.get("Origin")
        if origin not in self.server.origins:
            allowed = ", ".join(sorted(self.server.origins)) or "none"
            raise RefusedError(403, f"pages of the origin {shown(origin)} may not ask; allowed are: {allowed}")
        self.reply_json(200, {})

    def known_path(self, method: str) -> str:
        self.unread = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        path = self.path.partition("?")[0]
        if path not in METHODS:
            raise RefusedError(404, f"there is no {shown(self.path)}; there are {', '.join(METHODS)}")
        if METHODS[path] != method:
            raise RefusedError(405, f"{path} takes {METHODS[path]}; got {method}")
        return path

    def body(self) -> bytes:
        """The request's body, of the length that its header names."""
        kind = self.headers.get_content_type() if "Content-Type" in self.headers else None
        if kind != "application/json":  # any page may send a form or plain text; JSON, a browser asks about first
            raise RefusedError(415, f"Content-Type must be application/json; got {shown(kind)}")
        lengths = set(self.headers.get_all("Content-Length", []))
        if len(lengths) != 1:
            raise RefusedError(411, f"the request must have one Content-Length; got {shown(sorted(lengths))}")
        (length,) = lengths
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise RefusedError(400, f"Content-Length must be a whole number of bytes; got {shown(length)}")
        most = self.server.limits.body_bytes
        if int(length) > most:
            raise RefusedError(413, f"the body must have at most {most} bytes; got {int(length)}")
        try:
            body = self.rfile.read(int(length))
        except TimeoutError:
            seconds = self.server.limits.read_seconds
            raise RefusedError(408, f"the request must arrive within {seconds:g} seconds") from None
        if len(body) < int(length):
            raise RefusedError(400, f"the body ended early: {length} bytes were announced, {len(body)} came")
        self.unread = False
        return body

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what the library itself finds wrong, as JSON too; it says 501 of a method that it does not know."""
        self.unread = True
        if code == 501:
            self.refuse(405, f"the methods are GET, POST and OPTIONS; got {shown(self.command)}")
        else:
            self.refuse(code if code < 500 else 400, message or "the request is no HTTP")

    def refuse(self, status: int, reason: str) -> None:
        self.reply_json(status, {"error": reason})

    def reply_json(self, status: int, content: Mapping[str, Any]) -> None:
        self.reply(status, json.dumps(content).encode(), "application/json")

    def reply(self, status: int, body: bytes, kind: str) -> None:
        self.answered = self.close_connection = True
        self.request_version = self.protocol_version  # the library leaves the status out where it read no version
        self.connection.settimeout(self.server.limits.read_seconds)  # of a client that does not read
        self.send_response(status)
        headers = {"Connection": "close", "Content-Type": kind, "Content-Length": str(len(body))}
        headers |= {"X-Content-Type-Options": "nosniff"}
        headers |= {"Allow": "GET, POST, OPTIONS"} if status == 405 else {}
        headers |= {"Retry-After": "1"} if status == 503 else {}
        origin = getattr(self, "headers", {}).get("Origin")
        if origin in self.server.origins:
            headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Methods": "GET, POST"}
            headers |= {"Access-Control-Allow-Headers": "content-type", "Vary": "Origin"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        LOG.info("%s", json.dumps(format % values))
