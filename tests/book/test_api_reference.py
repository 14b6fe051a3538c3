"""The reference of the package: complete by its sources, linked with the chapters, and every module with its test."""

import importlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import api_links
import api_reference
import package_map
import pytest
import yaml
from small_sphinx import build
from stored_outputs import read

from companion.lessons import labels, names

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^\.\. api-modules::\n\n((?:   \S+\n)+)", re.MULTILINE)


def modules() -> dict[str, package_map.Module]:
    return package_map.modules(ROOT)


def reference_pages() -> list[Path]:
    folder = ROOT / "book" / "appendix"
    return [folder / "api.md", *sorted((folder / "api").glob("*.md"))]


# what the sources say


def test_every_module_is_on_exactly_one_page():
    found = [
        module.name
        for page in reference_pages()
        for block in BLOCK.findall(page.read_text(encoding="utf-8"))
        for module in api_reference.chosen(block.splitlines(), modules())
    ]
    assert sorted(found) == sorted(modules())


def test_every_page_of_the_reference_is_in_the_contents_and_on_its_overview():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = {chapter["file"]: chapter for part in toc["parts"] for chapter in part["chapters"]}
    expected = [page.relative_to(ROOT).with_suffix("").as_posix() for page in reference_pages()[1:]]
    assert sorted(section["file"] for section in chapters[api_links.OVERVIEW]["sections"]) == expected
    overview = re.findall(r"\[\]\((api/\w+)\)", reference_pages()[0].read_text(encoding="utf-8"))
    assert sorted(f"book/appendix/{page}" for page in overview) == expected


def test_every_public_function_and_class_has_a_docstring():
    assert [name for name, module in modules().items() if not module.doc] == []
    assert {name: module.undocumented for name, module in modules().items() if module.undocumented} == {}


def test_a_module_names_its_chapter_and_that_chapter_uses_it():
    assert [name for name, module in modules().items() if not module.pages] == []
    named = [(name, page) for name, module in modules().items() for page in module.pages]
    assert [one for one in named if one[1] not in package_map.pages(ROOT)] == []
    assert [(name, page) for name, page in named if name not in package_map.reached(ROOT, page)] == []


def test_a_module_that_defines_something_is_imported_by_a_test():
    defining = [name for name, module in modules().items() if module.public or module.constants]
    assert [name for name in defining if not package_map.tests_of(ROOT, name)] == []


def test_what_a_package_gathers_by_itself_is_what_its_tests_test():
    gathered = {name for name, module in modules().items() if module.gathered}
    checked = {label for name in gathered for label in modules()[name].labels if "equations" in name}
    exercises = {one.name for name in gathered for one in getattr(importlib.import_module(name), "EXERCISES", ())}
    assert checked == set(labels())
    assert exercises == set(names())


# how they are read


def test_what_a_package_passes_on_counts_for_the_module_that_defines_it():
    assert package_map.defined(ROOT, "companion.losses", "causal_loss") == (
        "companion.losses.causal",
        "causal_loss",
    )
    assert api_links.whole_name(ROOT, "companion.widgets.AttentionView.live") == (
        "companion.widgets.attention_view.AttentionView.live"
    )


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("GPT", "companion.models.gpt.GPT"),
        ("model.forward", "companion.models.gpt.GPT.forward"),
        ("companion.models.gpt", "companion.models.gpt"),
        ("companion.storyworld.text_to_text.VOCABULARY", "companion.storyworld.text_to_text"),
        ("companion.models.gpt.nothing", None),
        ("GPT.nothing", None),
        ("bert", None),
        ("torch.nn", None),
    ],
)
def test_code_in_prose_leads_to_what_is_imported_and_has_an_entry(text: str, target: str | None):
    imported = {"GPT": ("companion.models.gpt", "GPT"), "model": ("companion.models.gpt", "GPT")}
    assert api_links.entry(ROOT, imported, text) == target


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("It does.\n\nChapter: ``book/a/b.ipynb``. Source: X.", "It does.\n\nSource: X."),
        ("It does. Chapters: ``book/a/b.ipynb``,\n``book/c.ipynb``. More.", "It does. More."),
        ("It does.\n\nChapter: ``book/a/b.ipynb``.", "It does.\n\n"),
        ('It does. Chapter: ``book/a/b.ipynb``, "There".', 'It does. Chapter: ``book/a/b.ipynb``, "There".'),
    ],
    ids=["before its source", "within a paragraph", "alone", "with a section"],
)
def test_a_sentence_that_names_only_chapters_gives_way_to_links(doc: str, expected: str):
    assert api_reference.without_home(doc) == expected


def test_a_line_that_names_no_module_is_refused():
    with pytest.raises(ValueError, match=r"there is no module 'companion\.nothing'"):
        api_reference.chosen(["companion.nothing"], modules())


# a small book

PAGE = """\
---
file_format: mystnb
kernelspec: {name: python3}
---
# A chapter

```{code-cell}
from companion.widgets import AttentionView
from companion.nn.kv_cache import KVCache
```

Here `KVCache` is linked, `AttentionView.live` is, and `Cache` is not.
"""
REFERENCE = """\
# Reference

```{eval-rst}
.. api-modules::

   companion.nn.kv_cache
   companion.widgets
   companion.widgets.attention_view
```
"""


