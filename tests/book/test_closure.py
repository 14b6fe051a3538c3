"""What a notebook's outputs depend on: its key changes when that does, and only then."""

import dataclasses
import shutil
from pathlib import Path

import closure
import package_map
import page_models
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from stored_outputs import Chapter, chapters, key

from companion.data import published

CORE = "def check(found):\n    return found\n"
GATHERER = """\
from companion.checking import check
from companion.lessons import drop, mask

_ALL = [*mask.EXERCISES, *drop.EXERCISES]


def exercise(name):
    return check(name)


def names():
    return _ALL
"""
PACKAGE = {
    "__init__.py": "",
    "checking.py": CORE,
    "gpt.py": "from companion.parts import norms\n\n\ndef late():\n    import companion.cache\n",
    "cache.py": "",
    "xlnet.py": "",
    "parts/__init__.py": "import companion.parts.first\n",
    "parts/first.py": "",
    "parts/norms.py": "",
    "zoo/__init__.py": "",
    "zoo/small/model.bin": "weights",
    "lessons/__init__.py": GATHERER,
    "lessons/mask.py": "import companion.gpt\n\nEXERCISES = [('causal-mask', 1), ('causal-mask-2', 1)]\n",
    "lessons/drop.py": "EXERCISES = [('dropout', 2)]\n",
    "results.py": "FOLDER = ('benchmarks', 'results')\n",
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The root of a book over a small package, without a page."""
    for name, text in PACKAGE.items():
        path = tmp_path / "companion" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    for name in ("t5", "bert"):
        (results / f"{name}.json").write_text("{}")
    (tmp_path / "requirements.txt").write_text("torch==1\n")
    return tmp_path


def key_of(book: Path, *cells: str, text: str = "") -> str:
    closure.forget()
    return key(book, new_notebook(cells=[new_markdown_cell(text), *map(new_code_cell, cells)]), {})


def changed_by_an_edit(book: Path, name: str, *cells: str) -> bool:
    before = key_of(book, *cells)
    path = book / name
    path.write_text(path.read_text() + "# a comment\n")
    return key_of(book, *cells) != before


@pytest.mark.parametrize(
    "name",
    [
        "companion/gpt.py",
        "companion/parts/norms.py",
        "companion/parts/first.py",
        "companion/parts/__init__.py",
        "companion/__init__.py",
        "companion/cache.py",
        "requirements.txt",
    ],
    ids=["imported", "imported by that", "by a package above", "that package", "the root", "in a function", "pins"],
)
def test_a_file_that_the_code_reaches_changes_the_key(book: Path, name: str):
    assert changed_by_an_edit(book, name, "x = 1", "from companion.gpt import late")


@pytest.mark.parametrize("name", ["companion/xlnet.py", "companion/zoo/small/model.bin", "companion/lessons/drop.py"])
def test_a_file_that_it_does_not_reach_leaves_the_key(book: Path, name: str):
    assert not changed_by_an_edit(book, name, "from companion.gpt import late")


def test_the_code_is_part_of_the_key_and_the_text_is_not(book: Path):
    assert key_of(book, "1 + 1") != key_of(book, "1 + 2")
    assert key_of(book, "1", "2") != key_of(book, "12")
    assert key_of(book, "1", text="said") == key_of(book, "1", text="said otherwise")


def test_a_tag_counts_when_it_changes_the_run(book: Path):
    def tagged(tag: str) -> str:
        return key(book, new_notebook(cells=[new_code_cell("1 / 0", metadata={"tags": [tag]})]), {})

    assert tagged("hide-input") == tagged("hide-cell") != tagged("raises-exception")


def test_data_comes_with_any_module_of_its_package(book: Path):
    assert changed_by_an_edit(book, "companion/zoo/small/model.bin", "from companion import zoo")


@pytest.mark.parametrize(
    ("code", "counted"),
    [
        ('exercise("causal-mask")', {"mask"}),
        ('exercise("dropout")', {"drop"}),
        ('exercise(f"causal-{part}")', {"mask"}),
        ('for name in ("dropout",):\n    exercise(name)', {"drop"}),
        ('companion.lessons.exercise("mask")', set()),
    ],
    ids=["one", "another", "an f-string", "a variable", "no such name"],
)
def test_of_what_is_gathered_only_that_counts_which_is_looked_up(book: Path, code: str, counted: set[str]):
    code = f"from companion.lessons import exercise\n{code}"
    names = ("mask", "drop")
    assert {n for n in names if changed_by_an_edit(book, f"companion/lessons/{n}.py", code)} == counted
    assert changed_by_an_edit(book, "companion/checking.py", code)
    assert changed_by_an_edit(book, "companion/gpt.py", code) == (counted == {"mask"})


@pytest.mark.parametrize("line", ["from companion.lessons import names", "from companion import lessons"])
def test_who_lists_the_catalogue_depends_on_all_of_it(book: Path, line: str):
    assert changed_by_an_edit(book, "companion/lessons/drop.py", line)


def test_a_table_of_results_comes_with_the_code_that_names_it(book: Path):
    code = 'from companion import results\nresults.load("t5")'
    assert changed_by_an_edit(book, "benchmarks/results/t5.json", code)
    assert not changed_by_an_edit(book, "benchmarks/results/bert.json", code)


def test_a_cell_that_is_no_python_may_depend_on_anything(book: Path):
    assert changed_by_an_edit(book, "companion/xlnet.py", "files = !ls")
    assert not changed_by_an_edit(book, "companion/xlnet.py", "%pip install x\nimport companion.gpt")


# the real package, in a copy


@pytest.fixture(scope="module")
def copy(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the keys of the book depend on; the edits of the tests stay in it."""
    tmp_path = tmp_path_factory.mktemp("copy")
    for name in ("companion", "benchmarks", "book"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "_static"))
    shutil.copy(root / "requirements.txt", tmp_path)
    closure.forget()
    return tmp_path


