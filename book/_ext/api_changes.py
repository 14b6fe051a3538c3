"""What a page of the reference says that is written elsewhere: chapters and tests; part of :mod:`api_reference`.

Of a page that Sphinx has read it knows the files that it depends on. Which modules there are, which chapters show them
and which files test them is compared instead, so that the edit of a chapter's text has no page of the reference read.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from closure import fingerprint
from package_map import cells, modules, tests_of, users

NOTED = "api_reference"  # in the metadata of a page


def elsewhere(root: Path, lines: list[str]) -> str:
    """Return what a page says of modules that is written elsewhere: which there are, their chapters and their tests."""
    found = [one for one in modules(root).values() if any(fnmatchcase(one.name, line.strip()) for line in lines)]
    said = [(one.name, [(page, title(root, page)) for page in users(root, one.name)]) for one in found]
    return fingerprint(root, [repr((said, [tests_of(root, one.name) for one in found]))], [])


def title(root: Path, page: str) -> str:
    """Return the first heading of a page; empty where there is no such page."""
    path = next((path for end in (".ipynb", ".md") if (path := root / f"{page}{end}").exists()), None)
    found = re.search(r"^# (.*)$", cells(path)[1], re.MULTILINE) if path else None
    return found[1] if found else ""


def note_elsewhere(env: BuildEnvironment, lines: list[str]) -> None:
    """Note what a page says of the modules in these lines that is written elsewhere."""
    said = elsewhere(Path(env.srcdir), lines)
    env.metadata[env.docname].setdefault(NOTED, []).append((lines, said))


def changed_elsewhere(app: Sphinx, env: BuildEnvironment, *_changes: set[str]) -> list[str]:
    """Return the pages of the reference whose modules have other chapters or tests than when they were read."""
    root = Path(app.srcdir)
    noted = {page: found.get(NOTED, []) for page, found in env.metadata.items()}
    return [page for page, found in noted.items() if any(elsewhere(root, lines) != said for lines, said in found)]
