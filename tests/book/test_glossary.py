"""The glossary: its one source of terms, what the chapters introduce, its page, and what leads to it."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import glossary_terms as source
import nbformat
import pytest
from docutils.nodes import make_id
from markdown_it import MarkdownIt
from small_sphinx import build, write

TAUGHT_LATER: set[str] = set()  # of the curriculum, and in no chapter of the book yet
CURRICULUM = {  # the terms that the book promises in both languages
    "language model": "语言模型",
    "large language model": "大语言模型",
    "tokenization": "分词",
    "vocabulary": "词汇表",
    "attention": "注意力",
    "self-attention": "自注意力",
    "masked language model": "掩码语言模型",
    "next sentence prediction": "下一句预测",
    "causal language model": "因果语言模型",
    "permutation language model": "排列语言模型",
    "pre-training": "预训练",
    "fine-tuning": "微调",
    "transfer learning": "迁移学习",
    "knowledge distillation": "知识蒸馏",
    "cross-entropy": "交叉熵",
    "maximum likelihood": "最大似然",
    "perplexity": "困惑度",
    "residual connection": "残差连接",
    "layer normalization": "层归一化",
    "beam search": "束搜索",
    "temperature": "温度",
    "hallucination": "幻觉",
    "emergence": "涌现",
    "token": "词元",
    "embedding": "嵌入",
}
NO_TERMS = {  # what the chapters set in bold and the glossary need not explain, by reason
    "emphasis": "all, answers, begins, cheaper, copied, draw, equivalent, exact, exactly, greedily, "
    "independent, infinite, left, lost, merged, must, not, permuted, positions, random, rule, single, stages, "
    "stay, sum, text, time, narrow the gap, without",
    "a baseline or a data set of its chapter": "alone, asked, best possible, claimed, genre, giver, meeting, mirrors, "
    "neighbours, not asked, one rater, perfect left-to-right reader, possible story, taught, twin, twins",
    "an example": "cat, full stop, is, mat, on, on the, on the mat, sat, the, the cat, the mat",
    "plain words": "a segmenter first, before and after, by hand, code generation, dialogue, different words before, "
    "from both languages, how far apart, masked words, one position, queries and keys, "
    "rows are queries, was given it",
}
PROSE = ("{admonition}", "{self-check}", "{dropdown}", "{note}", "{tip}", "{warning}")
PAGE = """\
# A page

```{glossary-terms} terms.yml
```

# By pinyin

```{glossary-pinyin} terms.yml
```
"""
SOURCE = """\
- term: beam search
  chinese: 束搜索
  pinyin: shù sōu suǒ
  also: [BS]
  chapter: concepts/other#a-section
  definition: It keeps *several* beginnings if $b > 1$.
- term: Adam
  chinese: Adam 优化器
  pinyin: yōu huà qì
  definition: <b>An optimizer</b>.
"""
OTHER = """\
---
orphan: true
---

# Other & more

## A section

