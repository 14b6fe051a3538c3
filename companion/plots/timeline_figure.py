"""The timeline as a picture that needs no script: parameters and training compute against the date, log scale.

Points are reached by mouse, finger and keyboard; each shows its numbers in the line above the picture, and a table
below has all of them. Text is escaped. Ink is the page's own colour, so light and dark pages both work. Chapter:
``book/background/rise.ipynb``.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from companion.plots.figures import COLOURS, INK
from companion.plots.timeline import ARCHITECTURES, LanguageModel

WIDTH, HEIGHT = 360, 232  # a phone's width: letters keep their size there and grow on a wider page
LEFT, RIGHT, TOP, FLOOR = 34, 348, 24, 190  # of the plane
LETTER = 5  # about the width of a letter beside a point
RAIL = (202, 211)  # y of the models without a published number, by turns: they stand close together
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
COLOUR = dict(
    zip(ARCHITECTURES, (INK, INK, COLOURS[2], COLOURS[1], COLOURS[0], COLOURS[3], COLOURS[4], INK), strict=True)
)
SHAPES = {  # around (0, 0)
    "n-gram": "M-3.4-3.4L3.4 3.4M3.4-3.4L-3.4 3.4",
    "feed-forward": "M-3.8 0H3.8M0-3.8V3.8",
    "recurrent": "M-3 -3H3V3H-3Z",
    "encoder": "M0-4.2L4 3H-4Z",
    "decoder": "M-3.3 0A3.3 3.3 0 1 0 3.3 0A3.3 3.3 0 1 0-3.3 0Z",
    "encoder–decoder": "M0-4.4L4.4 0L0 4.4L-4.4 0Z",
    "mixture of experts": "M-4-3H4L0 4.2Z",
    "not stated": "M-3.6 0H3.6",
}
OWN_SHAPE = "M0-5L1.4-1.6L5-1.5L2.2.8L3.1 4.3L0 2.3L-3.1 4.3L-2.2.8L-5-1.5L-1.4-1.6Z"
NAMED = {  # always written beside their points: (shift right, shift down, anchor)
    "parameters": {
        "Web n-grams": (6, 3, "start"),
        "Transformer (big)": (-4, 11, "end"),
        "GPT-3": (-6, 3, "end"),
        "Switch-C": (-6, 2, "end"),
        "Chinchilla": (-6, 4, "end"),
        "SmolLM2-1.7B": (0, 13, "middle"),
        "Kimi K3": (-6, 0, "end"),
    },
    "flops": {
        "Transformer (big)": (-6, 3, "end"),
        "BERT-Large": (-6, 2, "end"),
        "GPT-3": (-6, 3, "end"),
        "Llama 3.1 405B": (-6, 2, "end"),
        "SmolLM2-1.7B": (0, 13, "middle"),
    },
}
STYLE = """
.companion-timeline { margin: 1rem auto; max-width: 36rem; font-family: system-ui, sans-serif; color: inherit; }
.companion-timeline svg { display: block; width: 100%; height: auto; overflow: visible; }
.companion-timeline text { fill: currentColor; font-size: 10px; }
.companion-timeline .axis { stroke: currentColor; stroke-opacity: 0.25; }
.companion-timeline .faint { fill-opacity: 0.75; font-size: 9px; }
.companion-timeline .point { cursor: default; outline: none; }
.companion-timeline .point .say { visibility: hidden; font-weight: 600; }
.companion-timeline .point .ring { fill: transparent; stroke: none; }
.companion-timeline .point:is(:hover, :focus) .say { visibility: visible; }
.companion-timeline .point:is(:hover, :focus) .ring { stroke: currentColor; stroke-width: 1.5; }
.companion-timeline svg:has(.point:is(:hover, :focus)) .head { visibility: hidden; }
.companion-timeline .skip { position: absolute; left: -999rem; }
.companion-timeline .skip:focus { position: static; }
.companion-timeline ul { display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; list-style: none; margin: 0.3rem 0;
  padding: 0; font-size: 0.82rem; }
