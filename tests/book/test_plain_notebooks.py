"""The notebooks that are made of the chapters: a small one in detail, then all of the book's."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import nbformat
import pytest
from markdown_it import MarkdownIt
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from node import run_node
from notebook_pages import heading_names, mathematics_of
from plain_notebooks import WITH_OUTPUTS, pages_address
from small_sphinx import build
from stored_outputs import FOLDER, read, save

from companion.widgets import AttentionView
from notebooks import METADATA, ROOT, notebooks, repository

PAGES = "https://some-owner.github.io/some.book/"
RAW = re.compile(r":(label|class|name|alt):|\{[a-z]+(:\w+)?\}`|```\{|:::")
LINK = re.compile(r'<a href="([^"]*)"|<img src="([^"]*)"')

PART = """\
## Its part

As {cite:t}`one2020work` says in {eq}`eq-one`, [here](other.md#there), {doc}`other` and {term}`token`:

$$
a < b
$$ (eq-one)

After it.

```{margin} A name
Of *it*.
```
"""
FIGURES = """\
See {numref}`fig-drawn` and [its part](#its-part).

```{figure} still.svg
:name: fig-still
A picture.
```
"""
QUESTION = """\
```{self-check}
Is $a<b$?

- [x] Yes.

  It is.
- [ ] No.

  It *is*.
- [ ] `a`.

  No.
```
"""
TEXTS = {
    "text-0": "# A chapter",
    "text-1": PART,
    "text-2": FIGURES,
    "text-3": QUESTION,
    "text-4": "```{admonition} Take *care*\n:class: misreading\nOf it.\n```",
}
CODE = {"boot": "# git+https://example.org", "draw": "print('drawn')", "answer": "def answer():\n    return 1"}
ORDER = ("text-0", "boot", "text-1", "draw", "text-2", "text-3", "answer", "text-4")
OTHER = "# Another page\n\n## There\n\n```{glossary}\ntoken\n  A piece.\n```\n\n```{bibliography}\n```\n"
WORK = "@misc{one2020work, author = {Ada One}, title = {A Work}, year = {2020}, url = {https://example.org/work}}\n"
STILL = '<svg xmlns="http://www.w3.org/2000/svg"/>'
WIDGET, _ = AttentionView(["<a>", "b"], [[[[1.0, 0.0], [0.25, 0.75]]]])._repr_mimebundle_()
FILES = {
    "book/other.md": OTHER,
    "index.rst": "T\n=\n\n.. toctree::\n   :numbered: 1\n\n   book/chapter\n   book/other\n",
    "book/still.svg": STILL,
    "works.bib": WORK,
    "companion/__init__.py": "",
    "requirements.txt": "",
}
SETTINGS = {
    "extensions": [
        "myst_nb",
        "executed_chapters",
        "self_check",
        "sphinxcontrib.bibtex",
        "launch_links",
        "plain_notebooks",
    ],
    "exclude_patterns": ["_build"],
    "nb_execution_mode": "off",
    "myst_enable_extensions": ["deflist", "dollarmath", "tasklist"],
    "myst_heading_anchors": 3,
    "bibtex_bibfiles": ["works.bib"],
    "bibtex_reference_style": "author_year",
    "numfig": True,
    "math_numfig": True,
    "notebooks_branch": "made",
    "html_theme": "sphinx_book_theme",
    "html_theme_options": {
        "repository_url": "https://github.com/some-owner/some.book",
        "repository_branch": "main",
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    },
}


def built(book: Path, texts: dict[str, str]) -> str:
    """Build a book with one chapter, whose outputs are in store; return the warnings."""
    figure = {"mystnb": {"figure": {"caption": "What it draws.", "name": "fig-drawn"}}}
    metadata = {"boot": {"tags": ["remove-cell"]}, "draw": figure, "answer": {"tags": ["hide-cell"]}}
    cells = [
        new_code_cell(CODE[name], id=name, metadata=metadata.get(name, {}))
        if name in CODE
        else new_markdown_cell(texts[name], id=name)
        for name in ORDER
    ]
    for name, text in FILES.items():
        (book / name).parent.mkdir(parents=True, exist_ok=True)
        (book / name).write_text(text)
    path = book / "book" / "chapter.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), path)
    drawn = [new_output("display_data", {"image/svg+xml": STILL})]
    printed = [new_output("stream", text="drawn\n"), new_output("execute_result", WIDGET)]
    for cell, outputs in ((cells[ORDER.index("draw")], drawn), (cells[ORDER.index("answer")], printed)):
        cell.outputs, cell.execution_count = outputs, 1
    save(book / "_build" / FOLDER, read(book, path).name, new_notebook(cells=cells, metadata=METADATA))
    return build(book, book / "_build", conf=False, **SETTINGS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what is made of a small book; a chapter that the book no longer has was there before."""
    book = tmp_path_factory.mktemp("book")
    gone = book / "_build" / "notebooks" / "book" / "gone.ipynb"
    gone.parent.mkdir(parents=True)
    gone.write_text("{}")
    assert built(book, TEXTS) == ""
    return book / "_build"


@pytest.fixture(scope="module")
def notebook(made: Path) -> NotebookNode:
    """The chapter, to be run."""
    return nbformat.read(made / "notebooks" / "book" / "chapter.ipynb", as_version=4)


@pytest.fixture(scope="module")
def texts(notebook: NotebookNode) -> dict[str, str]:
    return {cell.id: cell.source for cell in notebook.cells}


@pytest.fixture(scope="module")
def shown(made: Path) -> NotebookNode:
    """The chapter, to be read."""
    return nbformat.read(made / "notebooks" / WITH_OUTPUTS / "book" / "chapter.ipynb", as_version=4)


@pytest.mark.slow
def test_a_cell_begins_with_each_heading_equation_and_figure(notebook: NotebookNode):
    assert [cell.id for cell in notebook.cells] == [
        *("text-0", "boot", "its-part", "equation-eq-one", "draw", "fig-drawn", "text-2", "fig-still"),
        *("text-3", "answer", "text-4", "references"),
    ]


@pytest.mark.slow
def test_references_of_what_is_to_be_run_lead_to_pages_of_the_book(texts: dict[str, str]):
    here = f"{PAGES}book/chapter.html"
    assert texts["its-part"].split("\n\n")[1] == (
        f"As One [[2020]({PAGES}book/other.html#id2)] says in [(1.1)]({here}#equation-eq-one), "
        f"[here]({PAGES}book/other.html#there), [Another page]({PAGES}book/other.html) and "
        f"[token]({PAGES}book/other.html#term-token):"
    )
    assert texts["text-2"] == f"See [Fig. 1.1]({here}#fig-drawn) and [its part]({here}#its-part)."
    assert "<a id" not in "".join(texts.values())


@pytest.mark.slow
def test_links_within_what_is_to_be_read_lead_to_headings_that_every_jupyter_finds(shown: NotebookNode):
    texts = {cell.id: cell.source for cell in shown.cells}
    assert "As One [[2020](#References)] says in [(1.1)](#Its-part), " in texts["its-part"]
    assert texts["text-2"] == "See [Fig. 1.1](#Its-part) and [its part](#Its-part)."
    assert texts["its-part"].startswith('## Its part<a id="Its-part"></a>\n')
    assert texts["references"].startswith('## References<a id="References"></a>\n')
    assert texts["equation-eq-one"].startswith("$$\na < b\n\\tag{1.1}\n$$")


@pytest.mark.slow
def test_a_chapter_has_the_number_of_the_page(texts: dict[str, str]):
    assert texts["text-0"].startswith("# 1. A chapter\n")


@pytest.mark.slow
def test_figures_have_number_and_caption(texts: dict[str, str]):
    assert texts["fig-drawn"].endswith("**Fig. 1.1** What it draws.")
    assert texts["fig-still"] == f"![]({PAGES}_images/still.svg)\n\n**Fig. 1.2** A picture."


@pytest.mark.slow
def test_a_note_of_the_margin_follows_its_paragraph(texts: dict[str, str]):
    assert texts["equation-eq-one"].endswith("\n\nAfter it.\n\n> **A name.** Of *it*.")


@pytest.mark.slow
def test_each_answer_unfolds_what_is_said_of_it(texts: dict[str, str]):
    assert texts["text-3"].startswith("**Is $a\\lt b$?**\n\n")
    answers = re.findall(r"<summary>(.*?)</summary>\n\n(.*?)\n\n</details>", texts["text-3"])
    assert answers == [
        ("Yes.", "**Right.** It is."),
        ("No.", "**Not so.** It *is*."),
        ("<code>a</code>.", "**Not so.** No."),
    ]


@pytest.mark.slow
def test_the_works_cited_are_listed_at_the_end(texts: dict[str, str]):
    assert "\n\n- Ada One. A work. 2020. " in texts["references"]
    assert "[https://example.org/work](https://example.org/work)" in texts["references"]


@pytest.mark.slow
def test_what_is_to_be_run_has_no_outputs(notebook: NotebookNode):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_what_is_to_be_read_shows_outputs_and_of_a_widget_the_picture(shown: NotebookNode):
    outputs = {cell.id: cell.outputs for cell in shown.cells if cell.cell_type == "code"}
    assert outputs["draw"][0].data == {"image/svg+xml": STILL}
    assert outputs["answer"][0].text == "drawn\n"
    assert set(outputs["answer"][1].data) == {"image/svg+xml", "text/plain"}
    picture = ElementTree.fromstring(outputs["answer"][1].data["image/svg+xml"])
    shades = [one.get("fill-opacity") for one in picture.iter() if one.get("fill-opacity")]
    assert shades == ["1.00", "0.25", "0.75"]
    assert [one.text for one in picture.iter() if one.tag.endswith("text")] == [
        "<a>",
        "b",
        "<a>",
        "b",
        "layer 0, head 0",
    ]
    assert "widgets" not in shown.metadata


@pytest.mark.slow
def test_a_solution_is_folded(notebook: NotebookNode):
    (answer,) = (cell for cell in notebook.cells if cell.id == "answer")
    assert answer.metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}


@pytest.mark.slow
def test_the_launch_button_opens_what_was_made(made: Path):
    page = (made / "html" / "book" / "chapter.html").read_text()
    address = "https://colab.research.google.com/github/some-owner/some.book/blob/made/book/chapter.ipynb"
    assert f'href="{address}"' in page
    assert "colab.research.google.com" not in (made / "html" / "book" / "other.html").read_text()


@pytest.mark.slow
def test_only_chapters_of_the_book_are_kept_and_the_folder_says_what_it_holds(made: Path):
    found = sorted(path.relative_to(made / "notebooks").as_posix() for path in (made / "notebooks").rglob("*.*"))
    assert found == ["README.md", "book/chapter.ipynb", f"{WITH_OUTPUTS}/book/chapter.ipynb"]
    assert "(https://github.com/some-owner/some.book)" in (made / "notebooks" / "README.md").read_text()


@pytest.mark.slow
def test_what_has_no_form_in_a_notebook_is_a_warning_of_the_build(tmp_path: Path):
    warnings = built(tmp_path, TEXTS | {"text-4": "A term\n: What it means.\n"})
    assert "WARNING: a notebook has no form for definition_list: 'A term" in warnings


def pairs(built_book: Path) -> Iterator[tuple[Path, NotebookNode, NotebookNode]]:
    """Each chapter of the book as its page, its source and what was made of it."""
    for path in notebooks(ROOT):
        name = path.relative_to(ROOT)
        made = nbformat.read(built_book.parent / "notebooks" / name, as_version=4)
        yield built_book / name.with_suffix(".html"), nbformat.read(path, as_version=4), made


def text(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


@pytest.mark.book
def test_no_made_notebook_shows_what_only_the_page_understands(built_book: Path):
    shown = {page.stem: [one for one in text(made) if RAW.search(one)] for page, _, made in pairs(built_book)}
    assert {name: found for name, found in shown.items() if found} == {}


@pytest.mark.book
def test_the_code_is_the_sources(built_book: Path):
    for _, source, made in pairs(built_book):
        ours, theirs = ([(c.id, c.source) for c in one.cells if c.cell_type == "code"] for one in (made, source))
        assert ours == theirs


@pytest.mark.book
def test_equations_have_the_numbers_of_the_page(built_book: Path):
    numbered = re.compile(r'id="(equation-[^"]+)">\s*<span class="eqno">\(([\d.]+)\)')
    total = 0
    for page, _, made in pairs(built_book):
        tags = {c.id: re.findall(r"\\tag\{([\d.]+)\}", c.source) for c in made.cells if c.id.startswith("equation-")}
        on_page = {anchor[:64]: [number] for anchor, number in numbered.findall(page.read_text(encoding="utf-8"))}
        assert tags == on_page
        total += len(tags)
    assert total > 100


@cache
def parts_of(page: Path) -> set[str]:
    """The anchors of a page, and the empty one, which is its top."""
    return {"", *map(unescape, re.findall(r'\sid="([^"]+)"', page.read_text(encoding="utf-8")))}


def heading_places(made: NotebookNode) -> set[str]:
    """The names in a notebook that is to be read: of headings that are there once."""
    return {name for name, times in Counter(heading_names(text(made))).items() if times == 1}


def broken(made: NotebookNode, built_book: Path, here: set[str]) -> Iterator[str]:
    """The links and pictures of a notebook that lead nowhere."""
    address = pages_address(repository(ROOT)["url"])
    pages = "\n".join(map(MarkdownIt("commonmark").enable("table").render, text(made)))
    for link in {unescape(one or other) for one, other in LINK.findall(pages)}:
        parts = urlsplit(unquote(link))
        if link.startswith("#"):
            found = unquote(link[1:]) in here
        elif link.startswith(address):
            page = built_book / unquote(link).removeprefix(address).partition("#")[0]
            found = page.is_file() and (page.suffix != ".html" or parts.fragment in parts_of(page))
        else:
            found = parts.scheme == "https" and bool(parts.netloc)
        if not found:
            yield link


@pytest.mark.book
def test_every_link_of_what_is_to_be_run_leads_to_a_page_or_an_outside_address(built_book: Path):
    found = {page.stem: list(broken(made, built_book, set())) for page, _, made in pairs(built_book)}
    assert {name: links for name, links in found.items() if links} == {}


@pytest.mark.book
def test_every_link_of_what_is_to_be_read_leads_to_a_heading_a_page_or_an_outside_address(built_book: Path):
    folder = built_book.parent / "notebooks" / WITH_OUTPUTS
    made = {path.stem: nbformat.read(folder / path.relative_to(ROOT), as_version=4) for path in notebooks(ROOT)}
    found = {name: list(broken(one, built_book, heading_places(one))) for name, one in made.items()}
    assert {name: links for name, links in found.items() if links} == {}


@pytest.mark.book
def test_made_notebooks_are_valid_and_name_no_folder_of_the_machine(built_book: Path):
    paths = sorted((built_book.parent / "notebooks").rglob("*.ipynb"))
    assert len(paths) == 2 * len(notebooks(ROOT))
    for path in paths:
        made = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(made)
        assert len({cell.id for cell in made.cells}) == len(made.cells)
        assert str(ROOT) not in path.read_text(encoding="utf-8")


@pytest.mark.book
def test_vs_codes_parser_typesets_all_mathematics_and_leaves_nothing_raw(built_book: Path):
    made = [built_book.parent / "notebooks" / path.relative_to(ROOT) for path in notebooks(ROOT)]
    found = dict(zip(made, json.loads(run_node(Path(__file__).with_name("vs_code.js"), *made)), strict=True))
    assert {path.stem: seen["raw"] for path, seen in found.items() if seen["raw"]} == {}
    for path, seen in found.items():
        written = [one for cell in text(nbformat.read(path, as_version=4)) for one in mathematics_of(cell)]
        assert seen["typeset"] == len(written), path.stem


@pytest.mark.parametrize("path", notebooks(ROOT), ids=lambda path: path.stem)
def test_a_source_writes_equations_as_jupyter_reads_them(path: Path):
    texts = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    assert not [text for text in texts if "{math}" in text]
