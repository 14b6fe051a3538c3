"""Write `requirements.txt`: the exact version of everything, for every Python and platform that the book supports."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Exact pins of everything the book is built and tested with; written by `make requirements`.
# torch's own platform packages (CUDA, Triton) are left to torch.
"""
LEFT_TO_TORCH = ("cuda", "nvidia", "triton")


def main() -> None:
    """Resolve `pyproject.toml` with its extras `book` and `test` under the constraints of `[tool.uv]`."""
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--extra", "book", "--extra", "test", "--no-annotate", "--no-header", "pyproject.toml"]
    resolved = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    pins = [line for line in resolved.splitlines(keepends=True) if not line.startswith(LEFT_TO_TORCH)]
    (ROOT / "requirements.txt").write_text(HEADER + "".join(pins), encoding="utf-8")
    print(f"requirements.txt: {len(pins)} pins")


if __name__ == "__main__":
    main()
