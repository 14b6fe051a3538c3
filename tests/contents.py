"""The contents of the book, for the tests that walk them."""

from pathlib import Path

import yaml


def pages(root: Path) -> list[Path]:
    """The pages of the numbered parts in the order of the contents: the chapters, and pages of text alone."""
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    files = [root / page["file"] for part in contents["parts"] if part.get("numbered") for page in part["chapters"]]
    return [
        next(path for path in file.parent.glob(f"{file.name}.*") if path.suffix in (".ipynb", ".md")) for file in files
    ]


def chapters(root: Path) -> list[Path]:
    """The notebooks among them; each has its lessons."""
    return [page for page in pages(root) if page.suffix == ".ipynb"]
