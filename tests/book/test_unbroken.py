"""What stays on one line of a page: formulas with their marks, numbers with their per cent."""

from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document
from unbroken import keep_together


def paragraph(*parts: str) -> nodes.paragraph:
    """A paragraph; what stands between dollars is a formula, between backticks a literal."""
    kinds = {"$": nodes.math, "`": nodes.literal}
    found = nodes.paragraph()
    for part in parts:
        kind = kinds.get(part[0])
        found += kind(part, part[1:-1]) if kind else nodes.Text(part)
    return found


def kept(builder: str, *parts: str) -> list[str]:
    """The parts of a paragraph of a page of some format; what is bound stands in brackets."""
    document = new_document("page")
    document += paragraph(*parts)
    keep_together(SimpleNamespace(builder=SimpleNamespace(format=builder)), document, "page")
    return [f"<{one.astext()}>" if isinstance(one, nodes.inline) else one.astext() for one in document[0]]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("so ", "$x$", ", and (", "$y$", ") then"), ["so ", "<x,>", " and ", "<(y)>", " then"]),
        (("$x$", "."), ["<x.>", ""]),
        (("of ", "$x$", " and ", "$y$"), ["of ", "x", " and ", "y"]),
        (("$x$", "$y$", "; z"), ["x", "<y;>", " z"]),
        (("`a`", ", ", "$x$", ", ", "`b`"), ["a", ", ", "<x,>", " ", "b"]),
        (("the ", "$p$", " % of it"), ["the ", "<p\N{NO-BREAK SPACE}%>", " of it"]),
        (("95 % of ", "`95 %`", ", a % b"), ["95\N{NO-BREAK SPACE}% of ", "95 %", ", a % b"]),
    ],
)
def test_a_formula_keeps_its_marks_and_a_number_its_per_cent(parts, expected):
    assert kept("html", *parts) == expected


def test_paper_is_broken_by_its_own_rules():
    assert kept("latex", "95 % of ", "$x$", ".") == ["95 % of ", "x", "."]
