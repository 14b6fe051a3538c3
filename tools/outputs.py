"""Pack the outputs of all chapters into `dist/outputs.zip`, from which `make book OUTPUTS=…` takes them elsewhere."""

import sys
from pathlib import Path

from notebooks import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from shared_outputs import pack
from stored_outputs import FOLDER, chapters


def main(root: Path) -> Path:
    """Write the file of the book at `root` and return its path; leave with a sentence when a chapter has not run."""
    folder, target = root / "_build" / FOLDER, root / "dist" / "outputs.zip"
    found = chapters(root)
    if missing := [chapter.path.stem for chapter in found if not (folder / chapter.name).exists()]:
        raise SystemExit(
            f"{len(missing)} of {len(found)} chapters have no outputs ({', '.join(missing)}): run 'make book' first."
        )
    pack(folder, (chapter.name for chapter in found), target)
    return target


if __name__ == "__main__":
    print(main(ROOT))
