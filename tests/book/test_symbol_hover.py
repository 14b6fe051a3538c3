"""Symbols in the sources of equations: what is wrapped, what is left alone, and that nothing else is touched."""

import re

import pytest
import symbol_hover as hover
from equation_sources import sources
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.lessons import Symbol, equation, labels

OPENING = re.compile(r"(?:(\{)\\class |\\class)\{llm-symbol llm-symbol-\d+\}\{")
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)

# Symbols that stand in the table of their equation, and not in its source.
NOT_WRITTEN = {
    ("eq-finetuning-head", "d"): "in the shapes of others only",
    ("eq-finetuning-head", "K"): "in the shapes of others only",
    ("eq-positions-shift", "P_p"): "a row, of which the equation has entries",
    ("eq-transformer-positions", "P_p"): "a row, of which the equation has entries",
    ("eq-gpt-beam", "|y|"): "its power hangs at the second bar, and would move if it hung at the whole",
    ("eq-serving-percentile", "x_{(k)}"): "any rank, of which the equation has one",
}


def wrapped(source: str, *symbols: str) -> list[tuple[str, str]]:
    """The wrapped parts of a source with the symbols they stand for."""
    found = hover.wraps(source, [Symbol(tex, "it") for tex in symbols])
    return [(source[wrap.start : wrap.end], symbols[wrap.symbol]) for wrap in found]


def unwrapped(source: str) -> str:
    """The source without the wrappers: each opening with the braces that close it."""
    text, open_braces, place = "", list[str](), 0
    while place < len(source):
        if opening := OPENING.match(source, place):
            open_braces.append("}}" if opening[1] else "}")
            place = opening.end()
            continue
        token = TOKEN.match(source, place)[0]
        if token == "{":
            open_braces.append("")
        closing = open_braces.pop() if token == "}" and open_braces else ""
        assert source.startswith(closing, place)
        text += "" if closing else token
        place += len(closing or token)
    return text


def test_a_symbol_gets_a_class_that_names_its_place_in_the_list():
    symbols = [Symbol("s_{ij}", "a score"), Symbol("d_k", "a size")]
    assert hover.hoverable(r"s_{ij} / \sqrt{d_k}", symbols) == (
        r"\class{llm-symbol llm-symbol-0}{s_{ij}} / \sqrt{\class{llm-symbol llm-symbol-1}{d_k}}"
    )


def test_an_argument_without_braces_gets_them():
    assert hover.hoverable(r"\frac z2", [Symbol("z", "it")]) == r"\frac {\class {llm-symbol llm-symbol-0}{z}}2"


@pytest.mark.parametrize(
    ("source", "symbol"),
    [
        ("h^{0}_t", "h_t^0"),
        (r"\hat{g}", r"\hat g"),
        (r"\bigl[\,W_1 \cdots W_h\,\bigr]", r"[W_1 \cdots W_h]"),
        (r"\lVert x \rVert", r"\|x\|"),
        ("d'_{\\mathrm{ff}}", "d'_{\\mathrm{ff}}"),
        (r"\mathrm{KL}(p \,\|\, q)", r"\mathrm{KL}(p\|q)"),
    ],
)
def test_one_symbol_may_be_spelt_in_two_ways(source: str, symbol: str):
    assert wrapped(source, symbol) == [(source, symbol)]


def test_a_list_of_symbols_is_any_of_them():
    assert wrapped(r"Q K^{\top}", "Q, K") == [("Q", "Q, K"), ("K", "Q, K")]


def test_the_longest_symbol_comes_first():
    assert wrapped("x_t x", "x", "x_t") == [("x_t", "x_t"), ("x", "x")]
    assert wrapped("H(p, q) - H(p)", "H(p)", "H(p, q)") == [("H(p, q)", "H(p, q)"), ("H(p)", "H(p)")]


def test_symbols_inside_a_symbol_are_found_too():
    assert wrapped(r"p(x_t \mid h)", r"p(x_t \mid h)", "h") == [(r"p(x_t \mid h)", r"p(x_t \mid h)"), ("h", "h")]


def test_the_indices_of_a_symbol_are_a_part_of_it():
    assert wrapped("x_t + t", "x_t", "t") == [("x_t", "x_t"), ("t", "t")]


@pytest.mark.parametrize(
    ("source", "symbol"),
    [
        ("s_{t-1}", "s_t"),
        ("g_t^2", "g_t"),
        (r"z_{t, x_{t+1}}", "z_{tk}"),
        (r"h^{\ell-1}", r"h^{\ell}"),
        (r"\ell_{i-1,\,j}", r"\ell_{ij}"),
        ("p(x_i)", "p(x)"),
        ("p_\\theta(x_i)", "p_\\theta(w)"),
        (r"\langle u \odot v \rangle", r"\langle \cdot \rangle"),
    ],
)
def test_a_symbol_stands_for_its_relatives(source: str, symbol: str):
    assert wrapped(source, symbol) == [(source, symbol)]


