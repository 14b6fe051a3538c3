"""The wheel and the source distribution hold the whole package, and what is installed works without the repository."""

import ast
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import package_map
import pytest

from notebooks import ROOT, notebooks

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; the test fails with its errors when it fails."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked(root: Path) -> list[Path]:
    """The files that git keeps or would keep, relative to the root."""
    listing = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=root)
    return sorted({Path(name) for name in listing.split("\0") if name and (root / name).is_file()})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's files, without git and without anything that was made."""
    copy = tmp_path_factory.mktemp("source")
    for path in tracked(ROOT):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copy / path)
    return copy


def built(source: Path, kind: str) -> Path:
    """The one file that hatchling makes of a source tree: kind is wheel or sdist."""
    run(sys.executable, "-m", "hatchling", "build", "--target", kind, cwd=source)
    (made,) = (source / "dist").glob({"wheel": "*.whl", "sdist": "*.tar.gz"}[kind])
    return made


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return built(source, "wheel")


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel with their bytes, without those that describe the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel in it, and the packages of this one behind it.

    A folder that a `.pth` file names has its own `.pth` files ignored: the editable `companion` here is not seen there.
    """
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "behind.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return python


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder from which no file of the repository can be reached by a relative path."""
    return tmp_path


def imports(notebook: Path) -> Iterator[str]:
    """The import statements of a notebook, one a string."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            code = ast.parse(package_map.MAGIC.sub(r"\1pass", cell.source))
            yield from (ast.unparse(node) for node in ast.walk(code) if is_import(node))


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path):
    package = {path.as_posix() for path in tracked(ROOT) if path.parts[0] == "companion"}
    results = {f"companion/benchmark_results/{path.name}" for path in (ROOT / "benchmarks" / "results").iterdir()}
    assert set(contents(wheel)) == package | results


def test_the_wheel_says_that_it_is_typed(wheel: Path):
    assert "companion/py.typed" in contents(wheel)


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, source: Path, elsewhere: Path):
    options = ("--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "wheel", *options, built(source, "sdist"), cwd=elsewhere)
    (made,) = elsewhere.glob("*.whl")
    assert contents(made) == contents(wheel)


def test_every_import_of_every_notebook_works_where_only_the_wheel_is_installed(installed: Path, elsewhere: Path):
    statements = sorted({line for notebook in notebooks(ROOT) for line in imports(notebook)})
    assert sum("companion" in line for line in statements) > 100
    script = "import companion, json, sys\nfor line in json.load(sys.stdin): exec(line, {})\nprint(companion.__file__)"
    done = subprocess.run(
        [installed, "-I", "-c", script], input=json.dumps(statements), cwd=elsewhere, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed.parent.parent)


def test_the_models_that_ship_can_be_listed_where_only_the_wheel_is_installed(installed: Path, elsewhere: Path):
    shipped = sorted(path.parent.name for path in ROOT.glob("companion/zoo/*/model.safetensors"))
    assert run(installed, "-I", "-m", "companion.zoo", "list", cwd=elsewhere).splitlines()[: len(shipped)] == shipped