def small_book(folder: Path, pages: dict[str, str], builder: str = "html") -> str:
    """Build pages with the extension and little else of the book, over the real package; return the warnings."""
    for name, text in {"index": "# A book\n\n```{toctree}\n:glob:\nbook/**\n```\n", **pages}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    for name in ("companion", "tests"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    settings = {
        "extensions": ["myst_nb", "api_reference"],
        "nb_execution_mode": "off",
        "suppress_warnings": ["myst-nb.lexer"],  # nothing runs, so no kernel says in which language
        "exclude_patterns": ["companion", "tests", "build"],
        "html_theme": "sphinx_book_theme",
        "html_theme_options": {"repository_url": "https://github.com/somebody/book", "repository_branch": "main"},
        "nitpicky": True,
    }
    return build(folder, folder / "build", builder, conf=False, **settings)


@pytest.mark.slow
def test_a_small_book_links_both_ways_and_names_the_modules_it_lacks(tmp_path: Path):
    warnings = small_book(tmp_path, {"book/chapter": PAGE, "book/appendix/api": REFERENCE})
    lacking = set(re.findall(r"WARNING: (companion\S*) is on no page of the API reference", warnings))
    assert lacking == set(modules()) - {
        "companion.nn.kv_cache",
        "companion.widgets",
        "companion.widgets.attention_view",
    }
    chapter = (tmp_path / "build" / "html" / "book" / "chapter.html").read_text(encoding="utf-8")
    prose, fold = chapter.split('<details class="chapter-code">')
    view = "companion.widgets.attention_view.AttentionView"
    for target in ("companion.nn.kv_cache.KVCache", f"{view}.live"):
        assert f'href="appendix/api.html#{target}"' in prose
    for target in ("module-companion.nn.kv_cache", "companion.nn.kv_cache.KVCache", view):
        assert f'href="appendix/api.html#{target}"' in fold
    assert 'title="companion.nn.kv_cache.Cache"' not in chapter
    reference = (tmp_path / "build" / "html" / "book" / "appendix" / "api.html").read_text(encoding="utf-8")
    assert 'href="../chapter.html"' in reference
    assert "https://github.com/somebody/book/blob/main/companion/nn/kv_cache.py" in reference
    assert "https://github.com/somebody/book/blob/main/tests/nn/test_kv_cache.py" in reference


@pytest.mark.slow
def test_a_book_without_the_reference_has_no_links_to_it(tmp_path: Path):
    assert small_book(tmp_path, {"book/chapter": PAGE}) == ""
    assert "chapter-code" not in (tmp_path / "build" / "html" / "book" / "chapter.html").read_text(encoding="utf-8")


# the built book


class Links(HTMLParser):
    """Collects the ids of a page, its links, and those inside its fold of code."""

    def __init__(self, page: Path):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.folded: list[str] = []
        self.inside = False
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        self.inside = self.inside or (tag == "details" and given.get("class") == "chapter-code")
        if tag == "a" and "://" not in (href := given.get("href") or ""):
            self.links.append(unquote(href))
            self.folded += [unquote(href)] if self.inside else []

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "details"


@pytest.fixture(scope="module")
def built(built_book: Path) -> dict[str, Links]:
    reference = [path.relative_to(ROOT).with_suffix("").as_posix() for path in reference_pages()]
    return {name: Links(built_book / f"{name}.html") for name in [*reference, *package_map.pages(ROOT)]}


@pytest.mark.book
def test_each_module_and_each_public_thing_has_its_entry_on_one_page(built: dict[str, Links]):
    wanted = [f"module-{name}" for name in modules()]
    wanted += [f"{name}.{one}" for name, module in modules().items() for one in module.public]
    where = {entry: [page for page, links in built.items() if entry in links.ids] for entry in wanted}
    assert {entry: found for entry, found in where.items() if len(found) != 1} == {}


@pytest.mark.book
def test_each_chapter_leads_to_the_entry_of_each_module_that_it_imports(built: dict[str, Links]):
    for name, page in package_map.pages(ROOT).items():
        found = [read(ROOT, path) for path in ROOT.glob(f"{name}.*") if path.suffix in (".ipynb", ".md")]
        if any(chapter is not None and chapter.out for chapter in found):  # cells that are left out lead nowhere
            continue
        anchors = {urldefrag(link).fragment for link in built[name].folded}
        imported = package_map.imported_by(ROOT, page.imports)
        assert {f"module-{module}" for module in imported} <= anchors, name


@pytest.mark.book
def test_every_link_between_the_chapters_and_the_reference_resolves(built: dict[str, Links]):
    seen = 0
    for name, page in built.items():
        for link in page.links:
            address, anchor = urldefrag(link)
            target = Path(name).parent / address if address else Path(name)
            parts: list[str] = []
            for part in target.with_suffix("").parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            there = "/".join(parts)
            if there in built and (there.startswith(api_links.OVERVIEW) or name.startswith(api_links.OVERVIEW)):
                assert not anchor or anchor in built[there].ids, (name, link)
                seen += 1
    assert seen > 1000
