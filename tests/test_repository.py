"""The repository agrees with itself: notebooks, addresses, versions, sizes."""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from notebooks import METADATA, ROOT, bootstrap_cell, launch_line, notebooks
from repository import NOBODY, repository, set_address, text_files, validate

NOTEBOOKS = notebooks(ROOT)
# In two parts, so that it stands in no file of the copy in which it is set.
ELSEWHERE = "/".join(["https://github.com", "an-owner", "some.book"])

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


@pytest.fixture(scope="module")
def address() -> str:
    return repository(ROOT)["url"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's text files under a git of their own."""
    for source, text in text_files(ROOT).items():
        target = tmp_path / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


@each_notebook
def test_a_notebook_is_valid_and_carries_no_outputs(path: Path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata == METADATA
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@each_notebook
def test_the_first_code_cell_is_the_bootstrap(path: Path):
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert code[0].source == bootstrap_cell(ROOT)


@each_notebook
def test_the_first_cell_has_the_title_and_the_launch_line(path: Path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert first.source.split("\n")[2] == launch_line(ROOT, path)


def test_the_table_of_contents_names_each_notebook_once():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert len(chapters) == len(set(chapters))
    assert {path.relative_to(ROOT).with_suffix("").as_posix() for path in NOTEBOOKS} <= set(chapters)


@pytest.mark.parametrize("name", ["README.md", "pyproject.toml", "CITATION.cff"])
def test_the_address_is_the_one_of_the_configuration(name: str, address: str):
    assert address in (ROOT / name).read_text()


def test_the_unregistrable_owner_is_nowhere_unless_it_is_the_address(address: str):
    if f"/{NOBODY}/" not in address:
        assert [path for path, text in text_files(ROOT).items() if f"/{NOBODY}/" in text] == []


def test_setting_the_address_reaches_every_place_and_can_be_undone(copy: Path, address: str):
    before = text_files(copy)
    changed = {path.relative_to(copy).as_posix() for path in set_address(copy, ELSEWHERE)}
    expected = {"_config.yml", "README.md", "pyproject.toml", "CITATION.cff"}
    assert changed >= expected | {path.relative_to(ROOT).as_posix() for path in NOTEBOOKS}
    assert repository(copy)["url"] == ELSEWHERE
    for path in notebooks(copy):
        cells = nbformat.read(path, as_version=4).cells
        assert cells[1].source == bootstrap_cell(copy)
        assert cells[0].source.split("\n")[2] == launch_line(copy, path)
    assert not any(address in text for text in text_files(copy).values())
    set_address(copy, address)
    assert text_files(copy) == before


@pytest.mark.parametrize(
    "url",
    [
        "",
        "github.com/owner/name",
        "http://github.com/owner/name",
        "https://gitlab.com/owner/name",
        "https://github.com/owner",
        "https://github.com/owner/name/",
        "https://github.com/owner/name.git",
        "https://github.com/some_owner/name",
        "https://github.com/-owner/name",
        "https://github.com/owner/na me",
        'https://github.com/owner/name"; import os',
    ],
)
def test_a_bad_address_is_refused_by_its_value(url: str):
    with pytest.raises(ValueError, match="allowed is https") as error:
        validate(url)
    assert repr(url) in str(error.value)


def test_the_version_is_the_same_everywhere():
    import companion

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["version"] == companion.__version__ == citation["version"]
    assert f"## [{companion.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_module_can_be_read_whole():
    """In one sitting. A catalogue of equations or exercises is looked up, not read: it is as long as its chapter."""
    modules = [*(ROOT / "companion").rglob("*.py"), *(ROOT / "book" / "_ext").glob("*.py")]
    read = [path for path in modules if path.relative_to(ROOT).parts[:2] != ("companion", "lessons")]
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in read}
    assert {path: length for path, length in lengths.items() if length > 350} == {}


def test_the_lockfile_names_no_registry_and_agrees_with_the_manifest():
    lock = json.loads((ROOT / "package-lock.json").read_text())
    manifest = json.loads((ROOT / "package.json").read_text())
    packages = lock["packages"]
    assert not any("resolved" in package for package in packages.values())
    for group in ("dependencies", "devDependencies"):
        assert packages[""][group] == manifest[group]
        for name, version in manifest[group].items():
            assert packages[f"node_modules/{name}"]["version"] == version


def test_every_direct_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(line) for line in [*project["dependencies"], *extras["book"], *extras["test"]]]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = {canonicalize_name(Requirement(line).name) for line in lines if not line.startswith("#")}
    assert {canonicalize_name(requirement.name) for requirement in wanted} <= pinned


def test_make_names_its_commands():
    make = shutil.which("make")
    assert make is not None
    said = subprocess.run([make, "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in said.splitlines()][:3] == ["help", "book", "test"]
