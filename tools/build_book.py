"""Build the pages, in such a way that what failed once cannot pass the second time.

Sphinx keeps what it has read even when the reading gave warnings, so a build that failed under `-W` passes when it
is repeated. A file says that the last build ended well; where it is missing, everything is read again.
"""

import shutil
import sys
from pathlib import Path

from step import StepFailed, run

OPTIONS = ["-W", "-n", "--keep-going"]


def build(root: Path) -> None:
    """Build the book at `root` into `root/_build/html`; raise StepFailed on an error or on any warning."""
    output = root / "_build"
    ended_well = output / ".ended_well"
    if not ended_well.exists():
        shutil.rmtree(output / ".doctrees", ignore_errors=True)
    ended_well.unlink(missing_ok=True)
    # The program beside this Python, not the first one on the PATH.
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    command = [jupyter_book, "build", str(root), *OPTIONS]
    run("Building the book (notebooks that changed are executed)", command, output / "logs" / "book.log")
    ended_well.touch()


def main() -> None:
    """Build the book that this file belongs to and say where it is."""
    root = Path(__file__).resolve().parent.parent
    try:
        build(root)
    except StepFailed as error:
        raise SystemExit(str(error)) from None
    print(f"\nThe book is ready:  {(root / '_build' / 'html' / 'index.html').as_uri()}")
    print("To read it over HTTP, with the model answering in the page:  make serve")


if __name__ == "__main__":
    main()
