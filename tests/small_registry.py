"""A package registry in this process: a simple index over HTTP, a distribution in it, and what can go wrong."""

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from companion.data.published import Member, Published


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def zipped(files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # of the same date, whenever it is made
    return made.getvalue()


def tarred(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


WEIGHTS = bytes(range(256)) * 40
CARD = b"A tiny model.\n"
WHEEL = zipped(
    {
        "tiny/__init__.py": b"raise SystemExit('imported')",
        "tiny/model.zip": zipped({"weights": WEIGHTS}),
        "tiny/card": CARD,
    }
)
WHEEL_NAME = "tiny_model-1.0-py3-none-any.whl"
PROJECT = "Tiny_Model"


def published(distribution=WHEEL, name=WHEEL_NAME, members=None, **changes):
    """The catalogue's entry of a distribution; of the wheel above when none is given."""
    own = (
        Member("weights", ("tiny/model.zip", "weights"), len(WEIGHTS), sha256(WEIGHTS)),
        Member("card.txt", ("tiny/card",), len(CARD), sha256(CARD)),
    )
    fields = {"title": "a tiny model", "authors": "its tests", "licence": "MIT", "project": PROJECT}
    sums = {"distribution": name, "size": len(distribution), "sha256": sha256(distribution)}
    return Published(**{**fields, **sums, "members": own if members is None else members, **changes})


@dataclass
class Registry:
    """What the server holds and does.

    Attributes:
        files: path -> content.
        kinds: path -> media type, where it is not a file's.
        cuts: for each coming request of a file, the number of bytes after which the connection ends.
        ranges: whether it sends parts of a file.
        asked: (path, Range or None, Authorization or None) of every request so far.
        url: of the server.
    """

    files: dict = field(default_factory=dict)
    kinds: dict = field(default_factory=dict)
    cuts: list = field(default_factory=list)
    ranges: bool = True
    asked: list = field(default_factory=list)
    url: str = ""

    def add(self, content=WHEEL, name=WHEEL_NAME, project="tiny-model", as_json=False):
        """Put a distribution on the page of its project."""
        self.files[f"/files/{name}"] = content
        page = f"/simple/{project}/"
        if as_json:
            told = {
                "meta": {"api-version": "1.1"},
                "files": [{"filename": name, "url": f"../../files/{name}", "hashes": {}}],
            }
            self.files[page], self.kinds[page] = json.dumps(told).encode(), "application/vnd.pypi.simple.v1+json"
        else:
            link = f'<a href="../../files/{name}#sha256={sha256(content)}">{name}</a>'
            self.files[page], self.kinds[page] = f"<!DOCTYPE html><body>{link}<br>".encode(), "text/html; charset=utf-8"

    def answer(self, handler):
        wanted = handler.headers["Range"]
        self.asked.append((handler.path, wanted, handler.headers["Authorization"]))
        content = self.files.get(handler.path)
        if content is None:
            handler.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Type", self.kinds.get(handler.path, "application/octet-stream"))
        handler.send_header("Content-Length", str(len(content) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.end_headers()
        cut = self.cuts.pop(0) if self.cuts and handler.path.startswith("/files/") else None
        handler.wfile.write(content[start:][:cut])


@contextmanager
def running(registry):
    """Serve a registry on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            registry.answer(self)

        def log_message(self, *_):
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()
