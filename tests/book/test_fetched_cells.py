"""Cells that need a published model are left out without it; the rest of the book stands, and says what is missing."""

import ast
import json
import re
import symtable
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import pytest
import stored_outputs
from fetched_cells import TAG, names
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from plain_notebooks import WITH_OUTPUTS
from small_registry import CARD, Registry, published, running
from small_sphinx import build

from companion.data import fetched
from companion.data.downloads import WrongBytesError
from companion.data.package_index import PipSettings
from companion.data.published import CATALOGUE
from notebooks import METADATA, ROOT
from run_notebooks import run

NEEDS = {"tags": ["fetched:tiny"]}
FIGURE = {"mystnb": {"figure": {"caption": "What the model draws.", "name": "fig-model"}}}
LOAD = f"""\
from pathlib import Path

print("the card:", Path({{place!r}}, "card.txt").read_text(), {len(CARD)})
svg = '<svg xmlns="http://www.w3.org/2000/svg"><title>the model</title></svg>'"""
SETTINGS = {
    "extensions": ["myst_nb", "executed_chapters", "sphinxcontrib.bibtex", "plain_notebooks"],
    "exclude_patterns": ["_build"],
    "nb_execution_mode": "off",
    "bibtex_bibfiles": ["works.bib"],
    "numfig": True,
    "html_theme_options": {"repository_url": "https://github.com/some-owner/some.book"},
    "html_theme": "sphinx_book_theme",
}
PAGE = """\
---
file_format: mystnb
kernelspec:
  name: python3
  display_name: Python 3
---

# A page

Its text.

```{code-cell} ipython3
:tags: [fetched:tiny]

print("run with", "the model")
```
"""


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch) -> None:
    """A cache without anything, and a catalogue with one entry more."""
    monkeypatch.setenv("LLM_LIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(CATALOGUE, "tiny", published())


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The root of a book of two pages, both with cells that need the tiny model."""
    root = tmp_path / "root"
    (root / "book").mkdir(parents=True)
    (root / "companion").mkdir()
    files = {"companion/__init__.py": "", "requirements.txt": "", "works.bib": "", "book/page.md": PAGE}
    files["index.rst"] = "T\n=\n\n.. toctree::\n   :numbered:\n\n   book/chapter\n   book/page\n"
    files["pytest.ini"] = "[pytest]\n"
    for name, text in files.items():
        (root / name).write_text(text)
    write(root)
    return root


def write(root: Path, tag: str = "fetched:tiny") -> Path:
    """Write the chapter; its cells that need the model have the tag."""
    needs = {"tags": [tag]}
    load = LOAD.format(place=str(fetched.cache() / "tiny"))
    cells = [
        new_markdown_cell("# A chapter\n\nSee {numref}`fig-model`.", id="title"),
        new_code_cell("print('run')", id="first"),
        new_markdown_cell("## The model\n\nWhat it says:", id="text", metadata=needs),
        new_code_cell(load, id="load", metadata=needs),
        new_markdown_cell("And {ref}`what it draws <target>`:\n\n(target)=\nIt draws.", id="between", metadata=needs),
        new_code_cell("from IPython.display import SVG\n\nSVG(svg)", id="draw", metadata={**needs, **FIGURE}),
        new_markdown_cell("Text that stays.", id="stays"),
        new_code_cell("print(len(svg))", id="last", metadata=needs),
    ]
    path = root / "book" / "chapter.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), path)
    return path


def arrive() -> None:
    """Let the model come into the cache."""
    with running(Registry()) as registry, pytest.MonkeyPatch.context() as patch:
        registry.add()
        patch.delenv("LLM_LIVE_OFFLINE")
        patch.setattr(fetched, "pip_settings", lambda: PipSettings((f"{registry.url}/simple",)))
        fetched.folder("tiny")


def made(root: Path) -> str:
    return build(root, root / "_build", conf=False, **SETTINGS)


def html(root: Path, name: str = "chapter") -> str:
    return (root / "_build" / "html" / "book" / f"{name}.html").read_text()


@pytest.mark.slow
def test_one_box_stands_for_cells_that_follow_each_other_and_goes_when_the_model_comes(book: Path):
    assert made(book) == ""
    page = html(book)
    boxes = re.findall(r'<div class="[^"]*left-out.*?</pre>', page, re.DOTALL)
    assert len(boxes) == 2
    for box in map(plain, boxes):
        assert "a tiny model (0.0 MB, MIT)" in box
        assert "python -m companion.zoo fetch tiny" in box
    assert 'id="fig-model"' in boxes[0]
    assert 'id="target"' in boxes[0]
    for text in ("What it says", "It draws", "What the model draws"):
        assert text not in page
    for text in ("The model</", "Text that stays.", "Fig. 1.1", "run\n"):
        assert text in page
    assert "Left out" in html(book, "page")
    assert "run with the model" not in html(book, "page")

    arrive()
    assert made(book) == ""
    page = html(book)
    assert "Left out" not in page
    for text in ("What it says", "It draws", "What the model draws", f"the card: {CARD.decode()}"):
        assert text in page
    assert "run with the model" in html(book, "page")


def plain(text: str) -> str:
    """What is to be read of HTML."""
    return re.sub(r"<[^>]*>", "", text)


@pytest.mark.slow
def test_the_made_notebooks_keep_what_the_page_leaves_out(book: Path):
    assert made(book) == ""
    for folder in ("notebooks", f"notebooks/{WITH_OUTPUTS}"):
        notebook = nbformat.read(book / "_build" / folder / "book" / "chapter.ipynb", as_version=4)
        sources = "\n".join(cell.source for cell in notebook.cells)
        for text in ("What it says", "the card:", "It draws", "SVG(svg)", "What the model draws", "len(svg)"):
            assert text in sources
        assert "Left out" not in json.dumps(notebook)


@pytest.mark.slow
def test_under_nbmake_the_cells_are_passed_over_and_run_when_the_model_is_there(book: Path):
    path = book / "book" / "chapter.ipynb"
    assert run(book, [path], ["-q"]) == 0
    assert outputs(book, path) == {"first": True, "load": False, "draw": False, "last": False}
    arrive()
    assert run(book, [path], ["-q"]) == 0
    assert all(outputs(book, path).values())


def outputs(book: Path, path: Path) -> dict[str, bool]:
    """Whether each code cell of the stored run has outputs."""
    chapter = stored_outputs.read(book, path)
    assert chapter is not None
    stored = nbformat.read(book / "_build" / stored_outputs.FOLDER / chapter.name, as_version=4)
    return {cell.id: bool(cell.outputs) for cell in stored.cells if cell.cell_type == "code"}


def test_outputs_without_a_model_have_another_name_than_those_with_it(book: Path):
    path = book / "book" / "chapter.ipynb"
    without = stored_outputs.read(book, path)
    arrive()
    whole = stored_outputs.read(book, path)
    assert without is not None
    assert whole is not None
    assert whole.name != without.name
    assert not whole.out


def test_a_tag_of_a_model_that_is_there_does_not_change_the_name(book: Path):
    arrive()
    tagged = stored_outputs.read(book, write(book))
    free = stored_outputs.read(book, write(book, "another-tag"))
    assert tagged is not None
    assert free is not None
    assert tagged.name == free.name


def test_a_tag_that_names_nothing_is_an_error_that_names_file_and_tag(book: Path):
    with pytest.raises(ValueError, match=r"chapter.ipynb: nothing .* called 'tinny'; there is .*minilm-l6"):
        stored_outputs.read(book, write(book, "fetched:tinny"))


def test_a_changed_file_in_the_cache_fails_and_is_no_reason_to_leave_a_cell_out(book: Path):
    arrive()
    (fetched.cache() / "tiny" / "card.txt").write_bytes(b"?" * len(CARD))
    with pytest.raises(WrongBytesError, match="card.txt .*SHA-256"):
        stored_outputs.read(book, book / "book" / "chapter.ipynb")


# The chapters of this book.

PAGES = sorted([*(ROOT / "book").rglob("*.ipynb"), ROOT / "book" / "index.md"])


@cache
def cells_of(path: Path) -> list[NotebookNode]:
    chapter = stored_outputs.read(ROOT, path)
    assert chapter is not None  # a tag that names nothing has raised
    return list(chapter.notebook.cells)


def bound(code: str) -> set[str]:
    """The names that the code of a cell gives a value."""
    symbols = symtable.symtable(code, "cell", "exec").get_symbols()
    return {one.get_name() for one in symbols if one.is_assigned() or one.is_imported() or one.is_namespace()}


def read_names(code: str) -> set[str]:
    """The names that the code of a cell reads, in functions too, where they are not the function's own."""
    tables, found = [symtable.symtable(code, "cell", "exec")], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        local = table.get_type() == "module"
        found |= {one.get_name() for one in table.get_symbols() if one.is_referenced() and (local or one.is_global())}
    return found


def forgotten(cells: list[NotebookNode]) -> Iterator[str]:
    """What cells need that may be left out, and have no tag of."""
    given: dict[str, set[str]] = {}  # each name -> the tags of the cell that gave it a value first
    for cell in cells:
        if cell.cell_type != "code":
            continue
        code, tags = re.sub(r"(?m)^(\s*)[%!].*", r"\1pass", cell.source), set(names(cell))
        for name in sorted(read_names(code) - bound(code)):
            if lacks := given.get(name, set()) - tags:
                yield f"{cell.id} reads {name} without the tag {', '.join(TAG + one for one in sorted(lacks))}"
        for text in (node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)):
            if text in CATALOGUE and text not in tags:
                yield f"{cell.id} names {text} without the tag {TAG}{text}"
        for name in bound(code):
            given[name] = given.get(name, tags) & tags


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_needs_a_published_model_is_tagged_so(path: Path):
    assert list(forgotten(cells_of(path))) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_labelled_equation_is_left_out(path: Path):
    tagged = [cell for cell in cells_of(path) if names(cell)]
    assert [cell.id for cell in tagged if cell.cell_type == "markdown" and "$$ (eq-" in cell.source] == []


def test_a_forgotten_tag_is_found():
    cells = [
        new_code_cell("model = 1", id="a", metadata=NEEDS),
        new_code_cell("print(model)", id="b"),
        new_code_cell("model = 2\nmodel", id="c"),
        new_code_cell("zoo.load('tiny')\n[model for model in 'ab']\nlambda model: model", id="d"),
    ]
    assert list(forgotten(cells)) == [
        "b reads model without the tag fetched:tiny",
        "d names tiny without the tag fetched:tiny",
    ]