def home(root: Path, name: str) -> str:
    """The module that defines a public function or class."""
    return next(module.name for module in package_map.modules(root).values() if name in module.public)


def comment(root: Path, module: str) -> None:
    path = root / package_map.modules(root)[module].path
    path.write_text(path.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    closure.forget()


@pytest.mark.slow
def test_a_comment_in_the_module_of_xlnet_runs_those_chapters_again_that_import_it(copy: Path):
    def found() -> dict[str, Chapter]:
        return {chapter.path.stem: chapter for chapter in chapters(copy)}

    before, module = found(), home(copy, "XLNet")
    using = {
        Path(page).name
        for page in package_map.pages(copy)
        if any(module == i.module for i in package_map.pages(copy)[page].imports)
    }
    comment(copy, module)
    after = found()
    again = {stem for stem in before if before[stem].name != after[stem].name}
    assert using <= again
    assert "xlnet" in again
    assert len(again) < len(before) / 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [("sinusoidal_positions", True), ("KVCache", True), ("read_config", True), ("export_onnx", True), ("XLNet", False)],
)
def test_an_exported_model_is_made_anew_when_what_makes_it_changes(copy: Path, name: str, changes: bool):
    before = page_models.model_key(copy, "storyworld-en", ["storyworld-en", "storyworld-zh"], "[MASK]")
    comment(copy, home(copy, name))
    after = page_models.model_key(copy, "storyworld-en", ["storyworld-en", "storyworld-zh"], "[MASK]")
    assert (before != after) == changes


def test_an_exported_model_depends_on_its_own_weights_and_on_no_other_model(copy: Path):
    def keys() -> list[str]:
        return [
            page_models.model_key(copy, name, ["storyworld-en", "storyworld-zh"], "x")
            for name in ("storyworld-en", "storyworld-zh")
        ]

    before = keys()
    (weights,) = copy.rglob("companion/**/storyworld-en/model.safetensors")
    weights.write_bytes(weights.read_bytes() + b"\0")
    after = keys()
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, False]


def test_a_fetched_model_is_exported_anew_when_its_bytes_or_its_catalogue_change(
    copy: Path, monkeypatch: pytest.MonkeyPatch
):
    def key() -> str:
        return page_models.model_key(copy, "minilm-l6", ["storyworld-en"], "x")

    before, entry = key(), published.CATALOGUE["minilm-l6"]
    other = tuple(dataclasses.replace(member, sha256="0" * 64) for member in entry.members)
    monkeypatch.setitem(published.CATALOGUE, "minilm-l6", dataclasses.replace(entry, members=other))
    assert key() != before


def test_a_model_that_a_button_asks_is_exported_anew_when_the_longest_text_of_a_page_changes(
    copy: Path, monkeypatch: pytest.MonkeyPatch
):
    before = page_models.model_key(copy, "smollm2-135m", ["storyworld-en"], "x")
    monkeypatch.setitem(page_models.ASKED, "smollm2-135m", page_models.ASKED["smollm2-135m"] + 1)
    assert page_models.model_key(copy, "smollm2-135m", ["storyworld-en"], "x") != before


def test_the_pages_run_only_those_fetched_models_that_the_cache_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LLM_LIVE_CACHE", str(tmp_path))
    assert page_models.published() == []
