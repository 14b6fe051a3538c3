"""Each sentence of cause or comparison near a result says in its chapter's ledger what it stands on."""

from pathlib import Path

import nbformat
import pytest

import claims
from notebooks import ROOT, notebooks

CHAPTERS = notebooks(ROOT)
LEDGERS = sorted((ROOT / "book" / "claims").glob("*.yml"))
BIBLIOGRAPHY = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=[path.stem for path in CHAPTERS])


def text_of(path: Path, kind: str) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == kind)


@each_chapter
def test_no_conclusion_is_without_an_answer(path: Path):
    missing = [f"cell {one.cell}: {one.sentence}" for one in claims.unanswered(ROOT, path)]
    assert missing == [], f"answer them in book/claims/{path.stem}.yml (`python tools/claims.py {path.stem}`)"


@each_chapter
def test_no_answer_is_left_of_a_sentence_that_is_gone(path: Path):
    said = [claims.plain(one.sentence) for one in claims.candidates(path)]
    starts = [claims.plain(entry["sentence"]) for entry in claims.ledger(ROOT, path.stem)]
    assert [start for start in starts if not any(one.startswith(start) for one in said)] == []


@each_chapter
def test_an_answer_names_what_is_there(path: Path):
    code, text = text_of(path, "code"), text_of(path, "markdown")
    for entry in claims.ledger(ROOT, path.stem):
        kinds = set(entry) - {"sentence"}
        assert len(kinds) == 1, f"one answer each: {entry}"
        (kind,) = kinds
        assert kind in claims.ANSWERS, entry
        answer = entry[kind]
        if kind == "control":
            file = answer.split("#")[0].strip()
            run = file.startswith(("benchmarks/", "tests/")) and (ROOT / file).exists()
            asserts = answer.split("; ")  # one for each part of the sentence
            assert run or all(one in code for one in asserts), entry
        if kind == "cited":
            assert all(key in text and f"{{{key}," in BIBLIOGRAPHY for key in answer.replace(" ", "").split(",")), entry
        assert answer.strip(), entry


def test_a_ledger_belongs_to_a_chapter():
    assert {path.stem for path in LEDGERS} <= {path.stem for path in CHAPTERS}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("It works because it is wide.", ["It works because it is wide."]),
        ("It works. So it does.", []),
        ("One. Two is better than one. Three.", ["Two is better than one."]),
        ("$$\nbecause\n$$ (eq-a)", []),
        ("# Why it matters", []),
        ("- heads matter\n- heads look", ["- heads matter"]),
    ],
    ids=["a cause", "none", "among others", "a formula", "a heading", "an item"],
)
def test_what_counts_as_a_conclusion(tmp_path: Path, source: str, expected: list[str]):
    cells = [nbformat.v4.new_code_cell("print(1)"), nbformat.v4.new_markdown_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "chapter.ipynb")
    assert [one.sentence for one in claims.candidates(tmp_path / "chapter.ipynb")] == expected


def test_far_from_a_result_nothing_is_asked(tmp_path: Path):
    texts = [nbformat.v4.new_markdown_cell("It is so because.") for _ in range(4)]
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)"), *texts]), tmp_path / "a.ipynb"
    )
    assert [one.cell for one in claims.candidates(tmp_path / "a.ipynb")] == [1, 2]


def test_a_caption_is_read_too(tmp_path: Path):
    drawn = nbformat.v4.new_code_cell("plt.plot()")
    drawn.metadata["mystnb"] = {
        "figure": {"name": "fig-a", "caption": "Loss over steps. It falls because of the mask."}
    }
    nbformat.write(nbformat.v4.new_notebook(cells=[drawn]), tmp_path / "a.ipynb")
    assert [one.sentence for one in claims.candidates(tmp_path / "a.ipynb")] == ["It falls because of the mask."]
