"""Write one page of attention, ours or that of a viewer from PyPI, and tell the seconds of processor time that it took.

``benchmarks/viewers.py`` starts it as a process of its own for each page, which may not take more than so much memory:
``python benchmarks/viewer_pages.py <viewer> <layers> <heads> <tokens> <bytes> <file>``.
"""

import gc
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from interleaved import OURS
from torch import Tensor

from companion.widgets import AttentionView

HEAD = '<!doctype html>\n<meta charset="utf-8">\n'  # in front of what is made for the output of a notebook's cell


def attention(layers: int, heads: int, tokens: int) -> Tensor:
    """Random attention (layers, heads, query, key), the same each time."""
    scores = torch.randn(layers, heads, tokens, tokens, generator=torch.Generator().manual_seed(0))
    return scores.mul_(0.25).softmax(-1)


def ours(labels: list[str], weights: Tensor) -> str:
    """Our page."""
    return AttentionView(labels, weights).to_html()


def bertviz_head_view(labels: list[str], weights: Tensor) -> str:
    """The heads of one layer over each other."""
    from bertviz import head_view

    return HEAD + head_view(list(weights[:, None]), labels, html_action="return").data


def bertviz_model_view(labels: list[str], weights: Tensor) -> str:
    """All heads of all layers beside each other."""
    from bertviz import model_view

    return HEAD + model_view(list(weights[:, None]), labels, html_action="return").data


def inspectus(labels: list[str], weights: Tensor) -> str:
    """The sum of all heads of all layers; a notebook shows first the code and then the weights."""
    import inspectus

    shown: list[Any] = []
    with mock.patch("IPython.display.display", shown.append):
        inspectus.attention(weights, labels)
    return HEAD + "".join(part.data for part in shown)


def circuitsvis(labels: list[str], weights: Tensor) -> str:
    """All heads of all layers in one list, and one of them large."""
    from circuitsvis.attention import attention_heads

    return HEAD + attention_heads(weights.flatten(0, 1), labels, mask_upper_tri=False).show_code()


def attnview(labels: list[str], weights: Tensor) -> str:
    """One query of one head."""
    import attnview

    layers = {("pattern", number): layer[None] for number, layer in enumerate(weights)}
    return str(attnview.render_html(attnview.AttentionStudy.from_cache(layers, tokens=labels)))


WRITERS: dict[str, Callable[[list[str], Tensor], str]] = {
    OURS: ours,
    "bertviz head view": bertviz_head_view,
    "bertviz model view": bertviz_model_view,
    "inspectus": inspectus,
    "circuitsvis": circuitsvis,
    "attnview": attnview,
}


def main() -> None:
    """Write the page, and print the seconds; one of a single weight is made before the clock, and all is imported."""
    viewer, *numbers, file = sys.argv[1:]
    layers, heads, tokens, memory = map(int, numbers)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    torch.set_num_threads(1)
    write = WRITERS[viewer]
    write(["token0"], attention(1, 1, 1))
    labels, weights = [f"token{number}" for number in range(tokens)], attention(layers, heads, tokens)
    gc.collect()
    started = time.process_time()
    page = write(labels, weights)
    print(time.process_time() - started)
    Path(file).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
