"""How many words a reader of a chapter's main line reads.

The main line is the running text from the title to *Check yourself*. What folds or is looked up is no part of it: boxes
that are closed, notes in the margin, questions, exercises, misreadings, tables, formulas that stand alone, captions;
nor is a section whose title begins with *Further* or *For later*, which a first reading leaves out.

`python tools/main_line.py` prints each chapter's number of words; `python tools/main_line.py gpt` that of each section.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat

from claims import EQUATION, FENCE
from notebooks import ROOT, notebooks

MOST = 3000
APART = ("Check yourself", "Try it yourself", "Common misreadings", "What to read next")
LEFT_OUT = ("Further", "For later")
FOLDED = ("{self-check}", "{margin}", "{code", "{math}", "{figure}", "{table}", "{list-table}", "{dropdown}")
CLOSED = re.compile(r"^:class:.*\b(?:dropdown|exercise|solution|misreading)\b")
HEADING = re.compile(r"^(?P<marks>#+) (?P<title>.+)$")
NO_PROSE = re.compile(r"^(?::\w|\||\[Open in Colab)")  # options of a box, rows of a table, links to launch


class Section(NamedTuple):
    """A section's title, its depth, and the words between its title and the next."""

    title: str
    depth: int
    words: int


def sections(path: Path) -> list[Section]:
    """Sections of a notebook, in the order of the page."""
    cells = nbformat.read(path, as_version=4).cells
    found = [Section("", 1, 0)]
    for line in (line for cell in cells if cell.cell_type == "markdown" for line in open_lines(cell.source)):
        if heading := HEADING.match(line):
            found.append(Section(heading["title"], len(heading["marks"]), 0))
        elif not NO_PROSE.match(line):
            found[-1] = found[-1]._replace(words=found[-1].words + len(line.split()))
    return found


def open_lines(source: str) -> list[str]:
    """Lines of a cell that stand in no fence, or in one that is open and of prose."""
    lines = EQUATION.sub("", source).split("\n")
    kept: list[str] = []
    fences: list[tuple[str, bool]] = []  # the marks of those that are open, and whether what they hold is left out
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        info = fence["info"].strip() if fence else ""
        if fence and not info and fences and fence["mark"].startswith(fences[-1][0]):
            fences.pop()
        elif fence:
            closed = any(CLOSED.match(option) for option in lines[number + 1 : number + 4])
            hidden = closed or not info.startswith("{") or info.startswith(FOLDED)
            fences.append((fence["mark"], hidden or any(inside for _, inside in fences)))
        elif not any(hidden for _, hidden in fences):
            kept.append(line)
    return kept


def words(path: Path) -> int:
    """Number of words in a notebook's main line."""
    count, apart = 0, 99  # the depth of the section that is left out now, with all below it
    for section in sections(path):
        if section.depth <= apart:
            apart = section.depth if section.title in APART or section.title.startswith(LEFT_OUT) else 99
        count += section.words if apart == 99 else 0
    return count


def main(arguments: list[str]) -> None:
    """Print the words of all chapters, or of the sections of those that are named."""
    for path in notebooks(ROOT):
        if not arguments or path.stem in arguments:
            print(f"{words(path):6,}  {path.stem}")
        if path.stem in arguments:
            for section in sections(path):
                print(f"{section.words:6,}  {'  ' * section.depth}{section.title}")


if __name__ == "__main__":
    main(sys.argv[1:])
