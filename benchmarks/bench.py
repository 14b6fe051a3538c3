"""Run the benchmarks of speed, pages and viewers one after the other, and say what could not be run, and why.

``make bench`` runs it; ``ROUNDS=1`` shows in some minutes that all of them work. Each writes its own file in
``benchmarks/results/``; the book's appendix shows those of speed, pages and viewers.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BOOK = "a built book (make book)"
# script -> (the packages it cannot do without, whether it needs the built book)
SCRIPTS: dict[str, tuple[tuple[str, ...], bool]] = {
    "speed.py": (("transformers", "accelerate"), False),
    "pages.py": ((), False),
    "viewers.py": (("playwright", "psutil"), False),
    "reader.py": (("playwright",), True),
    "widget.py": (("playwright", "jupyterlab"), True),
    "page_models.py": (("playwright",), True),
}
ROUNDED = ("speed.py", "viewers.py")  # those that take --rounds
SHOWN = (*ROUNDED, "pages.py")  # those whose tables the book shows, with what they leave out


def lacking(script: str) -> list[str]:
    """What a script needs and does not find."""
    packages, needs_book = SCRIPTS[script]
    missing = [f"pip install {name}" for name in packages if importlib.util.find_spec(name) is None]
    if needs_book and not (HERE.parent / "_build" / "html" / "book").is_dir():
        missing.append(BOOK)
    return missing


def left_out(found: Any, where: str) -> Iterator[str]:
    """Sentences about what a table leaves out, wherever in it that stands."""
    if not isinstance(found, dict):
        return
    for name, inner in found.items():
        if name == "left_out":
            yield from (f"{where}, {peer}: {reason}" for peer, reason in inner.items())
        else:
            yield from left_out(inner, f"{where}, {name}" if name != "table" else where)


def main() -> None:
    """Run all that can be run; the exit code is 1 where one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="times that each program is measured")
    rounds = parser.parse_args().rounds
    missing, failed = [], []
    for script in SCRIPTS:
        if needs := lacking(script):
            missing.append(f"{script} as a whole: it needs {', '.join(needs)}")
            continue
        print(f"— {script}", flush=True)
        options = ["--rounds", str(rounds)] if script in ROUNDED else []
        if subprocess.run([sys.executable, str(HERE / script), *options], check=False).returncode:
            failed.append(script)
        elif script in SHOWN:
            path = HERE / "results" / script.replace(".py", ".json")
            missing += left_out(json.loads(path.read_text(encoding="utf8")), path.stem)
    print("\nNot measured:" if missing else "\nEverything was measured.")
    print("\n".join(f"  {line}" for line in missing))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
