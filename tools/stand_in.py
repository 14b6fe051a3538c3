"""A clone of the working tree in the place of the repository's address: what git fetches from there comes from here.

So the first cell of a notebook can be run unmodified, before anything is pushed and without a network.
"""

import shutil
import subprocess
from pathlib import Path

from notebooks import ROOT, repository

AUTHOR = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false")


def kept_files() -> list[str]:
    """The files of the working tree that git keeps or would keep, from its root."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return sorted({name for name in names if name and (ROOT / name).is_file()})


def clone_of_working_tree(folder: Path) -> Path:
    """A git repository with one commit: the working tree as it is now; return its folder."""
    for name in kept_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for command in (["init", "--quiet"], ["add", "--all"], [*AUTHOR, "commit", "--quiet", "-m", "state"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def instead_of_address(clone: Path) -> dict[str, str]:
    """The variables with which git takes a clone for the repository's address."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{clone.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": repository(ROOT)["url"],
    }
