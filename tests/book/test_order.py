"""The order of the contents: no chapter uses a term of the glossary that nothing before it has introduced.

A term is **introduced** where the text of a chapter first sets one of its names in bold. It is **used** where the text
has one of its names, in the singular or the plural. The paragraph that introduces it comes first, or is the same.

Read is the text of the chapters in the order of `_toc.yml`, with captions, boxes, exercises and questions. Not read is
what announces things (titles, headings, goals, "What to read next"), code and formulas, and what is not said in the
book's own voice: words in italics or in quotation marks are examples and names. A sentence may point ahead: it has a
link to the chapter that introduces the term, or to the one that teaches it by the glossary; or it cites the work that a
proper name (*BERT*, *Adam*) comes from.

Many terms are everyday words as well, and the glossary says how each is read. A word that is the term's own name
(*token*, *head*) is always read as the term: before its introduction the text finds another word. A part of the name
that stands under `also` (*training* of *training set*, *window* of *sliding window attention*) is never read as the
term, but introduces it where it is bold.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import contents
import glossary_terms as source
import nbformat
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

MARKDOWN = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, allow_labels=True)
GOALS, AHEAD = ":class: goals", "What to read next"
LEFT_OUT, CITED = " … ", " ※ "  # in the place of what is not read, so that its neighbours do not meet
ROLE = re.compile(r"\{([\w:-]+)\}$")
OPTION = re.compile(r"^:[\w-]+:.*\n?", re.MULTILINE)
QUOTED = re.compile(r"“[^”]*”")
WORD = re.compile(r"[\w@\[\]'–-]+|[^\w\s]+")
SENTENCE = re.compile(r"(?<=[.?!:;])\s+")
TERMS = """\
- {term: loss function, chinese: 损失, pinyin: sǔn shī, also: [loss], definition: A mean.}
- {term: key, chinese: 键, pinyin: jiàn, chapter: part/deep#section, definition: A vector.}
- {term: BERT, chinese: 模型, pinyin: mó xíng, definition: A model.}
"""


@dataclass
class Passage:
    """A paragraph, an item of a list, or a row of a table: its text as far as it is read, and what is bold in it."""

    page: str
    text: str = ""
    bold: list[str] = field(default_factory=list)

    def read(self, inline: Token) -> None:
        """Add the text of an inline token; a link becomes the name of its page between brackets."""
        opened: list[tuple[int, Token]] = []
        for one in inline.children or []:
            if one.nesting == 1:
                opened.append((len(self.text), one))
            elif one.nesting == -1:
                start, mark = opened.pop()
                if one.type == "strong_close":
                    self.bold.append(self.text[start:])
                elif one.type == "link_close":
                    self.text = f"{self.text[:start]} [{PurePosixPath(str(mark.attrs['href']).split('#')[0]).stem}] "
                elif "strong_open" not in [mark.type for _, mark in opened]:
                    self.text = self.text[:start] + LEFT_OUT
            elif one.type == "code_inline":
                role = ROLE.search(self.text)
                self.text = ROLE.sub("", self.text) + (CITED if role and role[1].startswith("cite") else LEFT_OUT)
            else:
                self.text += one.content if one.type.startswith("text") else " "
        self.text += " "

    def sentences(self) -> list[str]:
        """Its sentences, or what a colon or a semicolon makes of them."""
        return SENTENCE.split(QUOTED.sub(LEFT_OUT, self.text))


def cells(page: Path) -> Iterator[str]:
    """The texts of a chapter: its Markdown, and the captions of its figures."""
    if page.suffix == ".md":
        yield page.read_text(encoding="utf-8")
        return
    for cell in nbformat.read(page, as_version=4).cells:
        yield cell.source if cell.cell_type == "markdown" else caption(cell.metadata)


def caption(metadata: dict) -> str:
    """The caption of a code cell's figure."""
    return metadata.get("mystnb", {}).get("figure", {}).get("caption", "")


def passages(page: str, text: str) -> Iterator[Passage]:
    """The passages of a text, those of its boxes among them."""
    row, ahead = None, False
    tokens = MARKDOWN.parse(text)
    for i, token in enumerate(tokens):
        if token.type == "fence" and token.info.startswith("{") and GOALS not in token.content:
            yield from passages(page, OPTION.sub("", token.content))
        elif token.type == "tr_open":
            row = Passage(page)
        elif token.type == "tr_close" and row:
            yield row
            row = None
        elif token.type == "inline" and tokens[i - 1].type == "heading_open":
            ahead = token.content == AHEAD
        elif token.type == "inline" and not ahead:
            passage = row or Passage(page)
            passage.read(token)
            if not row:
                yield passage


@dataclass(frozen=True)
class Names:
    """The English names of a glossary, to be found in a text."""

    terms: tuple[source.Term, ...]

    @cached_property
    def known(self) -> dict[str, tuple[str, str]]:
        """Each name in small letters, once with its hyphens and once without, with itself and its term."""
        pairs = [(name, term.term) for term in self.terms for name in (term.term, *term.also)]
        return {key.lower(): pair for pair in pairs for key in (pair[0], pair[0].replace("-", " "))}

    def taught_in(self, term: str) -> str:
        """The page that teaches a term, by the glossary."""
        (chapter,) = (one.chapter or "" for one in self.terms if one.term == term)
        return PurePosixPath(chapter.split("#")[0]).name

    @cached_property
    def longest(self) -> int:
        """How many words the longest name has."""
        return max(len(name.split()) for name in self.known)

    def find(self, text: str) -> Iterator[tuple[str, str]]:
        """The names in a text with their terms, each word read once and as part of the longest name that fits."""
        words, at = WORD.findall(text), 0
        while at < len(words):
            for length in range(self.longest, 0, -1):
                if pair := self.look_up(" ".join(words[at : at + length])):
                    yield pair
                    break
            at += length

    def look_up(self, words: str) -> tuple[str, str] | None:
        """The name that some words are, in the singular or the plural; a proper name is written as in the glossary."""
        words = words.removesuffix("'s").removesuffix("s'")
        for singular in (words, words.removesuffix("s"), words.removesuffix("es"), re.sub("ies$", "y", words)):
            pair = self.known.get(singular.lower())
            if pair and (not proper(pair[0]) or singular == pair[0]):
                return pair
        return None

    def used(self, text: str) -> Iterator[tuple[str, str]]:
        """The names in a text that count as uses, with their terms: not those that are a part of the term's name."""
        yield from ((name, term) for name, term in self.find(text) if name == term or f" {name} " not in f" {term} ")


def proper(name: str) -> bool:
    """Whether a name is one of a model or a method, or an abbreviation: it begins with a capital."""
    return name[:1].isupper()


def too_early(names: Names, pages: list[tuple[str, list[str]]]) -> list[str]:
    """Where a term is used before it is introduced, as lines: page, term, where it is introduced, sentence."""
    read = [passage for page, texts in pages for text in texts for passage in passages(page, text)]
    introduced: dict[str, int] = {}
    for place, passage in enumerate(read):
        for bold in passage.bold:
            for _, term in names.find(bold):
                introduced.setdefault(term, place)
    lines = []
    for place, passage in enumerate(read):
        for sentence in passage.sentences():
            for name, term in names.used(sentence):
                home = introduced.get(term, len(read))
                where = read[home].page if home < len(read) else "no chapter"
                if place < home and not ahead(sentence, name, {where, names.taught_in(term)}):
                    lines.append(f"{passage.page}: {name!r}, introduced in {where}: {' '.join(sentence.split())}")
    return lines


def ahead(sentence: str, name: str, homes: set[str]) -> bool:
    """Whether a sentence that uses a name points to where it is taught, or cites where a proper name comes from."""
    return any(f"[{home}]" in sentence for home in homes) or (proper(name) and CITED in sentence)


def test_no_chapter_uses_a_term_that_nothing_before_it_introduced(root: Path):
    names = Names(source.load(root / "book" / "appendix" / "terms.yml"))
    found = too_early(names, [(page.stem, list(cells(page))) for page in contents.pages(root)])
    assert found == [], "introduce it there in bold, say it in other words, or lead to the chapter that teaches it"


# The rule


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Names:
    path = tmp_path_factory.mktemp("order") / "terms.yml"
    path.write_text(TERMS, encoding="utf-8")
    return Names(source.load(path))


def early(few: Names, first: str) -> bool:
    """Whether a page uses a term too early, before a second page that introduces all."""
    return bool(too_early(few, [("first", [first]), ("second", ["**loss functions**, the **key** and **BERT**"])]))


@pytest.mark.parametrize(
    "text",
    [
        "Take a key.",
        "All keys.",
        "The key's length.",
        "> - Keys, quoted.",
        "```{admonition} A box\n:class: misreading\nA key.\n```",
        "| a key |\n| --- |\n| b |",
        "A loss-function, or loss function.",
        "BERT's layers.",
        "A key, of an old paper {cite:p}`old`.",
        "A key, as [elsewhere](third.ipynb).",
        "It leads [ahead](second.ipynb). A key.",
        "A key.\n\nA **key** is a vector.",
    ],
)
def test_a_use_before_the_introduction_is_found(few: Names, text: str):
    assert early(few, text)


@pytest.mark.parametrize(
    "text",
    [
        "# A key",
        "Monkeys and a keyhole.",
        "`key`, $key$, *key* and “the key”.",
        "See [the key](third.ipynb).",
        "```python\nkey\n```",
        "```{admonition} You will be able to\n:class: goals\n- find a key.\n```",
        "## What to read next\n\n- A key.",
        "A key, see [ahead](second.ipynb#section).",
        "BERT {cite:p}`devlin2019bert`.",
        "A **key** is a vector. The key fits.",
        "What is lost is a loss.",
        "A **loss** is a number.\n\nThis loss function is one.",
        "Ask bert.",
    ],
)
def test_what_announces_or_points_ahead_or_is_no_term_is_no_use(few: Names, text: str):
    assert not early(few, text)


def test_the_glossary_says_which_chapter_teaches_a_term_that_was_introduced_before(few: Names):
    pages = [("a", ["A key, see [there](deep.ipynb)."]), ("b", ["A **key**."]), ("deep", ["Keys."])]
    assert too_early(few, pages) == []


def test_text_and_captions_of_a_notebook_are_read(tmp_path: Path):
    figure = nbformat.v4.new_code_cell("draw()", metadata={"mystnb": {"figure": {"caption": "Two keys."}}})
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("A key."), figure]), tmp_path / "a.ipynb"
    )
    assert list(cells(tmp_path / "a.ipynb")) == ["A key.", "Two keys."]


def test_a_line_says_where_what_is_introduced(few: Names):
    pages = [("a", ["Take a key. Then go."]), ("b", ["The **keys**."])]
    assert too_early(few, pages) == ["a: 'key', introduced in b: Take a key."]
    assert too_early(few, pages[:1]) == ["a: 'key', introduced in no chapter: Take a key."]