{term}`Beam search`, {term}`BS`, {term}`束搜索` and {term}`it <Adam>`.
"""


@pytest.fixture(scope="module")
def terms(root: Path):
    return source.load(root / "book" / "appendix" / "terms.yml")


def names(terms) -> list[str]:
    """Every name of every term, in small letters."""
    return [name.lower() for term in terms for name in (term.term, term.chinese, *term.also)]


def texts(page: Path) -> list[str]:
    """The markdown of a chapter, cell by cell."""
    if page.suffix == ".md":
        return [page.read_text(encoding="utf-8")]
    return [cell.source for cell in nbformat.read(page, as_version=4).cells if cell.cell_type == "markdown"]


# The source


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("meaning: A mean.", "the term 'a' lacks definition"),
        ("definition: A mean.\n  number: 3", "the term 'a' has number; choose from"),
    ],
    ids=["lacks", "unknown"],
)
def test_an_entry_that_is_not_one_is_refused_by_name(tmp_path: Path, field: str, said: str):
    path = tmp_path / "terms.yml"
    path.write_text(f"- term: a\n  chinese: 甲\n  pinyin: jiǎ\n  {field}\n")
    with pytest.raises(ValueError, match=re.escape(f"terms.yml: {said}")):
        source.load(path)


def test_each_name_leads_to_one_term(terms):
    found = names(terms)
    assert [name for name in set(found) if found.count(name) > 1] == []
    assert len({term.anchor for term in terms}) == len(terms) > 130


def test_each_definition_is_one_or_two_whole_sentences_without_a_number_to_be_proved(terms):
    for term in terms:
        assert term.definition[0].isupper(), term
        assert re.search(r"[.?]$", term.definition), term
        assert len(re.findall(r"[.?](?: |$)", term.definition)) <= 2, term
        assert not re.search(r"(?<![A-Z-])\d", term.definition), term  # but for names such as T5 and GPT-2
        assert len(term.definition) <= 300, term


def test_each_chinese_name_is_chinese_with_a_syllable_for_each_character(terms):
    for term in terms:
        characters = re.findall(r"[\u4e00-\u9fff]", term.chinese)
        assert characters, term
        assert len(term.pinyin.split()) == len(characters), term
        assert re.fullmatch(r"[a-zāáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜü ]+", term.pinyin), term


def test_one_character_is_read_one_way_but_for_the_few_that_have_two_readings(terms):
    readings: dict[str, set[str]] = {}
    for term in terms:
        for character, syllable in zip(re.findall(r"[\u4e00-\u9fff]", term.chinese), term.pinyin.split(), strict=True):
            readings.setdefault(character, set()).add(syllable)
    assert {character for character, found in readings.items() if len(found) > 1} == set("几分子相调重难")


def test_the_terms_of_the_curriculum_are_there_in_both_languages(terms):
    assert {term.term: term.chinese for term in terms if term.term in CURRICULUM} == CURRICULUM


def test_each_term_leads_to_a_section_that_is_there(root: Path, terms):
    ids: dict[str, set[str]] = {}
    missing = set()
    for term in terms:
        name, _, anchor = (term.chapter or "").partition("#")
        if term.chapter and name not in ids:
            (page,) = [path for path in (root / "book").glob(f"{name}.*") if path.suffix in (".ipynb", ".md")]
            ids[name] = {make_id(h) for text in texts(page) for h in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        if term.chapter and anchor not in ids[name]:
            missing.add((term.term, term.chapter))
    assert missing == set()


def test_only_what_is_taught_later_has_no_chapter(terms):
    assert {term.term for term in terms if term.chapter is None} == TAUGHT_LATER


# What the chapters introduce


def bold(text: str) -> Iterator[str]:
    """What is bold in a text and may be a term: not what is a sentence, or as long as one."""
    for block in MarkdownIt("commonmark").parse(text):
        if block.type == "fence" and block.info.startswith(PROSE):
            yield from bold(block.content)
        marks = [i for i, one in enumerate(block.children or []) if one.type in ("strong_open", "strong_close")]
        for start, end in zip(marks[::2], marks[1::2], strict=True):
            said = " ".join("".join(one.content or " " for one in block.children[start + 1 : end]).split())
            if not said.endswith((".", "?", ":")) and len(said.split()) <= 3:
                yield said.lower()


def introduced(root: Path) -> dict[str, str]:
    """What each chapter sets in bold, and one chapter that does."""
    pages = [page for page in (root / "book").rglob("*.ipynb") if page.parent.name != "appendix"]
    return {said: page.stem for page in pages for text in texts(page) for said in bold(text)}


def forms(said: str) -> tuple[str, ...]:
    """A word and what it may be a plural of."""
    return said, said.removesuffix("s"), said.removesuffix("ies") + "y"


def test_every_bold_term_of_the_chapters_is_explained(root: Path, terms):
    known = set(names(terms)) | {word for words in NO_TERMS.values() for word in words.split(", ")}
    missing = {said: page for said, page in introduced(root).items() if not known & set(forms(said))}
    assert missing == {}, "explain them in book/appendix/terms.yml, or say in NO_TERMS why not"


def test_what_need_not_be_explained_is_still_said(root: Path):
    said = set(introduced(root))
    assert [word for words in NO_TERMS.values() for word in words.split(", ") if word not in said] == []


# The two orders


def test_english_names_stand_by_letter_whatever_their_case(terms):
    groups = source.by_letter(terms)
    assert [letter for letter, _ in groups] == sorted({letter for letter, _ in groups})
    first = [term.term for term in groups[0][1]]
    assert first.index("activation function") < first.index("Adam") < first.index("attention")


def test_chinese_names_stand_by_pinyin_and_latin_ones_by_their_letters(terms):
    groups = dict(source.by_pinyin(terms))
    assert list(groups) == sorted(groups)
    assert sum(map(len, groups.values())) == len(terms)
    listed = [term.chinese for term in groups["B"]]
    assert listed.index("半衰期") < listed.index("编码器") < listed.index("BM25 算法") < listed.index("波长")


# The page


def built(folder: Path, pages: dict[str, str], builder: str = "html") -> tuple[str, str]:
    """The first of some pages, built with the extension and nothing else of the book, and the warnings."""
    pages = {"terms.yml": SOURCE, "book/concepts/other.md": OTHER, **pages}
    write(folder / "source", pages, ["glossary"], ["dollarmath"])
    warnings = build(folder / "source", folder, builder)
    return next((folder / builder).glob("index.*")).read_text(encoding="utf-8") if builder != "latex" else "", warnings


@pytest.mark.slow
def test_a_page_has_each_term_with_its_names_its_meaning_and_its_chapter(tmp_path: Path):
    page, warnings = built(tmp_path, {"index.md": PAGE})
    assert warnings == ""
    assert page.index('id="glossary-a"') < page.index('<dt id="term-adam">') < page.index('<dt id="term-beam-search">')
    assert '<dt lang="zh-CN">束搜索 <span class="glossary-reading" lang="zh-Latn">shù sōu suǒ</span>' in page
    assert "It keeps <em>several</em> beginnings if <span" in page
    assert '<a class="reference internal" href="book/concepts/other.html#a-section"><span>Other &amp; more' in page
    assert page.count("No chapter teaches it yet.") == 1
    assert '<a class="reference internal" href="#term-adam"><span lang="zh-CN">Adam 优化器' in page
    assert 'type="search"' in page


@pytest.mark.slow
def test_any_name_in_either_language_leads_a_chapter_to_the_term(tmp_path: Path):
    built(tmp_path, {"index.md": PAGE})
    other = (tmp_path / "html" / "book" / "concepts" / "other.html").read_text()
    assert re.findall(r'href="../../index.html#(term-[\w-]+)"', other) == ["term-beam-search"] * 3 + ["term-adam"]
    assert "glossary.js" not in other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ({"book/concepts/other.md": "# Other\n\n## A section\n\n{term}`beams`\n"}, "term not in glossary: 'beams'"),
        ({"book/concepts/other.md": "# Other\n"}, "reference target not found: concepts/other#a-section"),
        ({"terms.yml": "- term: a\n"}, "terms.yml: the term 'a' lacks chinese, definition, pinyin"),
        ({"index.md": PAGE.replace("terms", "words")}, "No such file or directory"),
    ],
    ids=["unknown term", "unknown section", "half an entry", "no source"],
)
def test_what_leads_nowhere_is_a_warning(tmp_path: Path, pages: dict[str, str], said: str):
    _, warnings = built(tmp_path, {"index.md": PAGE, **pages})
    assert said in warnings


@pytest.mark.slow
def test_a_translator_gets_the_definitions_and_not_the_names(tmp_path: Path):
    catalogue, warnings = built(tmp_path, {"index.md": PAGE}, "gettext")
    assert warnings == ""
    found = re.findall(r'^msgid "(.+)"$', catalogue, re.MULTILINE)
    assert set(found) == {"A page", "It keeps *several* beginnings if $b > 1$.", "<b>An optimizer</b>.", "By pinyin"}


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["text", "latex"])
def test_where_nothing_can_be_typed_the_lists_stand_without_the_box(tmp_path: Path, builder: str):
    page, warnings = built(tmp_path, {"index.md": PAGE}, builder)
    assert warnings == ""
    assert builder == "latex" or ("束搜索" in page and "Find a term" not in page)


class Ids(HTMLParser):
    """Collects the ids of a page."""

    def __init__(self, page: Path):
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name == "id"]


@pytest.mark.book
def test_the_built_page_has_every_term_once(built_book: Path, terms):
    ids = Ids(built_book / "book" / "appendix" / "glossary.html").found
    assert [term.anchor for term in terms if ids.count(term.anchor) != 1] == []


@pytest.mark.book
def test_only_the_glossary_has_its_script(built_book: Path):
    pages = {page.name for page in (built_book / "book").rglob("*.html") if "glossary.js" in page.read_text("utf-8")}
    assert pages == {"glossary.html"}
