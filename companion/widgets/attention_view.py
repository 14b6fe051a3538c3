"""AttentionView: see where each head of each layer looks, and type to make it look elsewhere.

Chapter: ``book/concepts/attention.ipynb``, "Look inside".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets as t

from companion.widgets import bundle, minified, page
from companion.widgets.picture import (
    KINDS,
    PAIRS,
    check_index,
    check_name,
    check_overlay,
    check_pair,
    kinds_of,
    picture_of,
    traced,
)

if TYPE_CHECKING:
    from companion.widgets.live import AttentionTrace

FRONT_END = Path(__file__).parent / "frontend"
VIEWS = ("matrix", "arcs")


@dataclass(frozen=True)
class Example:
    """A text of a gallery, and what in it is worth a look.

    Attributes:
        text: that the model reads.
        look: one line on what to look at.
        layer: shown first.
        head: shown first.
        row: of the token that is chosen first.
    """

    text: str
    look: str
    layer: int
    head: int
    row: int


def styles(*widgets: str) -> str:
    """Return the style sheets of these widgets, or with no name those of all."""
    names = widgets or sorted(path.stem for path in FRONT_END.glob("*.css"))
    return "\n".join(minified.style((FRONT_END / f"{name}.css").read_text(encoding="utf-8")) for name in names)


class AttentionView(page.PageWidget):
    """A picture of attention, head by head, as a matrix or as arcs.

    The traits are its public state: what Python sets, the picture shows, and the other way round. Layers, heads and
    tokens are counted from 0.
    """

    _esm = bundle.module(FRONT_END / "attention_view.js")
    _css = styles("attention_view")

    tokens = t.List(t.Unicode(), help="of an encoder and a decoder, the source's").tag(sync=True)
    target = t.List(t.Unicode(), help="the decoder's tokens; empty = there is no decoder").tag(sync=True)
    kinds = t.List(t.Dict(), help="kind and shape of the maps, as their bytes follow each other").tag(sync=True)
    kind = t.Enum(("", *KINDS), "", help="the one of them that is shown").tag(sync=True)
    segments = t.List(t.Int(), help="0 for a token of sentence A, 1 for one of B; empty = no pair").tag(sync=True)
    pair = t.Enum(PAIRS, "", help="from which sentence to which; empty = all").tag(sync=True)
    overlay = t.List(t.List(t.Int()), help="layer and head of those over each other").tag(sync=True)
    model_layers = t.Int(0, help="layers of the model, where some have no map; 0 = all have one").tag(sync=True)
    shape = t.List(t.Int(), help="layers, heads, queries, keys of what is shown").tag(sync=True)
    encoding = t.Enum(("float16", "uint8"), "float16").tag(sync=True)
    levels = t.Int(255, help="of the uint8 encoding").tag(sync=True)
    attention = t.Bytes(help="row-major; see companion.widgets.encoding").tag(sync=True)
    layer = t.Int(0).tag(sync=True)
    head = t.Int(0).tag(sync=True)
    view = t.Enum(VIEWS, VIEWS[0]).tag(sync=True)
    caption = t.Unicode().tag(sync=True)
    is_live = t.Bool(False).tag(sync=True)
    text = t.Unicode().tag(sync=True)
    answered = t.Unicode(help="the text that was asked about last; text runs ahead of it").tag(sync=True)
    shown = t.Unicode(help="the text that the picture is of").tag(sync=True)
    error = t.Unicode().tag(sync=True)
    next_tokens = t.List(t.Dict(), help="token, probability, text; likeliest first").tag(sync=True)
    mask = t.Unicode(help="what in the text a choice of these takes the place of; empty = appended").tag(sync=True)
    model_name = t.Unicode().tag(sync=True)
    device = t.Unicode().tag(sync=True)
    latency_ms = t.Float(0.0).tag(sync=True)
    examples = t.List(t.Dict(), help="text, look, layer, head, row; to choose from").tag(sync=True)
    example = t.Int(0, help="the one that was chosen last").tag(sync=True)

    def __init__(
        self,
        tokens: Sequence[str],
        attention: Any,
        *,
        layer: int = 0,
        head: int = 0,
        view: str = "matrix",
        caption: str = "",
        segments: Sequence[int] = (),
        pair: str = "",
        overlay: Sequence[tuple[int, int]] = (),
        model_layers: int = 0,
    ) -> None:
        """Show ``attention`` over ``tokens``.

        >>> view = AttentionView(["a", "b"], [[[[1.0, 0.0], [0.5, 0.5]]]], segments=[0, 1], pair="BA")
        >>> view.shape, view.pair
        ([1, 1, 2, 2], 'BA')

        Args:
            tokens: n labels.
            attention: (layers, heads, n, n), or a list by layer of (heads, n, n) or (1, heads, n, n); numpy or
                torch, of any dtype, on any device. Each row is a query's attention weights over its keys.
            layer: shown first.
            head: shown first.
            view: "matrix" or "arcs".
            caption: a line under the picture.
            segments: n numbers, 0 = a token of sentence A, 1 = one of B, another = of neither; none = no pair.
            pair: the weights that are shown, the others are dimmed: "AA", "AB" (from A to B), "BA", "BB", or "" = all.
            overlay: up to four heads, each as (layer, head), drawn over each other in arcs.
            model_layers: of the model, where the maps are not those of all its layers: rollout then says so.

        Raises:
            ValueError: on no tokens, no weights, a wrong rank or size, weights that are negative or sum to more than 1,
                an unknown layer, head, view or pair, or a pair without two sentences.
        """
        state = picture_of(tokens, attention, segments)
        more = {"pair": pair, "overlay": [list(one) for one in overlay], "model_layers": model_layers}
        self._begin({**state, **more}, layer, head, view, caption)

    def _begin(self, state: dict[str, Any], layer: int, head: int, view: str, caption: str) -> None:
        self._trace: Callable[[str], AttentionTrace] | None = None
        self._zoo_name: str | None = None
        self._pictures: list[dict[str, Any]] = []
        check_name("view", view, VIEWS)
        layers, heads = state["shape"][:2]
        check_index("layer", layer, layers)
        check_index("head", head, heads)
        check_pair(state.get("pair", ""), state.get("segments", ()))
        check_overlay(state.get("overlay", []), layers, heads)
        super().__init__(layer=layer, head=head, view=view, caption=caption, **state)

    @classmethod
    def encoder_decoder(
        cls,
        source: Sequence[str],
        target: Sequence[str],
        maps: Mapping[str, Any],
        *,
        kind: str = "cross",
        layer: int = 0,
        head: int = 0,
        view: str = "matrix",
        caption: str = "",
    ) -> "AttentionView":
        """Show the attention of an encoder–decoder model, kind by kind.

        >>> AttentionView.encoder_decoder(["a", "b"], ["c"], {"cross": [[[[0.25, 0.75]]]]}).shape
        [1, 1, 1, 2]

        Args:
            source: n labels, of what the encoder reads.
            target: m labels, of what the decoder reads.
            maps: by kind, attention as the class takes it: "encoder" (…, n, n), "decoder" (…, m, m) and "cross", the
                decoder's to the encoder's output, (…, m, n); one or more. A model of `transformers` returns them as
                `encoder_attentions`, `decoder_attentions` and `cross_attentions`.
            kind: shown first.
            layer: shown first.
            head: shown first.
            view: "matrix" or "arcs".
            caption: a line under the picture.

        Raises:
            ValueError: on no maps, another kind, or what the class refuses.
        """
        widget = cls.__new__(cls)
        widget._begin(kinds_of(source, target, maps, kind), layer, head, view, caption)
        return widget

    @classmethod
    def live(
        cls, model: Any, tokenizer: Any, text: str, *, layer: int = 0, head: int = 0, view: str = "matrix"
    ) -> "AttentionView":
        """Show what ``model`` does with ``text``, and run it again whenever the text changes.

        The model stays on its own device. In the book, a view of a model from :mod:`companion.zoo` is answered by
        the page itself, which loads a small one at the first key and a large one on a click, and asks a slow one when a
        button is pressed. A text that the model cannot read sets ``error`` and leaves the picture as it was.

        Of an encoder–decoder model the text is the source, and the target what the model writes, forty tokens at most.

        Args:
            model: a model of this package (see :func:`companion.nn.capture.capture`), or an encoder or decoder of
                ``transformers``, whose attention returns its weights for the run, whatever kernel it has.
            tokenizer: a ``tokenizers.Tokenizer``, or a fast tokenizer of ``transformers``.
            text: read first.
            layer: shown first.
            head: shown first.
            view: "matrix" or "arcs".

        Raises:
            ValueError: on a text that is empty or does not fit into the context, an unknown layer, head or view, or an
                encoder–decoder of ``transformers`` of a family that this package does not have.
        """
        from companion import zoo  # here, so that a still picture needs no torch
        from companion.widgets.of_transformers import tracer

        trace = tracer(model, tokenizer)
        seen = trace(text)
        widget = cls.__new__(cls)
        widget._begin(traced(seen), layer, head, view, "")
        widget._zoo_name = zoo.name_of(model)
        widget.model_name = widget._zoo_name or type(model).__name__
        widget.text = text
        widget.is_live = True
        widget._trace = trace
        widget._show(seen, text)
        return widget

    @classmethod
    def gallery(
        cls, model: Any, tokenizer: Any, examples: Sequence[Example], *, view: str = "matrix"
    ) -> "AttentionView":
        """Show what ``model`` does with texts to choose from, and with any that is typed.

        In the book all their pictures are there without the model: it runs on each text here, once.

        Args:
            model: as for :meth:`live`.
            tokenizer: a ``tokenizers.Tokenizer``.
            examples: the first is shown first.
            view: "matrix" or "arcs".

        Raises:
            ValueError: on no examples, a row that a text does not have, or what :meth:`live` refuses.
        """
        from companion.widgets.of_transformers import tracer

        if not examples:
            raise ValueError("examples must hold at least one; got none")
        if not all(isinstance(one, Example) for one in examples):
            raise ValueError(f"examples must be a list of Example; got {examples!r:.60}")
        first = examples[0]
        widget = cls.live(model, tokenizer, first.text, layer=first.layer, head=first.head, view=view)
        trace = tracer(model, tokenizer)
        for one in examples:
            seen = trace(one.text)
            check_index("row", one.row, len(seen.target or seen.tokens))
            picture = {**traced(seen), "next_tokens": seen.next_tokens, "mask": seen.mask}
            for name, value, count in zip(("layer", "head"), (one.layer, one.head), picture["shape"], strict=False):
                check_index(name, value, count)
            if seen.maps:
                picture["overlay"] = []  # heads of another kind are other heads
            widget._pictures.append({**picture, "text": one.text, "layer": one.layer, "head": one.head})
        widget.examples = [asdict(one) for one in examples]
        return widget

    @t.validate("layer", "head")
    def _check_choice(self, proposal: dict[str, Any]) -> int:
        name = proposal["trait"].name
        if self.shape:
            check_index(name, proposal["value"], self.shape[0 if name == "layer" else 1])
        return int(proposal["value"])

    @t.validate("example")
    def _check_example(self, proposal: dict[str, Any]) -> int:
        if self.examples:
            check_index("example", proposal["value"], len(self.examples))
        return int(proposal["value"])

    @t.validate("kind")
    def _check_kind(self, proposal: dict[str, Any]) -> str:
        kind = str(proposal["value"])
        check_name("kind", kind, [one["kind"] for one in self.kinds] or [""])
        return kind

    @t.validate("overlay")
    def _check_heads(self, proposal: dict[str, Any]) -> list[list[int]]:
        if self.shape:
            check_overlay(proposal["value"], *self.shape[:2])
        return list(proposal["value"])

    @t.observe("kind")
    def _turn(self, change: dict[str, Any]) -> None:
        shape = next((one["shape"] for one in self.kinds if one["kind"] == change["new"]), self.shape)
        with self.hold_sync():
            self.overlay = []
            self.layer, self.head = (
                min(now, count - 1) for now, count in zip((self.layer, self.head), shape, strict=False)
            )
            self.shape = shape

    @t.observe("example")
    def _choose(self, change: dict[str, Any]) -> None:
        chosen = self.examples[change["new"]]
        with self.hold_sync():
            for name in ("layer", "head", "text"):
                setattr(self, name, chosen[name])

    @t.observe("text")
    def _run(self, change: dict[str, Any]) -> None:
        if self._trace is None:
            return
        try:
            seen = self._trace(change["new"])
        except Exception as problem:  # whatever a model raises, the box stays alive and says what it was
            refused = isinstance(problem, ValueError)
            with self.hold_sync():
                self.error = str(problem) if refused else f"{type(problem).__name__}: {problem}"
                self.answered = change["new"]
            return
        self._show(seen, change["new"])

    def _show(self, seen: "AttentionTrace", text: str) -> None:
        with self.hold_sync():  # one message: the front end never sees half a picture
            for name, value in traced(seen, self.kind).items():
                setattr(self, name, value)
            self.next_tokens = seen.next_tokens
            self.mask = seen.mask
            self.device = seen.device
            self.latency_ms = seen.latency_ms
            self.error = ""
            self.answered = self.shown = text

    def _in_book(self) -> str:
        return self._figure(self._zoo_name)

    def to_html(self) -> str:
        """Return a page of its own, everything inline, that also opens from disk and asks no other host."""
        return page.document(self._figure(None), self._css)

    def _figure(self, zoo_name: str | None) -> str:
        return page.fragment(self._state(), zoo_name, self._pictures)

    def _state(self) -> dict[str, Any]:
        picture = ("tokens", "target", "kinds", "kind", "segments", "shape", "encoding", "levels", "attention")
        choice = ("layer", "head", "view", "pair", "overlay", "model_layers", "caption", "text", "shown")
        more = ("next_tokens", "mask", "model_name", "examples", "example")
        return {name: getattr(self, name) for name in (*picture, *choice, *more)}
