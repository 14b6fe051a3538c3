"""Formulas that are set when the book is built."""

import re
from pathlib import Path

import pytest
from mathematics import in_line, lines, mathml
from small_sphinx import build, write

NUMBERED = "$$\na &= b \\\\\nc &= d\n$$ (eq-two)"
PAGES = {"index.md": f"# A page\n\nThe root $\\sqrt{{d_k}}$ is here.\n\n{NUMBERED}\n\nSee {{eq}}`eq-two`.\n"}


def test_a_formula_of_a_line_is_mathml_without_a_script():
    assert mathml(r"\sqrt{d_k}") == "<math><msqrt><msub><mi>d</mi><mi>k</mi></msub></msqrt></math>"


def test_a_letter_alone_has_no_group_around_it_and_an_operator_keeps_its_own():
    formula = mathml(r"1 \le i \le n, {=} x")
    assert not re.search(r"<mrow><m[in][^>]*>[^<]*</m[in]></mrow>", formula)
    assert "<mi>n</mi>" in formula
    assert "<mrow><mo" in formula


@pytest.mark.parametrize(
    ("formula", "written"),
    [
        ("<math><mi>x</mi></math>", '<math class="math notranslate nohighlight"><mi>x</mi></math>'),
        ('<math class="a"><mi>x</mi></math>', '<math class="math notranslate nohighlight a"><mi>x</mi></math>'),
    ],
)
def test_a_formula_of_a_line_has_its_classes_itself_and_no_element_around_it(formula: str, written: str):
    assert in_line(formula) == written


def test_a_class_in_a_formula_is_a_class_of_the_page():
    assert 'class="llm-symbol llm-symbol-0"' in mathml(r"\class{llm-symbol llm-symbol-0}{x}^2")


def test_a_formula_that_cannot_be_set_is_named_with_the_place():
    with pytest.raises(ValueError, match=r"wrong' cannot be set: "):
        mathml(r"x \wrong")
    assert "<mi>x</mi>" in mathml("x")  # what comes after it is set


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("a", "a"),
        (r"a \\ b", r"\begin{split}a \\ b\end{split}"),
        ("a\n\nb", r"\begin{aligned}a\\b\end{aligned}"),
    ],
)
def test_parts_and_lines_are_aligned(source: str, written: str):
    assert lines(source) == written


@pytest.mark.slow
def test_a_page_shows_numbers_of_formulas_and_a_build_warns_of_what_cannot_be_set(tmp_path: Path):
    write(tmp_path / "source", PAGES, ["mathematics"], ["dollarmath"])
    assert build(tmp_path / "source", tmp_path) == ""
    page = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert '<span class="eqno">(1)' in page
    assert page.count("<math") == 2
    assert "mathjax/" not in page.lower()
    (tmp_path / "source" / "index.md").write_text("# A page\n\n$\\wrong$\n")
    assert "cannot be set" in build(tmp_path / "source", tmp_path)


def test_a_bracket_keeps_clear_of_the_word_before_it():
    assert mathml(r"\mathrm{softmax}\!\left(x\right)") == mathml(r"\mathrm{softmax}\left(x\right)")
