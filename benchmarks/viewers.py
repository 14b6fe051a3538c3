"""Measure the page of an AttentionView beside attention viewers from PyPI, over the same weights, in turn: making it,
its size, what it asks of other hosts, drawing it, another layer, a look at a token, memory.

Run by hand: ``python benchmarks/viewers.py``, or ``make bench``; ``--rounds 1 --tokens 32`` is a trial. It needs a
Chromium, npm for what pages ask of other hosts (``benchmarks/viewer_drawing.py``), and the viewers, which need not be
in the book's environment: ``pip install --no-deps --target peers bertviz inspectus circuitsvis attnview``, and
``PYTHONPATH=peers``. Writes ``benchmarks/results/viewers.json``.
"""

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from interleaved import OURS, MissingPeerError, peer, ratios, spread
from report import arguments, write
from viewer_drawing import VIEWERS, LeftOutError, chromium_version, drawn, library

LAYERS, HEADS = 12, 12  # of BERT-base
SIZES = (32, 64, 128, 256, 512)  # tokens
# What our page may take at most, by tokens.
LIMITS: dict[str, dict[int, float]] = {
    "MB": {32: 0.2, 64: 0.5, 128: 1.2, 256: 2.6, 512: 6.5},
    "build_s": {128: 0.2, 256: 0.8, 512: 3},
    "draw_ms": {32: 350, 128: 650, 256: 1000, 512: 2000},
    "layer_ms": {128: 100, 256: 150, 512: 300},
    "look_ms": {128: 50, 512: 60},
    "heap_MB": dict.fromkeys(SIZES[:-1], 20),  # the weights of 512 tokens alone are 38 MB
    "nodes": dict.fromkeys(SIZES, 3000),
    "requests": dict.fromkeys(SIZES, 0),
}
CODE_LIMIT = 40  # kB, gzipped

Figures = dict[str, dict[str, list[float]]]


