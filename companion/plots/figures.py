"""Figures that more than one chapter draws, legible on a light and on a dark page.

Chapter: ``book/background/rise.ipynb``.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import DisplayHandle, display
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.rcsetup import cycler
from matplotlib.text import Text
from numpy.typing import ArrayLike
from torch import Tensor

from companion.training.run_state import History

INK = "#7b828c"  # contrast above 3.8 on the light page and above 4.3 on the dark one
COLOURS = ("#2f7ed8", "#e07b39", "#3a9d6e", "#b45fc4", "#c2484d")
STYLE: dict[Any, Any] = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.titlesize": "medium",
    "figure.figsize": (6.4, 3.2),
    "figure.constrained_layout.use": True,
}


def use_book_style() -> None:
    """Set the book's style for all later figures, and vector graphics inside a notebook."""
    plt.rcParams.update(STYLE)
    if get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def loss_curve(axes: Axes, history: History, levels: Mapping[str, float]) -> None:
    """Draw the training loss, the evaluations, and named levels as dashed lines.

    Args:
        axes: axes to draw on; cleared first.
        history: losses and evaluations of the run.
        levels: label -> loss to compare with.
    """
    axes.clear()
    axes.plot(
        range(1, len(history.loss) + 1), history.loss, color=COLOURS[0], linewidth=0.8, alpha=0.6, label="training"
    )
    if history.evaluations:
        steps, values = zip(*history.evaluations, strict=True)
        axes.plot(steps, values, "o-", color=COLOURS[1], markersize=4, label="held-out")
    for (label, level), colour in zip(levels.items(), COLOURS[2:] * len(levels), strict=False):
        axes.axhline(level, linestyle="--", color=colour, linewidth=1)
        axes.annotate(
            label,
            (1, level),
            xytext=(0, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=colour,
        )
    axes.set(xlabel="step", ylabel="nats per token")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)  # above the axes: no line runs through it


class LiveLoss:
    """Redraw the loss while a model trains: pass it to :func:`companion.training.fit` as ``progress``."""

    def __init__(self, steps: int, levels: Mapping[str, float], every: int = 10) -> None:
        """Show an empty figure.

        Args:
            steps: number of steps of the whole run, the width of the x axis.
            levels: label -> loss to compare with.
            every: steps between two updates.
        """
        self.figure, self.axes = plt.subplots()
        plt.close(self.figure)  # shown by this object alone, not once more at the end of the cell
        self.steps, self.levels, self.every = steps, levels, every
        self.handle: DisplayHandle = display(self.figure, display_id=True)

    def __call__(self, step: int, history: History) -> None:
        """Draw the history so far, at every ``every``-th step and the last."""
        if step % self.every and step != self.steps:
            return
        loss_curve(self.axes, history, self.levels)
        self.axes.set_xlim(0, self.steps)
        self.handle.update(self.figure)


def bars(axes: Axes, labels: Sequence[str], probabilities: Sequence[float], title: str) -> None:
    """Draw a distribution over tokens as horizontal bars, the first on top.

    >>> axes = plt.figure().subplots()
    >>> bars(axes, ["a", "b"], [0.75, 0.25], "next token")
    >>> [float(bar.get_width()) for bar in axes.patches]
    [0.75, 0.25]

    Args:
        axes: axes to draw on.
        labels: labels of the tokens.
        probabilities: probability of each token.
        title: title of the figure.
    """
    rows = range(len(labels))
    axes.barh(rows, probabilities, color=COLOURS[0])
    axes.set_yticks(rows, labels, family="monospace")
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set(title=title, xlabel="probability")


def heatmap(axes: Axes, values: ArrayLike | Tensor, rows: Sequence[str], columns: Sequence[str]) -> AxesImage:
    """Draw a matrix of numbers from 0 up, the larger the stronger the colour.

    The colour's *opacity* follows the square root of the number, so that small ones stay visible on any page.

    Args:
        axes: axes to draw on.
        values: non-negative numbers (rows, columns), a tensor or an array.
        rows: labels from top to bottom.
        columns: labels from left to right.

    Returns:
        the image, for a colour bar.
    """
    colours = LinearSegmentedColormap.from_list("ink", [to_rgba(COLOURS[0], 0.0), to_rgba(COLOURS[0], 1.0)])
    image = axes.imshow(values, cmap=colours, norm=PowerNorm(0.5, vmin=0), interpolation="nearest", aspect="equal")
    axes.set_xticks(range(len(columns)), columns, rotation=90 if max(map(len, columns)) > 2 else 0)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)
    return image


