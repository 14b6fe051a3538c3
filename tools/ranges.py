"""Run the package's tests at both ends of the versions that `pyproject.toml` allows, with each Python that is here.

`make ranges`, or some of it: `make ranges ONLY="floors-3.11 newest-3.13"`. Each environment is made under `.ranges`,
with pins of its own, and kept for the next time; a Python that is not here is named. The floors in `pyproject.toml` are
what passed here.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from notebooks import ROOT
from pin import HEADER, hub_tests, pins
from step import StepError, run

FOLDER = ROOT / ".ranges"
LOGS = ROOT / "_build" / "logs"
NEWEST = ("3.11", "3.12", "3.13", "3.14")
MARKS = "not slow and not book and not browser and not colab"


@dataclass(frozen=True)
class Range:
    """Versions of one kind, of those that `tools/pin.py` names, under one Python."""

    versions: str
    python: str

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return f"{self.versions}-{self.python}"

    @property
    def place(self) -> Path:
        """Folder of its environment."""
        return FOLDER / self.name


RANGES = (Range("floors", "3.11"), Range("colab", "3.13"), *(Range("newest", python) for python in NEWEST))


def chosen(names: list[str]) -> list[Range]:
    """The ranges of these names, or all when there is no name.

    Raises:
        ValueError: naming the one that is not there, and those that are.
    """
    known = {one.name: one for one in RANGES}
    for name in names:
        if name not in known:
            raise ValueError(f"no range is called {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(RANGES)


def find(python: str) -> str | None:
    """Path of a Python of this version that runs, or None."""
    path = shutil.which(f"python{python}")
    asked = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"] if path else ["false"]
    try:
        answer = subprocess.run([str(word) for word in asked], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):  # a shim may stand for a version that is not installed
        return None
    return path if answer.strip() == python else None


def make(one: Range, python: str) -> Path:
    """Make the environment of a range where it is missing or its pins have changed; return its Python."""
    own, written = one.place / "bin" / "python", one.place / "pins.txt"
    lines = HEADER + "".join(pins(one.versions, one.python))
    if own.exists() and written.exists() and written.read_text(encoding="utf-8") == lines:
        return own
    log = LOGS / f"ranges_{one.name}.log"
    run(f"{one.name}: making the environment", [python, "-m", "venv", "--clear", str(one.place)], log)
    wanted = one.place / "wanted.txt"
    wanted.write_text(lines, encoding="utf-8")
    pip = [str(own), "-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--progress-bar", "off"]
    run(f"{one.name}: installing (some minutes)", [*pip, "-r", str(wanted)], log)
    editable = [*pip, "--no-deps", "--no-build-isolation", "-e", os.path.relpath(ROOT)]
    run(f"{one.name}: installing the book's own package", editable, log)
    wanted.rename(written)
    return own


def tests(one: Range) -> Iterator[str]:
    """The files of tests that a range can run: the floors lack what reads the hub."""
    left_out = hub_tests(ROOT) if one.versions == "floors" else set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path not in left_out:
            yield str(path.relative_to(ROOT))


def main(names: list[str], options: list[str]) -> int:
    """Run them one after the other, print what became of each, and return 0 when nothing failed."""
    found = {}
    for one in chosen(names):
        python = find(one.python)
        if python is None:
            found[one.name] = f"left out: no python{one.python} here"
            continue
        try:
            own = make(one, python)
        except StepError as error:
            found[one.name] = "failed: no environment"
            print(error)
            continue
        command = [str(own), "-m", "pytest", *options, "-m", MARKS, *tests(one)]
        code = subprocess.call(command, cwd=ROOT)
        found[one.name] = "passed" if code == 0 else f"failed: pytest ended with {code}"
    for name, how in found.items():
        print(f"{name:12} {how}")
    return int(any(how.startswith("failed") for how in found.values()))


if __name__ == "__main__":
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    sys.exit(main(sys.argv[1:split], sys.argv[split + 1 :]))
