"""Questions to check oneself: the directive by itself, those of the book, and the built pages."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from contents import chapters
from small_sphinx import build, write

GOOD = """\
Is $a < b$ for `a = 1`?

- [ ] No, *never*.

  It may be.
- [x] If $b > 1$.

  That is what it says.

  And no more.
- [ ] Always.

  Try $b = 0$.
"""


def built(folder: Path, question: str, builder: str = "html") -> tuple[str, str]:
    """A page with one question, and the warnings of its build."""
    page = f"# A page\n\n```{{self-check}}\n{question}```\n\nIt ends.\n"
    write(folder / "source", {"index.md": page}, ["self_check"], ["dollarmath", "tasklist"])
    warnings = build(folder / "source", folder, builder)
    return next((folder / builder).glob("index.*")).read_text(encoding="utf-8") if builder != "latex" else "", warnings


@pytest.mark.slow
def test_each_answer_unfolds_what_is_said_of_it_and_one_at_a_time_is_open(tmp_path: Path):
    page, warnings = built(tmp_path, GOOD)
    assert warnings == ""
    assert re.findall(r'<details class="self-check-(\w+)" name="self-check-0">', page) == ["wrong", "right", "wrong"]
    assert "<em>never</em>.</summary>" in page
    assert page.count("Not so.") == 2
    assert page.index("If <span") < page.index("Right.") < page.index("And no more.") < page.index("Always.")
    assert "checkbox" not in page
    assert "self_check.css" in page


@pytest.mark.slow
def test_a_translator_gets_question_answers_and_explanations_one_by_one(tmp_path: Path):
    catalogue, warnings = built(tmp_path, GOOD, "gettext")
    assert warnings == ""
    texts = ("Is $a < b$ for `a = 1`?", "No, *never*.", "It may be.", "If $b > 1$.", "And no more.")
    assert [text for text in texts if f'msgid "{text}"' not in catalogue] == []


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["text", "latex"])
def test_what_does_not_unfold_shows_question_and_answers(tmp_path: Path, builder: str):
    page, warnings = built(tmp_path, GOOD, builder)
    assert warnings == ""
    assert builder == "latex" or "And no more." in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[x]", "[ ]", "one answer must be right and two or more wrong: 0 of 3 is ticked [x]"),
        ("[ ]", "[x]", "one answer must be right and two or more wrong: 3 of 3 is ticked [x]"),
        ("- [ ] Always.\n\n  Try $b = 0$.\n", "", "two or more wrong: 1 of 2 is ticked [x]"),
        ("- [ ] Always.", "- Always.", "an answer begins with [x] or [ ]: 'Always.'"),
        ("\n  Try $b = 0$.\n", "", "an answer needs an explanation below it: 'Always.'"),
        ("Is $a < b$ for `a = 1`?\n", "", "a self-check is a question and, at its end, a list of answers"),
    ],
)
def test_what_is_no_question_is_an_error_that_says_why(tmp_path: Path, old: str, new: str, said: str):
    _, warnings = built(tmp_path, GOOD.replace(old, new))
    assert said in warnings


class Question(NamedTuple):
    """A question of the book as written: its answers are (ticked, text, explanation)."""

    text: str
    answers: list[tuple[bool, str, str]]


FENCE = re.compile(r"^(`{3,}|:{3,})\{self-check\}\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
ANSWER = re.compile(r"^- \[([ x])\] (.*?)\n\n(.*?)(?=^- \[|\Z)", re.MULTILINE | re.DOTALL)


def questions(path: Path) -> list[Question]:
    cells = nbformat.read(path, as_version=4).cells
    found = [match[2] for cell in cells if cell.cell_type == "markdown" for match in FENCE.finditer(cell.source)]
    return [Question(text.split("\n- [", 1)[0].strip(), answers(text)) for text in found]


def answers(text: str) -> list[tuple[bool, str, str]]:
    return [(match[1] == "x", match[2].strip(), match[3].strip()) for match in ANSWER.finditer(text)]


ROOT = Path(__file__).parents[2]
CHAPTERS = [path.relative_to(ROOT).as_posix() for path in chapters(ROOT)]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_chapter_has_four_questions_or_more_before_its_exercises(root: Path, chapter: str):
    cells = [cell.source for cell in nbformat.read(root / chapter, as_version=4).cells]
    heading, exercises = (
        next(n for n, source in enumerate(cells) if re.search(rf"^## {title}$", source, re.MULTILINE))
        for title in ("Check yourself", "Try it yourself")
    )
    asked = [n for n, source in enumerate(cells[:exercises]) for _ in range(source.count("{self-check}"))]
    assert len(asked) >= 4
    assert heading <= asked[-1]  # others may stand where the doubt arises


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_answer_has_an_explanation_of_its_own(root: Path, chapter: str):
    for question in questions(root / chapter):
        whys = [why for _, _, why in question.answers]
        assert len(whys) >= 3, question.text
        assert len(set(whys)) == len(whys), question.text
        assert min(map(len, whys)) > 20, question.text


def test_the_right_answer_gives_itself_away_neither_by_its_place_nor_by_its_length(root: Path):
    asked = [question for chapter in CHAPTERS for question in questions(root / chapter)]
    places = [[right for right, _, _ in question.answers].index(True) for question in asked]
    assert max(places.count(place) for place in set(places)) < 0.5 * len(asked)
    longest = sum(max(question.answers, key=lambda answer: len(answer[1]))[0] for question in asked)
    assert longest < 0.5 * len(asked)


class Groups(HTMLParser):
    """Collects the answers of a page's questions by group."""

    def __init__(self, page: Path):
        super().__init__()
        self.groups: dict[str, list[str]] = {}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "details" and (given.get("class") or "").startswith("self-check-"):
            self.groups.setdefault(given["name"], []).append(given["class"].removeprefix("self-check-"))


@pytest.mark.book
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_question_of_a_page_is_a_group_with_one_right_answer(root: Path, built_book: Path, chapter: str):
    groups = Groups(built_book / Path(chapter).with_suffix(".html")).groups
    assert len(groups) == len(questions(root / chapter))
    assert {answers.count("right") for answers in groups.values()} == {1}


@pytest.mark.slow
def test_an_answer_that_is_a_formula_alone_has_a_name_to_be_said(tmp_path: Path):
    page, warnings = built(tmp_path, GOOD.replace("Always.", "$10$"))
    assert warnings == ""
    assert '<summary aria-label="10">' in page
