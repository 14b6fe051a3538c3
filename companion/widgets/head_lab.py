"""HeadLab: switch attention heads off, or patch them, and see what the prediction of a text loses.

Chapter: ``book/practice/interpretability.ipynb``, "Needed".
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

import traitlets as t

from companion.widgets import bundle, page
from companion.widgets.attention_view import FRONT_END, styles
from companion.widgets.picture import half_characters_shown

if TYPE_CHECKING:
    from companion.widgets.head_runs import Comparison, HeadRuns

Head = tuple[int, int]


class HeadLab(page.PageWidget):
    """A laboratory of heads: each can be switched off, or patched from a second text, while the text is predicted.

    The traits are its public state: what Python sets, the picture shows, and the other way round. A head is a pair
    (layer, head), both counted from 0.
    """

    _esm = bundle.module(FRONT_END / "head_lab.js")
    _css = styles("attention_view", "head_lab")

    shape = t.List(t.Int(), help="layers, heads").tag(sync=True)
    text = t.Unicode().tag(sync=True)
    off = t.List(t.List(t.Int()), help="heads that are switched off").tag(sync=True)
    patched = t.List(t.List(t.Int()), help="heads whose output is that in source").tag(sync=True)
    source = t.Unicode(help="the second text, of as many tokens").tag(sync=True)
    presets = t.List(t.Dict(), help="name, heads; to choose from").tag(sync=True)
    result = t.Dict(help="tokens, mask, chances, losses").tag(sync=True)
    shown = t.Dict(help="text, off, patched, source: what the result is of").tag(sync=True)
    prepared = t.List(t.Dict(), help="shown, result, device, latency_ms; only a page has them").tag(sync=True)
    is_live = t.Bool(True).tag(sync=True)
    error = t.Unicode().tag(sync=True)
    model_name = t.Unicode().tag(sync=True)
    device = t.Unicode().tag(sync=True)
    latency_ms = t.Float(0.0).tag(sync=True)

    def __init__(self, runs: "HeadRuns", text: str, **traits: Any) -> None:
        """Use :meth:`live`."""
        self._runs = runs
        self._zoo_name: str | None = None
        super().__init__(shape=list(runs.shape), text=text, **traits)
        self._show(self._run())

    @classmethod
    def live(
        cls,
        model: Any,
        tokenizer: Any,
        text: str,
        *,
        presets: Mapping[str, Sequence[Head]] | None = None,
        off: Sequence[Head] = (),
        source: str = "",
    ) -> "HeadLab":
        """Show what ``model`` predicts in ``text``, with all heads and without those that are switched off.

        A model that goes on with a text is judged by its next token and by the loss of the text; a BERT by what it
        puts in the place of the last mask: ``[MASK]``, or RoBERTa's ``<mask>``. The model stays on its own device, and
        is not changed. In the book, the lab of a model from :mod:`companion.zoo` is answered by the page itself.

        Args:
            model: a model of this package (see :func:`companion.nn.capture.ablate`), or of ``transformers``, which is
                copied into one.
            tokenizer: a ``tokenizers.Tokenizer``, or a fast tokenizer of ``transformers``.
            text: read first.
            presets: named sets of heads (layer, head), to be switched off together.
            off: heads that are switched off at first.
            source: a second text of as many tokens, that a head's output can be taken from.

        Raises:
            ValueError: on a preset without heads, no such layer or head, a text that is empty or does not fit into the
                context, or a model that predicts no tokens.

        Example:
            >>> from companion import zoo
            >>> lab = HeadLab.live(*zoo.load("storyworld-en"), "Tom is in the garden . Where is Tom ?")
            >>> lab.off = [[0, 3], [1, 2]]  # layer, head
            >>> sum(after - before for before, after in lab.result["losses"]) > 0
            True
        """
        from companion import zoo  # here, so that a still picture needs no torch
        from companion.widgets.head_runs import HeadRuns
        from companion.widgets.of_transformers import readable

        runs = HeadRuns(*readable(model, tokenizer))
        for name, heads in (presets or {}).items():
            if not heads:
                raise ValueError(f"the preset {name!r} must name at least one head; got none")
            _check_heads(f"the preset {name!r}", heads, runs.shape)
        named = [{"name": name, "heads": _pairs(heads)} for name, heads in (presets or {}).items()]
        widget = cls(runs, text, presets=named, off=_pairs(off), source=source)
        widget._zoo_name = zoo.name_of(model)
        widget.model_name = widget._zoo_name or type(model).__name__
        return widget

    @t.validate("off", "patched")
    def _check_choice(self, proposal: dict[str, Any]) -> list[list[int]]:
        heads: list[list[int]] = proposal["value"]
        _check_heads(proposal["trait"].name, heads, self._runs.shape)
        return heads

    @t.observe("text", "off", "patched", "source")
    def _follow(self, _: dict[str, Any]) -> None:
        if not self.shown:  # not yet begun
            return
        if self._chosen() == self.shown:  # changed back, or another of these traits came first
            self.error = ""
            return
        try:
            found = self._run()
        except Exception as problem:  # whatever a model raises, the box stays alive and says what it was
            refused = isinstance(problem, ValueError)
            self.error = str(problem) if refused else f"{type(problem).__name__}: {problem}"
            return
        self._show(found)

    def _chosen(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("text", "off", "patched", "source")}

    def _run(self) -> "Comparison":
        off, patched = ([(layer, head) for layer, head in heads] for heads in (self.off, self.patched))
        return self._runs(self.text, off, patched, self.source)

    def _show(self, found: "Comparison") -> None:
        with self.hold_sync():  # one message: the front end never sees half a result
            self.result = _result(found)
            self.shown = self._chosen()
            self.device, self.latency_ms, self.error = found.device, found.latency_ms, ""

    def _in_book(self) -> str:
        return self._figure(self._zoo_name)

    def to_html(self) -> str:
        """Return a page of its own, everything inline, that asks no other host: the presets are there, the model not.

        What they show is computed here, once for each preset.
        """
        return page.document(self._figure(None), self._css, "head_lab", "Head lab")

    def _figure(self, zoo_name: str | None) -> str:
        names = ("shape", "text", "off", "patched", "source", "presets", "result", "shown", "model_name")
        state = {name: getattr(self, name) for name in names}
        text, source = self.shown["text"], self.shown["source"]
        ready = {"device": page.PRECOMPUTED, "latency_ms": 0}
        prepared = [{"shown": self.shown, "result": self.result, **ready}]
        for heads in ([], *(preset["heads"] for preset in self.presets)):
            found = self._runs(text, [(layer, head) for layer, head in heads])
            shown = {"text": text, "off": heads, "patched": [], "source": source}
            prepared.append({"shown": shown, "result": _result(found), **ready})
        state |= {"prepared": prepared, "is_live": False, "device": page.PRECOMPUTED}
        return page.figure("head_lab", state, _in_words(self.result, self.shown), zoo_name)


def _pairs(heads: Sequence[Sequence[int]]) -> list[list[int]]:
    from companion.nn.checks import pair_of  # here, so that a still picture needs no torch

    return sorted([*pair_of(pair)] for pair in heads)


def _check_heads(name: str, heads: Sequence[Sequence[int]], shape: tuple[int, int]) -> None:
    from companion.nn.checks import pair_of

    for pair in heads:
        for what, value, count in zip(("layer", "head"), pair_of(pair, name), shape, strict=True):
            if not 0 <= value < count:
                raise ValueError(f"{name}: {what} must be 0 to {count - 1}; got {value}")


def _result(found: "Comparison") -> dict[str, Any]:
    tokens = [half_characters_shown(token) for token in found.tokens]
    chances = [asdict(chance) for chance in found.chances]
    return {"tokens": tokens, "mask": found.mask, "chances": chances, "losses": [list(pair) for pair in found.losses]}


def _in_words(result: dict[str, Any], shown: dict[str, Any]) -> str:
    off = ", ".join(f"{layer}.{head}" for layer, head in shown["off"]) or "none"
    cells = "".join(
        f"<tr><td>{escape(one['token'])}</td><td>{one['before']:.3f}</td><td>{one['after']:.3f}</td></tr>"
        for one in result["chances"]
    )
    losses = result["losses"]
    means = [sum(pair[k] for pair in losses) / len(losses) for k in (0, 1)] if losses else []
    loss = f" Loss in nats per token: {means[0]:.3f} with all heads, {means[1]:.3f} as chosen." if losses else ""
    return (
        f"<figcaption>Heads of a model, switched off: {off}. Probabilities after “{escape(shown['text'])}”.{loss}"
        "</figcaption><table><thead><tr><th>token</th><th>all heads</th><th>as chosen</th></tr></thead>"
        f"<tbody>{cells}</tbody></table>"
    )
