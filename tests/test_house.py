"""The house: rooms above each other, no import that runs upward, no circle, a chapter named as its room or module."""

import ast
import json
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import package_map
import pytest
from contents import chapters

from companion import lessons
from notebooks import ROOT, home, notebooks

ROOMS = (  # lowest first: a room imports from itself and from rooms before it
    "nn",
    "data",
    "checkpoints",
    "losses",
    "generation",
    "models",
    "training",
    "metrics",
    "finetuning",
    "distillation",
    "serving",
    "storyworld",
    "plots",
    "zoo",
    "widgets",
    "lessons",
)
MOST_ROOMS = 16
ROOMS_PER_CHAPTER = 9
# Chapters that compare what several modules do; each has its folder in lessons all the same.
SHOWN_WITH_SEVERAL = {
    "rise",
    "foundations",
    "optimization",
    "train_save_serve",
    "interpretability",
    "transfer",
    "bert_family",
    "decoders_2026",
    "encoders",
    "assistants",
    "inference",
    "applications",
    "scaling_out",
    "attention_math",
    "positions_norms_activations",
    "distillation_losses",
}
MODULES = package_map.modules(ROOT)
CHAPTERS = [path.stem for path in chapters(ROOT)]


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def arrows() -> Iterator[tuple[str, str]]:
    """Each import inside the package, as (module that imports, module that is imported)."""
    for name, module in MODULES.items():
        for one in module.imports:
            inner = f"{one.module}.{one.name}"
            yield name, inner if inner in MODULES else one.module


def test_the_rooms_are_these_and_few():
    found = {path.name for path in (ROOT / "companion").iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert found == set(ROOMS)
    assert len(found) <= MOST_ROOMS


def test_beside_the_rooms_the_package_has_no_module():
    assert [path.name for path in (ROOT / "companion").glob("*.py")] == ["__init__.py"]


def test_no_import_runs_upward():
    assert [
        f"{one} imports {other}"
        for one, other in arrows()
        if room(other) in ROOMS and ROOMS.index(room(other)) > ROOMS.index(room(one))
    ] == []


def test_no_module_is_in_a_circle_of_imports():
    graph: dict[str, set[str]] = {}
    for one, other in arrows():
        if one != other and not one.startswith(f"{other}."):  # a module may use what its own package holds
            graph.setdefault(one, set()).add(other)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


@pytest.mark.parametrize("path", notebooks(ROOT), ids=lambda path: path.stem)
def test_a_chapter_imports_from_few_rooms(path: Path):
    page = package_map.pages(ROOT).get(path.relative_to(ROOT).with_suffix("").as_posix())
    used = set(map(room, package_map.imported_by(ROOT, page.imports))) - {"companion"} if page else set()
    assert len(used) <= ROOMS_PER_CHAPTER, sorted(used)


def test_each_chapter_has_its_folder_in_lessons():
    assert list(lessons.CHAPTERS) == CHAPTERS
    folders = {path.parent.name for path in (ROOT / "companion" / "lessons").glob("*/__init__.py")}
    assert folders == set(CHAPTERS)
    for chapter in CHAPTERS:
        files = {path.stem for path in (ROOT / "companion" / "lessons" / chapter).glob("*") if path.stem[:2] != "__"}
        assert files - {"experiments"} == {"equations", "exercises"}, chapter  # equations: a module, or a folder


def test_a_chapter_has_the_name_of_a_room_or_a_module():
    assert {chapter for chapter in CHAPTERS if home(ROOT, chapter) is None} == SHOWN_WITH_SEVERAL


def test_nothing_but_chapters_and_tests_knows_the_lessons():
    assert [one for one, other in arrows() if room(other) == "lessons" and room(one) != "lessons"] == []


def test_the_package_knows_nothing_of_sphinx():
    imported = {
        name
        for path in (ROOT / "companion").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    assert not {name for name in imported if name.split(".")[0] in ("sphinx", "docutils", "myst_nb")}


# tests


def test_a_file_of_tests_stands_where_its_room_does():
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    assert folders - set(ROOMS) == {"book", "browser"}


def packages() -> set[str]:
    return {module.package for module in MODULES.values()}


@pytest.mark.parametrize("name", [one for one in MODULES if room(one) in ROOMS[:-1] and one not in packages()])
def test_a_module_is_tested_in_its_room(name: str):
    """By a file that imports it or has its name; a family's files are read in the parity wall, too."""
    module, stem = MODULES[name], name.rpartition(".")[2].removesuffix("_heads")
    if module.public or module.constants:
        own = ROOT / "tests" / room(name)
        named = [own.joinpath(*name.split(".")[2:-1], f"test_{stem}.py"), ROOT / "tests" / "families" / f"{stem}.py"]
        importing = [ROOT / path for path in package_map.tests_of(ROOT, name)]
        assert any(path.exists() for path in named) or any(own in path.parents for path in importing), own


# examples


def example_of(name: str) -> bool:
    """Whether the docstring of a function, by its whole name, has an example that doctest runs."""
    module, _, function = name.rpartition(".")
    tree = ast.parse((ROOT / MODULES[module].path).read_text(encoding="utf-8"))
    found = (one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == function)
    return any(">>>" in (ast.get_docstring(one) or "") for one in found)


def test_what_a_chapter_calls_has_an_example():
    called = {
        f"{module}.{name}"
        for page in package_map.pages(ROOT).values()
        for module, names in package_map.imported_by(ROOT, page.imports).items()
        for name in names
        if MODULES[module].public.get(name) == "function"
    }
    assert len(called) > 100
    assert [name for name in sorted(called) if not example_of(name)] == []


# names

OLD_NAMES = (  # the field has a word for each of these; see CONTRIBUTING.md
    "neighbour_start",
    "matching_start",
    "sinusoidal_start",
    "gap_to_floor",
    "error_cut",
    "balanced_loss",
    "rate_of",
    "SpanAnswerer",
    "LastTokenClassifier",
    "answer_loss",
    "laid_out",
    "with_gaps",
    "rms_normed",
    "companion.real",
    "companion.objectives",
    "companion.equations",
    "companion.exercises",
)


def test_no_old_name_is_left():
    sources = [*ROOT.glob("companion/**/*.py"), *ROOT.glob("book/**/*.ipynb"), *ROOT.glob("book/**/*.md")]
    sources += [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("book/_ext/*.py"), ROOT / "README.md"]
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, OLD_NAMES))})\b")
    found = {path.relative_to(ROOT).as_posix(): pattern.findall(path.read_text("utf-8")) for path in sources}
    assert {path: names for path, names in found.items() if names} == {}


def test_no_chapter_defines_what_the_package_defines():
    """One concept, one home: a class of a chapter's own has the name of none in the package."""
    owned = {name for module in MODULES.values() for name, kind in module.public.items() if kind == "class"}
    for path in notebooks(ROOT):
        cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
        code = package_map.MAGIC.sub(r"\1pass", "\n".join("".join(cell["source"]) for cell in cells))
        own = {node.name for node in ast.parse(code).body if isinstance(node, ast.ClassDef)}
        assert not own & owned, path.stem
