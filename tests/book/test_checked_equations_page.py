"""What stands below the equations on the pages: the extension by itself, a small book, and the built one."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import checked_equations as extension
import nbformat
import pytest
import symbol_index as index
import yaml
from mathematics import mathml
from package_map import LABEL
from small_sphinx import build, write

from companion.lessons import Equation, Symbol, equation, labels

PAGE = """\
# A page

$$
x < y
$$ (LABEL)

It ends.
"""


def test_a_difference_is_rounded_up_to_a_power_of_ten():
    assert [extension.power(d) for d in (0.0, 3e-17, 2e-15, 1e-11, 3e-11)] == [
        "10⁻¹⁵",
        "10⁻¹⁵",
        "10⁻¹⁴",
        "10⁻¹¹",
        "10⁻¹⁰",
    ]


def test_a_meaning_is_cut_into_text_mathematics_and_code_and_escaped():
    html = extension.inline("rows of `a<b` & $x_{<t}$")
    assert html.startswith('rows of <code>a&lt;b</code> &amp; <math class="math notranslate nohighlight">')
    assert "<msub><mi>x</mi>" in html
    assert "&lt;" in html.split("<math")[1]


def test_a_form_is_shown_with_the_functions_of_its_module_that_it_calls():
    code = extension.source(equation("eq-attention-variance").library)
    assert code.index("def outcomes(") < code.index("def variance_torch(")
    assert "_outcomes" not in code


@pytest.mark.parametrize("label", labels())
def test_the_fold_of_each_equation_is_whole(label: str):
    one = equation(label)
    for form in one.forms.values():
        compile(extension.source(form), label, "exec")
    html = extension.table(one)
    assert html.count("<tr>") == len(one.symbols) + 1
    assert "$" not in html


def compared(label: str) -> str:
    """The forms of an equation as the line below it names them."""
    *others, last = equation(label).forms
    return f"{', '.join(others)} and {last}"


@pytest.mark.parametrize("label", labels())
def test_the_line_below_each_equation_names_the_forms_that_were_compared(label: str):
    line = extension.summary({"difference": 0.0, "inputs": 5}, equation(label))
    said = re.sub("</?code>", "", line)
    assert said == f"Checked: {compared(label)} agree to 10⁻¹⁵ on 5 random inputs"
    assert ("companion" in said) == (equation(label).companion is not None)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("a", "B"), ("d", r"\hat g"), ("z", r"\alpha"), (r"\alpha", r"\beta"), (r"\mathcal{L}", "m"), ("n", r"n_{\max}")],
)
def test_symbols_are_sorted_by_letter_and_greek_ones_come_last(earlier: str, later: str):
    assert index.sorting(earlier) < index.sorting(later)


def test_the_index_has_each_symbol_once_with_all_its_equations():
    found = index.symbols()
    assert {label for where in found.values() for label in where} == set(labels())
    assert sum(map(len, found.values())) == sum(len(equation(label).symbols) for label in labels())


def test_a_translator_gets_every_word_that_is_added():
    messages = extension.messages()
    assert {extension.THREE, extension.TWO, "PyTorch", "numerical integration"} <= set(messages)
    assert len(messages) == len(set(messages))
    assert {symbol.meaning for label in labels() for symbol in equation(label).symbols} <= set(messages)


def small_book(folder: Path, pages: dict[str, str], builder: str = "html", **settings) -> str:
    """Build pages with the extension and nothing else of the book; return the warnings."""
    names = "\n".join(name for name in pages if name != "index")
    pages = {"index": f"# A book\n\n```{{toctree}}\n{names}\n```\n", **pages}
    write(
        folder / "source", {f"{name}.md": text for name, text in pages.items()}, ["checked_equations"], ["dollarmath"]
    )
    return build(folder / "source", folder, builder, **{"checked_equations_complete": False, **settings})


@pytest.mark.slow
def test_a_small_book_has_the_fold_below_its_equation_in_html_only(tmp_path: Path):
    pages = {"page": PAGE.replace("LABEL", "eq-attention-softmax")}
    assert small_book(tmp_path, pages) == ""
    html = (tmp_path / "html" / "page.html").read_text()
    fold = html.index('<details class="checked-equation"')
    assert html.index('id="equation-eq-attention-softmax"') < fold < html.index("It ends.")
    assert "checked_equations.css" in html
    assert "softmax_by_hand" not in (tmp_path / "html" / "searchindex.js").read_text()
    for builder in ("text", "gettext", "latex"):
        assert small_book(tmp_path, pages, builder) == ""
    assert "Checked" not in (tmp_path / "text" / "page.txt").read_text()


@pytest.mark.slow
def test_a_fold_shows_the_forms_that_were_compared_and_no_other(tmp_path: Path):
    pages = {label: PAGE.replace("LABEL", label) for label in ("eq-attention-softmax", "eq-transformer-norm")}
    assert small_book(tmp_path, pages) == ""
    shown = []
    for label in pages:
        html = (tmp_path / "html" / f"{label}.html").read_text()
        assert re.search(r"<summary>Checked: by hand(?:, <code>companion</code>)? and PyTorch agree", html)
        shown.append(re.findall('<p class="checked-form">(?:<code>)?(.*?)(?:</code>)?</p>', html))
    assert shown == [
        ["By hand", "companion", "PyTorch", "In a notebook:"],
        ["By hand", "PyTorch", "In a notebook:"],
    ]


@pytest.mark.slow
def test_symbols_can_be_pointed_at_in_html_and_nothing_else_sees_how(tmp_path: Path):
    pages = {"page": PAGE.replace("LABEL", "eq-attention-softmax").replace("x < y", "a_{ij} < x")}
    pages["other"] = "# Another\n\n$$\na_{ij}\n$$ (eq-nobody-knows)\n\n$$a_{ij}$$\n"
    small_book(tmp_path, pages)
    html = (tmp_path / "html" / "page.html").read_text()
    assert mathml(r"\class{llm-symbol llm-symbol-0}{a_{ij}} < x", display=True) in html
    assert 'src="_static/symbol_hover.js' in html
    assert "llm-symbol" not in (tmp_path / "html" / "other.html").read_text()
    assert "llm-symbol" not in (tmp_path / "html" / "searchindex.js").read_text()
    for builder, name in (("text", "page.txt"), ("gettext", "page.pot"), ("latex", "projectnamenotset.tex")):
        small_book(tmp_path, pages, builder)
        written = (tmp_path / builder / name).read_text()
        assert "llm-symbol" not in written
        assert "a_{ij} < x" in written or builder == "gettext"


@pytest.mark.slow
def test_an_equation_without_a_check_is_a_warning_that_names_it(tmp_path: Path):
    warnings = small_book(tmp_path, {"page": PAGE.replace("LABEL", "eq-nobody-knows")})
    assert "page.md:3: WARNING: the equation eq-nobody-knows has no check in companion.lessons" in warnings


@pytest.mark.slow
def test_a_check_without_an_equation_is_a_warning_that_names_it(tmp_path: Path):
    pages = {"page": PAGE.replace("LABEL", "eq-attention-softmax")}
    warnings = small_book(tmp_path, pages, checked_equations_complete=True)
    assert warnings.count("WARNING") == len(labels()) - 1
    assert "companion.lessons checks eq-attention-mask, and no page has that equation" in warnings


@pytest.mark.slow
def test_a_check_that_disagrees_is_a_warning_that_says_by_how_much(tmp_path: Path, monkeypatch):
    symbols = (Symbol("x", "it"),)
    wrong = Equation(label="eq-wrong", symbols=symbols, draw=lambda g: {}, by_hand=lambda: 1.0, library=lambda: 1.5)
    monkeypatch.setattr("companion.lessons._equations", lambda: iter([wrong]))
    monkeypatch.delitem(sys.modules, "checked_equations")  # which remembers what it checked
    warnings = small_book(tmp_path, {"page": PAGE.replace("LABEL", "eq-wrong")})
    assert "the equation eq-wrong is not as its check computes it" in warnings
    assert "by hand and PyTorch DISAGREE on 5 random inputs; largest difference 5.0e-01" in warnings


@pytest.mark.slow
def test_pages_that_are_read_side_by_side_are_the_same(tmp_path: Path):
    chosen = labels()[:12]
    pages = {f"page{number}": PAGE.replace("LABEL", label) for number, label in enumerate(chosen)}
    for folder, parallel in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        assert small_book(tmp_path / folder, pages, parallel=parallel) == ""
    for name in pages:
        one, two = ((tmp_path / folder / "html" / f"{name}.html").read_text() for folder in ("one", "two"))
        assert one == two


class Folds(HTMLParser):
    """Collects the equations of a page that have a fold, and what the folds say."""

    def __init__(self, page: Path):
        super().__init__()
        self.ids: list[str] = []
        self.below: list[str] = []
        self.summaries: list[str] = []
        self.reading = False
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if (given.get("id") or "").startswith("equation-"):
            self.ids.append(given["id"])
        if tag == "details" and given.get("class") == "checked-equation":
            self.below.append(self.ids[-1])
        if tag == "summary" and len(self.summaries) < len(self.below):
            self.reading = True
            self.summaries.append("")

    def handle_endtag(self, tag):
        self.reading = self.reading and tag != "summary"

    def handle_data(self, data):
        if self.reading:
            self.summaries[-1] += data


def chapters(root: Path) -> list[str]:
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    return [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]


def labels_of(root: Path, chapter: str) -> list[str]:
    path = root / f"{chapter}.ipynb"
    if not path.exists():
        return LABEL.findall((root / f"{chapter}.md").read_text(encoding="utf-8"))
    cells = nbformat.read(path, as_version=4).cells
    return [label for cell in cells if cell.cell_type == "markdown" for label in LABEL.findall(cell.source)]


@pytest.mark.book
def test_below_each_numbered_equation_of_the_book_stands_that_it_was_checked(root: Path, built_book: Path):
    for chapter in chapters(root):
        folds = Folds(built_book / f"{chapter}.html")
        there = labels_of(root, chapter)
        assert folds.below == [f"equation-{label.replace('_', '-')}" for label in there], chapter
        for label, said in zip(there, folds.summaries, strict=True):
            line = rf"Checked: {compared(label)} agree to 10⁻[¹²³⁴⁵⁶⁷⁸⁹⁰]+ on 5 random inputs"
            assert re.fullmatch(line, said), (label, said)


@pytest.mark.book
def test_the_index_of_symbols_leads_to_every_equation(built_book: Path):
    page = (built_book / "book" / "appendix" / "notation.html").read_text(encoding="utf-8")
    table = page[page.index("symbol-index") :]
    linked = set(re.findall(r'href="[^"]*#(equation-[\w-]+)"', table))
    assert linked == {f"equation-{label.replace('_', '-')}" for label in labels()}


@pytest.mark.book
@pytest.mark.parametrize("name", ["checked_equations.css", "symbol_hover.js", "mathematics.css"])
def test_what_the_equations_need_comes_with_the_book(built_book: Path, name: str):
    assert (built_book / "_static" / name).exists()