@pytest.mark.parametrize(
    ("source", "symbol"),
    [
        ("h'", "h"),
        (r"\hat x", "x"),
        ("x_{<t}", "x_t"),
        ("s_i", "s_{ij}"),
        ("z^2", "z^S"),
        (r"E^{\top}", "E^S"),
        (r"N_{\text{plain}}", "N_t"),
        ("p(w)", "p(x)"),
        ("p)", "p(x)"),
        (r"p(x_t \mid x_{<t})", r"p(g \mid x_{<t})"),
        (r"\text{a}\mathrm{a}\operatorname*{arg\,a}\mathcal{a}", "a"),
        (r"\begin{aligned} 1 \end{aligned}", "a"),
        (r"\unknown{a}", "a"),
    ],
)
def test_what_is_something_else_is_left_alone(source: str, symbol: str):
    assert wrapped(source, symbol) == []


def test_a_letter_stands_for_itself_without_the_scripts():
    assert wrapped(r"E_{x_t} d^2", "E", "x_t", "d") == [("E", "E"), ("x_t", "x_t"), ("d", "d")]


def test_a_letter_does_not_stand_for_a_list_of_its_own_kind():
    assert wrapped("z = z_0 - z_y", "z_0, z_1", "z") == [("z", "z"), ("z_0", "z_0, z_1"), ("z_y", "z_0, z_1")]


@pytest.mark.parametrize("source", ["x}", "{x", "x^", r"\frac{x}", "x_1_2", "x % y", r"\text{x", "_x", "$x$"])
def test_what_cannot_be_read_comes_back_as_it_is(source: str):
    assert hover.hoverable(source, [Symbol("x", "it")]) == source


PATIENT = settings(deadline=None, derandomize=True)  # no clock decides
SYMBOLS = ["x", "x_t", "x_{<t}", r"h^{\ell}", r"\hat g", "p(x)", r"p(x \mid t)", "Q, K", r"[\cdot]", r"\mathrm{LN}"]


def scripted(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}_{}".format, st.sampled_from("xhQ"), st.sampled_from(["t", r"\theta", "2"])),
        st.builds("{}^{{{}}}_t".format, st.sampled_from("xh"), parts),
        st.builds(r"\frac{{{}}}{{{}}}".format, parts, parts),
        st.builds(r"\frac{}2".format, st.sampled_from([" x", r"\ell"])),
        st.builds(r"p\bigl({} \mid {}\bigr)".format, parts, parts),
        st.builds(r"\left[ {} \right]".format, parts),
        st.builds(r"\begin{{aligned}} {} &= {} \\ {} \end{{aligned}}".format, parts, parts, parts),
        st.builds("{} {}".format, parts, parts),
    )


MATHEMATICS = st.recursive(
    st.sampled_from(["x", "x'", r"\hat g", r"\mathrm{LN}(x)", r"\text{a x}", r"\ell", "10000", r"x_{<t}", r"\,"]),
    scripted,
    max_leaves=12,
)


@PATIENT
@given(MATHEMATICS)
def test_without_the_wrappers_the_source_is_what_it_was(source: str):
    assert unwrapped(hover.hoverable(source, [Symbol(tex, "it") for tex in SYMBOLS])) == source


@PATIENT
@given(st.text(alphabet=r"x_^{}\&fracpt'[]()1, ~%", max_size=30))
def test_whatever_is_written_comes_back_without_the_wrappers(source: str):
    assert unwrapped(hover.hoverable(source, [Symbol(tex, "it") for tex in SYMBOLS])) == source


@PATIENT
@given(MATHEMATICS)
def test_wraps_are_inside_one_another_or_apart(source: str):
    ends: list[int] = []
    for wrap in hover.wraps(source, [Symbol(tex, "it") for tex in SYMBOLS]):
        while ends and ends[-1] <= wrap.start:
            ends.pop()
        assert not ends or wrap.end <= ends[-1]
        ends.append(wrap.end)


def test_every_equation_of_the_book_can_be_read_and_is_left_as_it_was():
    for label, source in sources().items():
        hoverable = hover.hoverable(source, equation(label).symbols)
        assert hoverable != source, label
        assert unwrapped(hoverable) == source, label


def test_every_symbol_that_an_equation_holds_can_be_pointed_at():
    written = sources()
    assert set(written) == set(labels())
    for label, source in written.items():
        symbols = equation(label).symbols
        found = {symbols[wrap.symbol].tex for wrap in hover.wraps(source, symbols)}
        missing = {(label, symbol.tex) for symbol in symbols} - {(label, tex) for tex in found}
        assert missing == {(one, tex) for one, tex in NOT_WRITTEN if one == label}
