"""What all notebooks share: a launch line under the title, the bootstrap cell, no outputs, the same metadata.

`python tools/notebooks.py` writes these into every notebook of the book; `--check` only names those that differ.
"""

import sys
from pathlib import Path
from typing import Any

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT_METADATA = ("tags", "mystnb")  # of a cell
BOOTSTRAP = """\
# Colab has no companion yet: install it once. Anywhere else this cell does nothing.
import importlib.util

if importlib.util.find_spec("companion") is None:
    %pip install -q "large-language-models-live @ git+{address}"
    importlib.import_module("companion")  # a failed %pip raises nothing; this does"""
COLAB = "[Open in Colab](https://colab.research.google.com/github/{slug}/blob/{made}/{path})"
LAUNCH = COLAB + " · {kind} [`{name}`]({address}/tree/{branch}/{place})"


def repository(root: Path) -> dict[str, str]:
    """The `repository` entry of `_config.yml`: its url and branch."""
    entry: dict[str, str] = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    return entry


def notebooks_branch(root: Path) -> str:
    """The branch from which Colab opens the notebooks that the build makes of the chapters."""
    configuration = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return str(configuration["sphinx"]["config"]["notebooks_branch"])


def bootstrap_cell(root: Path) -> str:
    """The first code cell of every notebook."""
    return BOOTSTRAP.format(address=repository(root)["url"])


def home(root: Path, chapter: str) -> Path | None:
    """The room or the module of `companion` that has a chapter's name; None for a chapter that is shown with several.

    A room comes before a module, and a model before what only reads its files.
    """
    package = root / "companion"
    places = [package / chapter, package / "models" / f"{chapter}.py", *sorted(package.glob(f"*/{chapter}.py"))]
    return next((place for place in places if place.exists()), None)


def launch_line(root: Path, notebook: Path) -> str:
    """The line under a chapter's title: Colab's address of the made notebook, and the room or module of that name."""
    address, branch = repository(root)["url"], repository(root)["branch"]
    own = home(root, notebook.stem)
    place = own.relative_to(root).as_posix() if own else ""
    return (LAUNCH if own else COLAB).format(
        address=address,
        slug=address.removeprefix("https://github.com/"),
        branch=branch,
        made=notebooks_branch(root),
        path=notebook.relative_to(root).as_posix(),
        kind="room" if own and own.is_dir() else "module",
        name=place.removesuffix(".py").replace("/", "."),
        place=place,
    )


def notebooks(root: Path) -> list[Path]:
    """Every notebook of the book, in a fixed order."""
    found = sorted((root / "book").rglob("*.ipynb"))
    return [path for path in found if ".ipynb_checkpoints" not in path.parts]


def normalised(root: Path, path: Path) -> str:
    """The notebook's text with the shared cells and metadata in it and no outputs."""
    notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    notebook.nbformat_minor = 5
    notebook.metadata = nbformat.from_dict(METADATA)
    set_shared_cells(notebook, launch_line(root, path), bootstrap_cell(root), path)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT_METADATA})
        cell.setdefault("id", nbformat.v4.new_raw_cell().id)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return f"{nbformat.writes(notebook)}\n"


def set_shared_cells(notebook: Any, launch: str, bootstrap: str, path: Path) -> None:
    """Write the launch line into the first cell and the bootstrap into the second; ValueError without a title."""
    first = notebook.cells[0] if notebook.cells else nbformat.v4.new_code_cell()
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        raise ValueError(f"{path}: the first cell is a {first.cell_type} cell; it must be markdown that starts '# '")
    title, *rest = first.source.split("\n")
    kept = "\n".join(line for line in rest if not line.startswith("[Open in Colab](")).strip("\n")
    first.source = "\n\n".join(part for part in (title, launch, kept) if part)
    if len(notebook.cells) < 2 or "git+https://" not in notebook.cells[1].source:
        notebook.cells.insert(1, nbformat.v4.new_code_cell())
    notebook.cells[1].source = bootstrap
    notebook.cells[1].metadata = nbformat.from_dict({"tags": ["remove-cell"]})


def main(arguments: list[str]) -> None:
    """Normalise every notebook, or with `--check` only name those that differ and leave with status 1."""
    different = {
        path: text for path in notebooks(ROOT) if (text := normalised(ROOT, path)) != path.read_text(encoding="utf-8")
    }
    for path, text in different.items():
        if arguments == ["--check"]:
            print(f"{path.relative_to(ROOT)}: differs from what `make format` writes")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: written")
    if arguments == ["--check"]:
        raise SystemExit(bool(different))


if __name__ == "__main__":
    main(sys.argv[1:])
