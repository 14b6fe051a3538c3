"""A widget's state as HTML: a fragment for the book, and a whole page with everything inline.

Chapter: ``book/concepts/attention.ipynb``.
"""

import base64
import itertools
import json
import math
from abc import abstractmethod
from collections.abc import Sequence
from html import escape
from typing import Any

import anywidget
import numpy as np

from companion.widgets import bundle
from companion.widgets.browser import SCRIPTS
from companion.widgets.encoding import coarsen, deflate
from companion.widgets.picture import half_characters_shown

ROWS_IN_WORDS = 16
PRECOMPUTED = "precomputed"
NAMES = {"encoder": "encoder", "decoder": "decoder", "cross": "cross-attention"}  # of kinds, as in kinds.js
PAGE_STYLE = """:root { color-scheme: light dark; }
body { max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem; background: Canvas; color: CanvasText;
  font-family: system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.25rem; font-weight: 600; }"""


class PageWidget(anywidget.AnyWidget):
    """A widget that a kernel draws, and a page without one from its HTML."""

    @abstractmethod
    def _in_book(self) -> str:
        """Its figure for a page of the book, which each widget draws in its own way."""

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Offer the widget to a kernel, and its state as HTML to a page that has none."""
        made = super()._repr_mimebundle_(**kwargs)
        if made is None:
            return None
        data, metadata = made
        return {**data, "text/html": self._in_book()}, metadata


def fragment(
    state: dict[str, Any],
    zoo_name: str | None,
    pictures: Sequence[dict[str, Any]] = (),
    widget: str = "attention_view",
) -> str:
    """Return a figure that holds ``state``; a script may bring it to life, and without one it still says something.

    Args:
        state: the traits of the widget.
        zoo_name: the model of :mod:`companion.zoo` that a page may run, if there is one.
        pictures: the traits that change when each of the state's examples is chosen.
        widget: what the page's script knows it by.
    """
    packed = _packed({**state, "is_live": zoo_name is not None, "answered": state["text"], "device": PRECOMPUTED})
    choices = [_packed(one | {"answered": one["text"], "shown": one["text"], "error": ""}) for one in pictures]
    others = "".join(
        f'<script type="application/json" data-picture="{number}">{script_json(one)}</script>'
        for number, one in enumerate(choices)
    )
    return figure(widget, packed, _in_words(state), zoo_name, others)


def figure(widget: str, state: dict[str, Any], in_words: str, zoo_name: str | None = None, more: str = "") -> str:
    """Return the figure of a widget, over which a page's script draws it.

    Args:
        widget: what the page's script knows it by: ``companion/widgets/browser/static_host.js``.
        state: its traits as JSON can say them.
        in_words: HTML that stands there where no script runs.
        zoo_name: the model of :mod:`companion.zoo` that a page may run, if there is one.
        more: further scripts of the figure.
    """
    model = f' data-model="{escape(zoo_name)}"' if zoo_name else ""
    return (
        f'<figure class="companion-widget" data-widget="{widget}"{model}>{half_characters_shown(in_words)}'
        f'<script type="application/json">{script_json(state)}</script>{more}</figure>'
    )


def _packed(state: dict[str, Any]) -> dict[str, Any]:
    packed = dict(state)
    if state["encoding"] == "uint8":
        packed["levels"], packed["attention"] = coarsen(state["attention"])
    packed["attention"] = base64.b64encode(deflate(packed["attention"])).decode()
    return packed


def document(shown: str, css: str, widget: str = "attention_view", title: str = "Attention") -> str:
    """Return one complete page around ``shown``, a figure of a widget, that needs no other file and no other host."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        '<link rel="icon" href="data:,">\n'
        f"<style>{PAGE_STYLE}\n{css}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{shown}\n</main>\n<script>"
        f"{bundle.script(SCRIPTS / 'pages' / f'{widget}.js')}</script>\n</body>\n</html>\n"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose cells are HTML."""
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def script_json(value: Any) -> str:
    """Return JSON that may stand in a ``<script>``: no ``<`` in it can end the element or open a comment."""
    text = half_characters_shown(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def weights(state: dict[str, Any], layer: int, head: int) -> np.ndarray:
    """Return the weights (queries, keys) of one head, read back from the bytes of ``state``.

    Of a replay they are those at its frame, of an encoder and a decoder those of the kind that is shown.
    """
    exact, shape = state["encoding"] == "float16", state["shape"]
    values = np.frombuffer(state["attention"], np.float16 if exact else np.uint8)
    before = itertools.takewhile(lambda one: one["kind"] != state["kind"], state.get("kinds", []))
    start = sum(math.prod(one["shape"]) for one in before) + state.get("frame", 0) * math.prod(shape)
    codes = values[start : start + math.prod(shape)].reshape(shape)[layer, head].astype(np.float32)
    found: np.ndarray = codes if exact else (codes / state["levels"]) ** 2
    return found


def labels(state: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the tokens that look and the tokens that are looked at."""
    tokens, kind = state["tokens"], state.get("kind", "")
    target = state.get("target") or tokens
    return (tokens if kind == "encoder" else target), (target if kind == "decoder" else tokens)


def place(state: dict[str, Any]) -> str:
    """Return which head is shown, in words."""
    head = f"layer {state['layer']}, head {state['head']}"
    return f"{NAMES[kind]}, {head}" if (kind := state.get("kind")) else head


def _in_words(state: dict[str, Any]) -> str:
    queries, keys = labels(state)
    rows = weights(state, state["layer"], state["head"])[:ROWS_IN_WORDS]
    best = rows.argmax(axis=1)
    cells = "".join(
        f"<tr><td>{escape(queries[i])}</td><td>{escape(keys[j])}</td><td>{rows[i, j]:.2f}</td></tr>"
        for i, j in enumerate(best)
    )
    which = f"the first {len(rows)} of {len(queries)} tokens" if len(rows) < len(queries) else f"{len(queries)} tokens"
    return (
        f"<figcaption>{escape(state['caption'])} Attention of {place(state)}: where each of {which} looks "
        "most.</figcaption><table><thead><tr><th>token</th><th>looks at</th><th>weight</th></tr></thead>"
        f"<tbody>{cells}</tbody></table>"
    )
