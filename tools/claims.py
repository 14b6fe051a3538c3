"""Sentences that draw a conclusion from a result, and the ledger that says what each of them stands on.

A sentence of cause or comparison (*because*, *matters*, *beats*, *better than* …) that stands within two cells of a
result, or in the caption of a figure, needs a control with its assert, a citation, a derivation, or it makes no claim
about the result. Each chapter has a ledger, ``book/claims/<chapter>.yml``: entries in the order of the page, each with
the sentence's first words and one answer.

    - sentence: "The norms are not the cause"
      control: 'assert climb["decoder"] > 50'          # the chapter's ("; " between two), or a file of benchmarks/
    - sentence: "Adam divides each number's gradient"
      cited: liu2020understanding
    - sentence: "The mask is needed because"
      derived: "the definition of a causal model: eq-gpt-chain-rule"
    - sentence: "A better way to see it"
      no claim: "'better' is about the reader's view"

`python tools/claims.py` prints what has no answer, in the form of a ledger; `python tools/claims.py gpt` one chapter's.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml

from notebooks import ROOT, notebooks

REACH = 2  # cells between a result and a sentence about it
RESULT = re.compile(r"\bprint\(|\bassert\b|plt\.show\(")
CONCLUDES = re.compile(
    r"\b(because|causes?|caused|therefore|hence|thanks to|due to|matters?|needs?|needed|beats?|better|worse"
    r"|goes? with|go together|decides?|depends? on|explains?|leads? to|the reason)\b",
    re.IGNORECASE,
)
FENCE = re.compile(r"^\s*(?P<mark>`{3,}|:{3,})(?P<info>[^`\n]*)$")
LEFT_OUT = ("{self-check}", "{code", "{figure}", "{table}", "{list-table}")  # what stands in these is no prose
EQUATION = re.compile(r"^\s*\$\$.*?^\s*\$\$(?: \([\w-]+\))?$", re.MULTILINE | re.DOTALL)
DIRECTIVE = re.compile(r"^(?:[`:]{3,}.*|:\w[\w-]*:.*|#+ .*|\|.*)$", re.MULTILINE)  # fences, options, headings, tables
END = re.compile(r"(?<=[.!?:])[\"”’)*_]*\s+(?=[\"“(*_`$A-Z{\[])")
ANSWERS = ("control", "cited", "derived", "no claim")


class Candidate(NamedTuple):
    """A sentence that concludes something, the cell it stands in, and its paragraph."""

    sentence: str
    cell: int
    paragraph: str


def candidates(path: Path) -> list[Candidate]:
    """Sentences of a notebook that conclude something about a result near them, in the order of the page."""
    cells = nbformat.read(path, as_version=4).cells
    results = {number for number, cell in enumerate(cells) if cell.cell_type == "code" and RESULT.search(cell.source)}
    found = []
    for number, cell in enumerate(cells):
        near = any(abs(number - result) <= REACH for result in results)
        for paragraph in paragraphs(cell.source) if cell.cell_type == "markdown" and near else captions(cell):
            said = (" ".join(one.split()) for one in END.split(paragraph))
            found += [Candidate(one, number, paragraph) for one in said if CONCLUDES.search(one)]
    return found


def captions(cell: nbformat.NotebookNode) -> list[str]:
    """The caption of the figure that a cell draws, if it has one."""
    figure = cell.metadata.get("mystnb", {}).get("figure", {})
    return [figure["caption"]] if "caption" in figure else []


def paragraphs(source: str) -> list[str]:
    """Paragraphs and items of a cell's text, without formulas, code, questions, headings and tables."""
    text = DIRECTIVE.sub("", "\n".join(prose(EQUATION.sub("", source).split("\n"))))
    return [part.strip() for part in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text) if part.strip()]


def prose(lines: list[str]) -> Iterator[str]:
    """Lines that are prose, outside all fences or inside boxes only; an empty one where a fence stands."""
    fences: list[tuple[str, bool]] = []  # the marks of those that are open, and whether what they hold is left out
    for line in lines:
        fence = FENCE.match(line)
        info = fence["info"].strip() if fence else ""
        if fence and not info and fences and fence["mark"].startswith(fences[-1][0]):
            fences.pop()
            yield ""
        elif fence and not any(hidden for _, hidden in fences):
            fences.append((fence["mark"], not info.startswith("{") or info.startswith(LEFT_OUT)))
            yield ""
        elif not any(hidden for _, hidden in fences):
            yield line


def ledger(root: Path, chapter: str) -> list[dict[str, str]]:
    """Entries of a chapter's ledger; none where it has no file."""
    path = root / "book" / "claims" / f"{chapter}.yml"
    entries: list[dict[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []
    return entries or []


def plain(text: str) -> str:
    """A text as it is compared: one space between words, no emphasis."""
    return " ".join(re.sub(r"[*_]", "", text).split())


def unanswered(root: Path, path: Path) -> list[Candidate]:
    """Candidates that no entry of the chapter's ledger begins like."""
    known = [plain(entry["sentence"]) for entry in ledger(root, path.stem)]
    return [one for one in candidates(path) if not any(plain(one.sentence).startswith(start) for start in known)]


def main(arguments: list[str]) -> None:
    """Print what has no answer, of the chapters that are named or of all; leave with status 1 if there is any."""
    missing = 0
    for path in notebooks(ROOT):
        if arguments and path.stem not in arguments:
            continue
        for one in unanswered(ROOT, path):
            missing += 1
            start = yaml.safe_dump(one.sentence[:70], width=999, allow_unicode=True).split("\n")[0]
            print(f"# {path.stem}, cell {one.cell}: {one.sentence}\n- sentence: {start}")
    raise SystemExit(bool(missing))


if __name__ == "__main__":
    main(sys.argv[1:])
