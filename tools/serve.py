"""Serve the built book with the two headers that let a page compute in several threads.

A browser gives shared memory, and with it threads, to pages that no other host's page can reach. Hosts that read a
file `_headers` (Netlify, Cloudflare Pages) send the same: `book/_ext/sharing.py` writes it beside the pages. Without
them the models of the pages answer too, in one thread.
"""

import functools
import sys
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from notebooks import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from isolation import ISOLATED

BOOK = ROOT / "_build" / "html"


class Handler(SimpleHTTPRequestHandler):
    """The files of a folder, each with the headers."""

    def end_headers(self) -> None:
        """Send the headers, ours after the file's."""
        for name, value in ISOLATED.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of the folder for this machine alone; port 0 takes a free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Handler, directory=str(folder)))


def main(port: str) -> int:
    """Serve the book until Ctrl-C."""
    if not (BOOK / "index.html").is_file():
        print("No book yet: run 'make book' first.")
        return 1
    with server(BOOK, int(port)) as pages:
        print(f"http://127.0.0.1:{pages.server_port}/book/index.html  (Ctrl-C ends)", flush=True)
        with suppress(KeyboardInterrupt):
            pages.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
