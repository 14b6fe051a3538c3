"""Serve a saved classifier: ``python -m companion.serving runs/giver --port 8000``.

It prints its address, answers until it is interrupted or terminated, and then finishes what it has begun. Chapter:
``book/practice/train_save_serve.ipynb``.
"""

import argparse
import signal
import threading
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from companion.checkpoints import CheckpointError
from companion.serving.classifier import about, load_classifier
from companion.serving.service import Service


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, the process's own when not given: serve a folder until a signal to stop."""
    parser = argparse.ArgumentParser(prog="python -m companion.serving", description="Serve a saved classifier.")
    parser.add_argument("folder", type=Path, help="with config.json, model.safetensors and tokenizer.json")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines ask")
    parser.add_argument("--port", type=int, default=8000, help="0 takes any that is free")
    parser.add_argument("--origin", action="append", default=[], help="a page's origin that may ask from a browser")
    given = parser.parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        answer, card = load_classifier(given.folder), about(given.folder)
        service = Service(answer, about=card, page=page(), origins=given.origin, host=given.host, port=given.port)
    except (CheckpointError, OSError, ValueError) as error:
        parser.error(str(error))
    with service:
        print(service.address, flush=True)
        stopped.wait()


def page() -> str:
    """The page that a browser shows at the service's address: a box for a text, and its answer."""
    return (resources.files("companion.serving") / "page.html").read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
