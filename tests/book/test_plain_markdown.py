"""Markdown for notebooks: what a page says comes back from an independent parser, and breaks no front end."""

import re
from html import unescape

import pytest
from docutils import nodes
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from plain_markdown import HTML, TABLE, TEXT, Unwritable, Writer, code, mathematics, plain
from self_check import check_answer, check_choice, self_check

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(dollarmath_plugin)
WRITER = Writer({"equation-a": "3.1", "fig-a": "Fig. 3.2"}, lambda node: node["refuri"], lambda node: node["uri"])
SPECIAL = st.text(alphabet="ab_*`~$|<>&;[]()#+-.!\\1 \n", min_size=1, max_size=24)


def read(markdown: str) -> str:
    """What a reader sees."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", PARSER.render(markdown))).split())


def paragraph(*children: nodes.Node) -> nodes.paragraph:
    return nodes.paragraph("", "", *children)


@given(SPECIAL)
def test_text_is_read_as_it_stands(text: str):
    assert read(WRITER.block(paragraph(nodes.Text(text)))) == " ".join(text.split())


@given(SPECIAL)
def test_code_is_read_as_it_stands(text: str):
    assert read(WRITER.block(paragraph(nodes.literal("", text)))) == " ".join(text.split())


@given(SPECIAL.filter(str.strip))
def test_a_cell_of_a_table_stays_one_cell(text: str):
    rows = [
        nodes.row("", *(nodes.entry("", paragraph(nodes.Text(one))) for one in pair)) for pair in ("ab", (text, "c"))
    ]
    table = nodes.table("", nodes.tgroup("", nodes.thead("", rows[0]), nodes.tbody("", rows[1])))
    assert read(WRITER.block(table)) == f"a b {' '.join(text.split())} c"


@given(SPECIAL)
def test_text_in_a_summary_is_no_markup(text: str):
    assert unescape(re.sub("<[^>]+>", "", plain(text, HTML))) == re.sub(r"[ \n]+", " ", text)


@pytest.mark.parametrize(
    ("source", "place", "made"),
    [
        ("x_{<t}", TEXT, r"$x_{\lt t}$"),
        ("a < b", TEXT, "$a < b$"),
        ("a\n= b", TEXT, "$a = b$"),
        (r"p(a|b) \| c", TABLE, r"$p(a\vert b) \Vert  c$"),
    ],
)
def test_mathematics_holds_nothing_that_opens_a_tag_or_ends_a_cell(source: str, place: str, made: str):
    assert mathematics(source, place) == made


def test_code_in_a_summary_is_html():
    assert code("a<b", HTML) == "<code>a&lt;b</code>"


def equation(parent: nodes.Element, source: str, **settings) -> str:
    parent += nodes.math_block(source, source, **settings)
    return WRITER.block(parent[0])


def test_an_equation_has_the_number_of_the_page():
    made = equation(nodes.section(), "a\n\n= b", ids=["equation-a"], label="a")
    assert made == "$$\na\n= b\n\\tag{3.1}\n$$"


def test_an_equation_in_a_box_is_one_line_so_that_no_mark_of_quotation_gets_into_it():
    assert equation(nodes.admonition(), "a\n= b") == "$$ a = b $$"


def test_no_line_of_an_equation_begins_as_a_list_or_underlines_a_heading():
    made = equation(nodes.section(), "a\n- b\n  + c\n=\nd\n= e")
    assert made == "$$\na - b + c =\nd\n= e\n$$"


def test_lines_of_an_equation_are_set_apart_as_on_the_page():
    assert equation(nodes.section(), r"a &= b \\ c &= d") == "$$\n\\begin{split}\na &= b \\\\ c &= d\n\\end{split}\n$$"


def test_what_follows_the_first_line_of_an_item_is_indented():
    items = [nodes.list_item("", paragraph(nodes.Text(one)), paragraph(nodes.Text("more"))) for one in "ab"]
    assert WRITER.block(nodes.enumerated_list("", *items)) == "1. a\n\n   more\n\n2. b\n\n   more"


def test_a_box_is_a_quotation_below_its_title():
    box = nodes.admonition("", nodes.title("", "One"), paragraph(nodes.Text("two")), paragraph(nodes.Text("three")))
    assert WRITER.block(box) == "> **One**\n>\n> two\n>\n> three"


def test_a_note_of_the_margin_is_a_quotation_that_begins_with_its_title():
    note = nodes.sidebar("", nodes.title("", "One"), paragraph(nodes.Text("Two.")), paragraph(nodes.Text("Three.")))
    assert WRITER.block(note) == "> **One.** Two.\n>\n> Three."


def test_a_box_that_the_page_folds_is_a_fold():
    box = nodes.admonition("", nodes.title("", "One"), paragraph(nodes.Text("two")), classes=["dropdown"])
    assert WRITER.block(box) == "<details>\n<summary>One</summary>\n\ntwo\n\n</details>"


def test_a_fence_is_longer_than_any_within():
    assert WRITER.block(nodes.literal_block("", "a\n```\nb", language="python")) == "````python\na\n```\nb\n````"


def test_a_picture_stands_above_its_caption():
    figure = nodes.figure("", nodes.image(uri="a.svg", alt="a [b]"), nodes.caption("", "What it shows."), ids=["fig-a"])
    assert WRITER.block(figure) == "![a (b)](a.svg)\n\n**Fig. 3.2** What it shows."


def answer(choice: nodes.Node, right: bool) -> nodes.Element:
    why = paragraph(nodes.Text("It is so."))
    return check_answer("", check_choice("", "", choice), why, right=right, group="g")


def test_answers_with_mathematics_are_numbered_because_not_all_typeset_it_where_one_unfolds():
    check = self_check("", paragraph(nodes.Text("Which?")), answer(nodes.math("", "x"), True))
    check += answer(nodes.Text("y"), False)
    folds = [
        f"<details>\n<summary>Answer {number}</summary>\n\n**{verdict}** It is so.\n\n</details>"
        for number, verdict in ((1, "Right."), (2, "Not so."))
    ]
    assert WRITER.block(check) == "\n\n".join(["**Which?**", "1. $x$\n2. y", *folds])


def test_mathematics_in_the_title_of_a_fold_is_refused():
    box = nodes.admonition("", nodes.title("", "", nodes.math("", "x")), classes=["dropdown"])
    with pytest.raises(Unwritable, match="no form for math in a line: 'x'"):
        WRITER.block(box)


@pytest.mark.parametrize("node", [nodes.option_list(), paragraph(nodes.footnote_reference("", "1"))])
def test_what_has_no_form_is_refused_by_its_name(node: nodes.Element):
    with pytest.raises(Unwritable, match="no form for (option_list|footnote_reference)"):
        WRITER.block(node)


def test_joined_cells_are_refused():
    row = nodes.row("", nodes.entry("", paragraph(nodes.Text("a")), morecols=1))
    with pytest.raises(Unwritable, match="joined cells: 'a'"):
        WRITER.block(nodes.table("", nodes.tgroup("", nodes.tbody("", row))))