def signed_heatmap(axes: Axes, values: Tensor) -> AxesImage:
    """Draw a matrix of numbers, blue above zero and orange below, the further away the stronger.

    Args:
        axes: axes to draw on.
        values: numbers of either sign (rows, columns).

    Returns:
        the image, for a colour bar.
    """
    ends = [to_rgba(COLOURS[1], 1.0), to_rgba(COLOURS[1], 0.0), to_rgba(COLOURS[0], 0.0), to_rgba(COLOURS[0], 1.0)]
    stops = [0.0, 0.5, 0.5, 1.0]
    colours = LinearSegmentedColormap.from_list("signed", list(zip(stops, ends, strict=True)))
    largest = float(values.abs().max())
    return axes.imshow(values, cmap=colours, vmin=-largest, vmax=largest, interpolation="nearest", aspect="auto")


def attention_squares(axes: Axes, weights: Tensor, tokens: Sequence[str]) -> None:
    """Draw attention weights among a few tokens as squares of that area, each over its number.

    Args:
        axes: axes to draw on.
        weights: attention weights (n, n), rows are queries.
        tokens: labels of the n tokens.
    """
    for i, row in enumerate(weights.tolist()):
        for j, weight in enumerate(row):
            side = 0.7 * weight**0.5
            axes.add_patch(Rectangle((j - side / 2, i - 0.1 - side / 2), side, side, color=COLOURS[0], linewidth=0))
            axes.text(j, i + 0.28, f"{weight:.2f}", ha="center", va="top")
    n = len(tokens)
    axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.4, -0.5), aspect="equal", xlabel="key: is read", ylabel="query: reads")
    axes.set_xticks(range(n), tokens)
    axes.set_yticks([i - 0.1 for i in range(n)], tokens)
    axes.xaxis.set_label_position("top")
    axes.tick_params(labeltop=True, labelbottom=False, length=0)
    axes.spines[:].set_visible(False)


def apart(figure: Figure, texts: Sequence[Text]) -> None:
    """Move texts up and down, no further than needed, until none lies over another.

    >>> figure = plt.figure()
    >>> one, other = figure.text(0.5, 0.5, "one"), figure.text(0.5, 0.5, "other")
    >>> apart(figure, [one, other, figure.text(0.1, 0.5, "far away")])
    >>> bool(one.get_window_extent().overlaps(other.get_window_extent()))
    False

    Args:
        figure: figure with all that it shows, since its size and the limits of its axes count.
        texts: texts of the figure.
    """
    figure.draw_without_rendering()  # gives the axes their places
    boxes = [text.get_window_extent() for text in texts]
    up, space = [0.0] * len(texts), 0.04 * figure.dpi  # a space between two words
    for _ in range(200):
        over = False
        for i, j in itertools.combinations(range(len(texts)), 2):
            if boxes[i].x0 > boxes[j].x1 + space or boxes[j].x0 > boxes[i].x1 + space:
                continue
            upper, lower = (i, j) if boxes[i].y0 + up[i] >= boxes[j].y0 + up[j] else (j, i)
            shared = boxes[lower].y1 + up[lower] - boxes[upper].y0 - up[upper]
            if shared > 0:
                up[upper] += shared / 2 + 0.1
                up[lower] -= shared / 2 + 0.1
                over = True
        if not over:
            break
    for text, by in zip(texts, up, strict=True):
        x, y = text.get_transform().transform(text.get_position())
        x, y = text.get_transform().inverted().transform((x, y + by))
        text.set_position((float(x), float(y)))


def head_grid(axes: Axes, scores: Tensor, title: str) -> None:
    """Draw a score of each attention head, layers downwards, and frame the highest.

    Args:
        axes: axes to draw on.
        scores: non-negative scores (layers, heads).
        title: title of the figure.
    """
    layers, heads = scores.shape
    heatmap(axes, scores, [str(layer) for layer in range(layers)], [str(head) for head in range(heads)])
    layer, head = divmod(int(scores.argmax()), heads)
    axes.add_patch(Rectangle((head - 0.5, layer - 0.5), 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=2))
    axes.set(title=title, xlabel="head", ylabel="layer")