def built(name: str, shape: tuple[int, int, int], path: Path, seconds: float, memory: int) -> float:
    """Write a page in a process of its own, and return the seconds of processor time that making it took.

    Raises:
        LeftOutError: when there is no page within so many seconds, or in so many bytes of memory.
    """
    script = Path(__file__).with_name("viewer_pages.py")
    command = [sys.executable, str(script), name, *map(str, shape), str(memory), str(path)]
    try:
        made = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise LeftOutError(f"no page within {seconds:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        more = f" in {memory / 2**30:.0f} GB of memory" if "MemoryError" in said[-1] else f": {said[-1]}"
        raise LeftOutError(f"no page{more}") from error
    return float(made.stdout)


def code(name: str, folder: Path, limits: tuple[float, int]) -> float:
    """Kilobytes of a viewer's scripts and styles, gzipped: a page of one weight, and what that asks of other hosts."""
    path = folder / "code.html"
    built(name, (1, 1, 1), path, *limits)
    parts = [path.read_bytes(), *map(library, VIEWERS[name].libraries)]
    return round(sum(len(gzip.compress(part)) for part in parts) / 1e3, 1)


def measured(name: str, tokens: int, folder: Path, limits: tuple[float, int]) -> dict[str, float]:
    """All figures of one page, made, opened and used once."""
    path = folder / "page.html"
    seconds = built(name, (LAYERS, HEADS, tokens), path, *limits)
    return {"build_s": seconds, "MB": path.stat().st_size / 1e6, **drawn(VIEWERS[name], path, tokens, *limits)}


def told(found: Figures, left_out: Mapping[str, str]) -> dict[str, Any]:
    """What the rounds of one size come to, and how many times as much as ours each viewer takes."""
    compared = {
        figure: ratios({name: figures[figure] for name, figures in found.items()})
        for figure in found.get(OURS, {})
        if figure != "requests"  # ours are none
    }
    return {
        "figures": {
            name: {figure: spread(values) for figure, values in figures.items()} for name, figures in found.items()
        },
        "ratios": {
            name: {figure: by_name[name] for figure, by_name in compared.items()} for name in found if name != OURS
        },
        "left_out": left_out,
    }


def of_size(tokens: int, names: Iterable[str], rounds: int, limits: tuple[float, int]) -> dict[str, Any]:
    """Figures of the pages of some viewers over so many tokens, in turn; who does not get through a round is left out.

    Args:
        tokens: of the text.
        names: of the viewers.
        rounds: times that each page is made and opened.
        limits: seconds and bytes of memory that a page may take.
    """
    found: Figures = {name: {} for name in names}
    left_out = {}
    for _ in range(rounds):
        for name in list(found):
            try:
                with tempfile.TemporaryDirectory() as folder:
                    figures = measured(name, tokens, Path(folder), limits)
            except LeftOutError as error:
                del found[name]
                left_out[name] = shown = str(error)
            else:
                for figure, value in figures.items():
                    found[name].setdefault(figure, []).append(value)
                shown = "  ".join(f"{figure} {value:.4g}" for figure, value in figures.items())
            print(f"{tokens:>4} tokens  {name:<20}{shown}", flush=True)
    return told(found, left_out)


def missed(sizes: Mapping[str, float], by_tokens: Mapping[str, Any]) -> list[str]:
    """What our page takes more of than it may."""
    over = [
        f"{figure} with {tokens} tokens: {ours[figure]['median']:g}, not {limits[int(tokens)]:g}"
        for tokens, one in by_tokens.items()
        if (ours := one["figures"].get(OURS))
        for figure, limits in LIMITS.items()
        if int(tokens) in limits and ours[figure]["median"] > limits[int(tokens)]
    ]
    return over + [f"code: {sizes[OURS]} kB, not {CODE_LIMIT}"] * (sizes[OURS] > CODE_LIMIT)


def had(limits: tuple[float, int]) -> tuple[dict[str, str], dict[str, float], dict[str, str]]:
    """Versions of the viewers that can be had, kilobytes of the code of each, and why the others cannot be."""
    versions, sizes, left_out = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, viewer in VIEWERS.items():
            try:
                if viewer.peer:
                    versions[viewer.peer] = peer(viewer.peer)
                sizes[name] = code(name, Path(folder), limits)
            except (MissingPeerError, LeftOutError) as error:
                left_out[name] = str(error)
    return versions, sizes, left_out


def main() -> None:
    """Measure all of it, and write it down; a viewer that does not get through a size is not tried with more tokens."""
    options = arguments(__doc__, seeds=0, rounds=3, tokens=SIZES[-1], seconds=120, gigabytes=8)
    limits = (float(options.seconds), options.gigabytes * 2**30)
    versions, sizes, left_out = had(limits)
    failed: dict[str, str] = {}
    by_tokens: dict[str, dict[str, Any]] = {}
    for tokens in (size for size in SIZES if size <= options.tokens):
        one = of_size(tokens, [name for name in sizes if name not in failed], options.rounds, limits)
        stopped = one["left_out"]
        one["left_out"] = failed | stopped
        failed |= {name: f"not tried: with {tokens} tokens, {reason}" for name, reason in stopped.items()}
        by_tokens[str(tokens)] = one
    table = {
        "layers": LAYERS,
        "heads": HEADS,
        "rounds": options.rounds,
        "a page may take": {"s": options.seconds, "GB": options.gigabytes},
        "gestures": {name: {"layer": one.layer_by, "look": one.look_by} for name, one in VIEWERS.items()},
        "code_kB": sizes,
        "tokens": by_tokens,
        "missed": missed(sizes, by_tokens),
        "left_out": left_out,
    }
    print("\n".join(table["missed"]) or "Our page takes no more than it may.")
    write("viewers", {"peers": versions, "chromium": chromium_version(), "cores": os.cpu_count(), "table": table})


if __name__ == "__main__":
    main()
