"""A page is read again when something changed that it shows, and only then."""

import shutil
from pathlib import Path

import closure
import package_map
import pytest
from small_sphinx import build

PAGES = {
    "index": "# A book\n\n```{toctree}\n:glob:\nbook/**\n```\n",
    "book/chapter": "---\nfile_format: mystnb\n---\n\n# A chapter\n\n```{code-cell}\n:tags: [skip-execution]\n"
    "from companion.cache import KVCache\n```\n",
    "book/formula": "# A formula\n\n$$\nx\n$$ (eq-attention-softmax)\n",
    "book/appendix/api": "# Reference\n\n```{eval-rst}\n.. api-index::\n```\n",
    "book/appendix/cache": "# Cache\n\n```{eval-rst}\n.. api-modules::\n\n   companion.cache\n```\n",
    "book/appendix/gpt": "# GPT\n\n```{eval-rst}\n.. api-modules::\n\n   MODULE\n```\n",
}


def home(root: Path, name: str) -> str:
    """The module that defines a public function or class."""
    return next(module.name for module in package_map.modules(root).values() if name in module.public)


@pytest.fixture
def book(root: Path, tmp_path: Path) -> Path:
    """A small book over a copy of the package, that was built."""
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(root / "companion", tmp_path / "companion", ignore=ignored)
    shutil.copy(root / "requirements.txt", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_cache.py").write_text("")
    closure.forget()
    names = {"companion.cache": home(tmp_path, "KVCache"), "MODULE": home(tmp_path, "GPT")}
    for name, text in PAGES.items():
        for old, new in names.items():
            text = text.replace(old, new)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.md").write_text(text)
    made(tmp_path)
    return tmp_path


def made(book: Path) -> None:
    settings = {
        "extensions": ["myst_nb", "api_reference", "executed_chapters"],
        "nb_execution_mode": "off",
        "myst_enable_extensions": ["dollarmath"],
        "exclude_patterns": ["_build", "companion", "tests"],
        "html_theme": "sphinx_book_theme",
        "html_theme_options": {"repository_url": "https://github.com/somebody/book", "repository_branch": "main"},
    }
    build(book, book / "_build", "dummy", conf=False, **settings)


def read_again(book: Path) -> set[str]:
    """The pages that the next build reads."""
    times = {path: path.stat().st_mtime_ns for path in book.rglob("_build/dummy-doctrees/**/*.doctree")}
    made(book)
    return {path.stem for path, time in times.items() if path.stat().st_mtime_ns != time}


def comment(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")


def source(book: Path, module: str) -> Path:
    return book / package_map.modules(book)[module].path


@pytest.mark.slow
def test_pages_follow_the_package_the_chapters_and_the_tests(book: Path):
    test, chapter = book / "tests" / "test_cache.py", book / "book" / "chapter.md"
    comment(test)
    assert read_again(book) == set()

    comment(source(book, home(book, "KVCache")))
    assert read_again(book) >= {"api", "cache", "gpt", "chapter"}

    holders = [name for name, module in package_map.modules(book).items() if "eq-attention-softmax" in module.labels]
    for module in (home(book, "XLNet"), *holders):
        comment(source(book, module))
    assert read_again(book) == {"api", "formula"}

    test.write_text(f"import {home(book, 'KVCache')}\n")
    chapter.write_text(chapter.read_text().replace("# A chapter", "# Another title"))
    assert read_again(book) == {"api", "cache", "chapter"}