.companion-timeline li { display: flex; align-items: center; gap: 0.35rem; margin: 0; }
.companion-timeline li svg { width: 0.9rem; }
.companion-timeline .scroll { overflow-x: auto; }
.companion-timeline table { font-size: 0.8rem; border-collapse: collapse; white-space: nowrap; }
.companion-timeline :is(td, th) { padding: 0.15rem 0.6rem 0.15rem 0; text-align: left; }
.companion-timeline summary { cursor: pointer; font-size: 0.9rem; }
"""


@dataclass(frozen=True)
class OwnModel:
    """A model of the reader's or of this book, drawn as a star at the right edge.

    Attributes:
        name: name to show.
        parameters: number of parameters.
        flops: training FLOPs.
    """

    name: str
    parameters: float
    flops: float


@dataclass(frozen=True)
class TimelineFigure:
    """Two panels over one axis of dates, and a table, shown as HTML; there is at least one model."""

    models: Sequence[LanguageModel]
    own: Sequence[OwnModel] = ()

    def __post_init__(self) -> None:
        """Raise ValueError when there is no model to show."""
        if not self.models:
            raise ValueError("a timeline needs at least one model; got none")

    def __repr__(self) -> str:
        """Text in place of the picture where no HTML is shown."""
        first, last = (min(m.date for m in self.models), max(m.date for m in self.models))
        return f"TimelineFigure({len(self.models)} models from {first} to {last}, {len(self.own)} own)"

    def _repr_html_(self) -> str:
        panels = (
            _Panel("parameters", "parameters", lambda m: m.parameters, lambda m: m.parameters, self),
            _Panel("flops", "operations of training", lambda m: m.flops, lambda m: m.flops, self),
        )
        drawn = "".join(panel.svg() for panel in panels)
        table = _table(self.models, self.own)
        anchor = f"timeline-{hashlib.sha256((drawn + table).encode()).hexdigest()[:8]}"
        return (
            f'<div class="companion-timeline"><style>{STYLE}</style><a class="skip" href="#{anchor}">Skip the points'
            f'</a>{drawn}{_legend(self.models, self.own)}<details id="{anchor}"><summary>All numbers as a table'
            f'</summary><div class="scroll" tabindex="0" role="region" aria-label="Table of the models">{table}</div>'
            "</details></div>"
        )


@dataclass(frozen=True)
class _Panel:
    quantity: str
    title: str
    of: Callable[[LanguageModel], float | None]
    of_own: Callable[[OwnModel], float]
    figure: TimelineFigure

    def svg(self) -> str:
        """The panel: axes, the points with a number, and a rail with those that have none."""
        values = [v for m in self.figure.models if (v := self.of(m))] + [self.of_own(m) for m in self.figure.own]
        low = math.floor(math.log10(min(values, default=1))) if values else 0
        high = max(math.ceil(math.log10(max(values, default=10))), low + 1)
        years = [m.when for m in self.figure.models]
        first, last = math.floor(min(years)), math.ceil(max(years)) + (1 if self.figure.own else 0)

        def x(year: float) -> float:
            return LEFT + (year - first) / max(last - first, 1) * (RIGHT - LEFT)

        def y(value: float) -> float:
            return FLOOR - (math.log10(value) - low) / (high - low) * (FLOOR - TOP)

        parts = [_axes(first, last, low, high, x, y, bool(self.figure.own))]
        rails = itertools.cycle(RAIL)
        for model in self.figure.models:
            value = self.of(model)
            place = (x(model.when), next(rails) if value is None else y(value))
            label = NAMED[self.quantity].get(model.name) if value is not None else None
            says = f"{model.name} · {_month(model.date)} · {_words(value, self.title)}"
            parts.append(
                _point(*place, SHAPES[model.architecture], COLOUR[model.architecture], model.name, says, label)
            )
        for one in self.figure.own:
            says = f"{one.name} · this book · {_words(self.of_own(one), self.title)}"
            parts.append(_point(x(last - 0.4), y(self.of_own(one)), OWN_SHAPE, COLOURS[0], one.name, says, None))
        head = f'<text class="head" x="{LEFT}" y="11" font-weight="600">{escape(self.title.capitalize())}</text>'
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escape(self.title)} by date, logarithmic">'
            f"{head}{''.join(parts)}</svg>"
        )


def _axes(
    first: int, last: int, low: int, high: int, x: Callable[[float], float], y: Callable[[float], float], own: bool
) -> str:
    step = max(1, math.ceil((high - low) / 6))
    parts = []
    for power in range(low, high + 1, step):
        at = y(10.0**power)
        parts.append(f'<path class="axis" d="M{LEFT} {at:.1f}H{RIGHT}"/>')
        digits = f'10<tspan dy="-3" font-size="7">{power}</tspan>'
        parts.append(f'<text x="{LEFT - 4}" y="{at + 3:.1f}" text-anchor="end">{digits}</text>')
    parts.append(f'<text class="faint" x="{LEFT - 4}" y="{sum(RAIL) / 2 + 3}" text-anchor="end">none</text>')
    pace = max(1, math.ceil((last - first) / 6))
    years = range(first, last, pace)
    parts += [f'<text x="{x(year):.1f}" y="226" text-anchor="middle">{year}</text>' for year in years]
    if own:
        parts.append(f'<path class="axis" d="M{x(last - 0.9):.1f} {TOP}V{FLOOR}" stroke-dasharray="3 3"/>')
    return "".join(parts)


def _point(
    x: float, y: float, shape: str, colour: str, name: str, says: str, label: tuple[int, int, str] | None
) -> str:
    line = "" if shape.endswith("Z") else f' stroke="{colour}" stroke-width="1.8"'
    text = escape(says)
    beside = ""
    if label:
        right, down, anchor = label
        if anchor == "end" and x + right - LETTER * len(name) < LEFT:  # no room on this side
            right, down, anchor = (right, down + 4, "start") if down > 9 else (-right, down, "start")
        beside = (
            f'<text class="faint" x="{x + right:.1f}" y="{y + down:.1f}" text-anchor="{anchor}">{escape(name)}</text>'
        )
    return (
        f'{beside}<g class="point" tabindex="0" role="img" aria-label="{text}"><title>{text}</title>'
        f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="7"/>'
        f'<path transform="translate({x:.1f} {y:.1f})" d="{shape}" fill="{colour}"{line}/>'
        f'<text class="say" x="{LEFT}" y="11" aria-hidden="true">{text}</text></g>'
    )


def _legend(models: Sequence[LanguageModel], own: Sequence[OwnModel]) -> str:
    kinds = [kind for kind in ARCHITECTURES if any(model.architecture == kind for model in models)]
    marks = [(kind, SHAPES[kind], COLOUR[kind]) for kind in kinds]
    marks += [("this book", OWN_SHAPE, COLOURS[0])] if own else []
    items = (
        f'<li><svg viewBox="-6 -6 12 12" aria-hidden="true"><path d="{shape}" fill="{colour}" stroke="{colour}"/></svg>'
        f"{escape(kind)}</li>"
        for kind, shape, colour in marks
    )
    return f"<ul>{''.join(items)}</ul>"


def _table(models: Sequence[LanguageModel], own: Sequence[OwnModel]) -> str:
    columns = ("model", "date", "architecture", "objective", "parameters", "active", "tokens", "operations", "note")
    rows = [
        (m.name, m.date, m.architecture, m.objective, *map(_short, (m.parameters, m.active, m.tokens, m.flops)), m.note)
        for m in models
    ]
    rows += [
        (o.name, "this book", "decoder", "next token", _short(o.parameters), "", "", _short(o.flops), "") for o in own
    ]
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _month(date: str) -> str:
    year, month = date.split("-")
    return f"{MONTHS[int(month) - 1]} {year}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}".replace("e+", "e")


def _words(value: float | None, what: str) -> str:
    if value is None:
        return "no number published"
    if value < 1e15:
        for size, word in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
            if value >= size:
                return f"{value / size:.4g}{word} {what}"
    return f"{_short(value)} {what}"
