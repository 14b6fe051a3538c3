"""Build the pages, in such a way that what failed once cannot pass the second time.

Sphinx keeps what it has read even when the reading gave warnings, so a build that failed under `-W` passes when it
is repeated. A file says that the last build ended well; where it is missing, everything is read again.
"""

import json
import shutil
import sys
from pathlib import Path

from step import StepError, run

OPTIONS = ["-W", "-n", "--keep-going"]


def build(root: Path) -> None:
    """Build the book at `root` into `root/_build/html`; raise StepError on an error or on any warning.

    The message ends with the chapters that failed, if it is for them.
    """
    output = root / "_build"
    log, failed, ended_well = output / "logs" / "book.log", output / "failed.json", output / ".ended_well"
    if not ended_well.exists():
        shutil.rmtree(output / ".doctrees", ignore_errors=True)
    for path in (ended_well, failed):
        path.unlink(missing_ok=True)
    # The program beside this Python, not the first one on the PATH.
    command = [sys.executable, str(Path(sys.executable).with_name("jupyter-book")), "build", str(root), *OPTIONS]
    try:
        run("Building the book (notebooks that changed are executed)", command, log)
    except StepError as error:
        raise StepError(f"{error}{verdict(failed, log)}") from None
    ended_well.touch()


def verdict(failed: Path, log: Path) -> str:
    """Say which chapters failed; nothing where none did, or where the build did not come so far."""
    found = json.loads(failed.read_text(encoding="utf-8")) if failed.exists() else {"failed": []}
    if not found["failed"]:
        return ""
    lines = [f"{one['chapter']}, cell {one['cell']}: {one['error']}" for one in found["failed"]]
    head = f"✗ {len(lines)} of {found['chapters']} chapters did not run to the end:"
    kept = "Their pages show how far they came; the outputs of all others are kept, and the next build runs only these."
    return "\n".join(["", "", head, *(f"    {line}" for line in lines), f"  {kept}", f"  The log: {log}"])


def main() -> None:
    """Build the book that this file belongs to and say where it is."""
    root = Path(__file__).resolve().parent.parent
    try:
        build(root)
    except StepError as error:
        raise SystemExit(str(error)) from None
    print(f"\nThe book is ready:  {(root / '_build' / 'html' / 'index.html').as_uri()}")
    print("To read it over HTTP, with the model answering in the page:  make serve")


if __name__ == "__main__":
    main()
