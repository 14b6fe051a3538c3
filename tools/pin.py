"""Write `requirements.txt`: the exact version of everything, for every Python and platform that the book supports.

`python tools/pin.py newest`, `… colab` and `… floors` write other versions that the bounds of `pyproject.toml` allow:
the newest there are, those that Colab brings, and the lowest of what the package needs. The continuous integration
tries each of them every week; `git checkout requirements.txt` brings the pins back.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Exact pins of everything the book is built and tested with; written by `make requirements`.
# torch's own platform packages (CUDA, Triton) are left to torch.
"""
LEFT_TO_TORCH = ("cuda", "nvidia", "triton")
COLAB = ("ipywidgets", "numpy", "traitlets")  # of colab.txt; tools/colab.py makes an environment of all of it
PYTHONS = {"chosen": "3.11", "newest": "3.13", "colab": "3.13", "floors": "3.11"}  # the lowest that each serves
NEEDS_HUB = r"transformers|datasets|hub_(copies|runs)"  # in a test that needs what is left out below
ABOVE_THE_FLOORS = ["transformers", "datasets"]  # tests and a chapter import them; they need a newer hub and tokenizers


def floors(root: Path) -> list[str]:
    """The lowest version of each of the package's dependencies that `pyproject.toml` allows, as a pin."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [re.sub(r">=([\w.]+)$", r"==\1", line) for line in project["dependencies"]]


def colab(root: Path) -> list[str]:
    """The versions of Colab's that the book's own environment takes over, as pins."""
    lines = (root / "tools" / "colab.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.partition("==")[0] in COLAB]


def resolve(*options: str, constraints: Sequence[str] = (), left_out: Sequence[str] = ()) -> list[str]:
    """A pin for everything that `pyproject.toml` with its extras `book` and `test` needs.

    Args:
        options: of `uv pip compile`.
        constraints: what the pins must agree with.
        left_out: names that are not pinned, and what they need neither.
    """
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "compile", "--quiet", *options]
    for file in os.environ.get("UV_CONSTRAINT", "").split():  # which uv asks for only where no option names a file
        command += ["--constraints", file]
    command += ["--extra", "book", "--extra", "test", "--no-annotate", "--no-header", "pyproject.toml"]
    with tempfile.TemporaryDirectory() as folder:
        for option, lines in (("--constraints", constraints), ("--excludes", left_out)):
            written = Path(folder) / option
            written.write_text("\n".join(lines), encoding="utf-8")
            command += [option, str(written)]
        resolved = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [line for line in resolved.splitlines(keepends=True) if not line.startswith(LEFT_TO_TORCH)]


def pins(which: str, python: str | None = None) -> list[str]:
    """The pins of one kind: chosen, newest, colab or floors.

    Args:
        which: one of ``PYTHONS``.
        python: version of the lowest Python that they must serve, when it is not the usual one of the kind.

    Raises:
        ValueError: for another kind.
    """
    if which not in PYTHONS:
        raise ValueError(f"no pins are called {which!r}; allowed are {', '.join(PYTHONS)}")
    version = "--python-version", python or PYTHONS[which]
    if which == "chosen":
        return resolve(*version, "--universal")
    # --no-config: without the versions that are chosen under [tool.uv].
    if which == "floors":  # of one Python: a later one has no use for a numpy so old, nor for what goes with it
        return resolve(*version, "--no-config", constraints=floors(ROOT), left_out=ABOVE_THE_FLOORS)
    return resolve(*version, "--universal", "--no-config", constraints=colab(ROOT) if which == "colab" else ())


def hub_tests(root: Path) -> set[Path]:
    """The files of tests that need what is left out at the floors."""
    tests = (root / "tests").rglob("test_*.py")
    return {path for path in tests if re.search(NEEDS_HUB, path.read_text(encoding="utf-8"))}


def main(which: str = "chosen") -> None:
    """Write the pins of one kind and say how many there are."""
    lines = pins(which)
    (ROOT / "requirements.txt").write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"requirements.txt: {len(lines)} pins")


if __name__ == "__main__":
    main(*sys.argv[1:])
