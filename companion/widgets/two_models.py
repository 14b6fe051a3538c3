"""TwoModels: the attention of two models over one text, head beside head, and how far apart they are.

Chapter: ``book/algorithms/distillation.ipynb``, "Look inside".
"""

import base64
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets as t

from companion.widgets import bundle, page
from companion.widgets.attention_steps import place_of
from companion.widgets.attention_view import FRONT_END, styles
from companion.widgets.encoding import coarsen, deflate
from companion.widgets.picture import check_index, half_characters_shown, picture_of

if TYPE_CHECKING:
    from companion.widgets.two_runs import TwoRuns, TwoTraces

COMPARED = ("paired", "chosen")
SIDES = ("first", "second")
TITLE = "Two models, side by side"
NOTHING: dict[str, Any] = {"mask": "", "chances": [], "divergence": None}


class TwoModels(page.PageWidget):
    """The heads of two models, such as a teacher and its student, and the Jensen–Shannon divergence between them.

    The traits are its public state: what Python sets, the picture shows, and the other way round. Layers, heads and
    tokens are counted from 0.
    """

    _esm = bundle.module(FRONT_END / "two_models.js")
    _css = styles("attention_view", "head_lab", "two_models")

    names = t.List(t.Unicode(), help="of the two models").tag(sync=True)
    tokens = t.List(t.Unicode()).tag(sync=True)
    shapes = t.List(t.List(t.Int()), help="of each: layers, heads").tag(sync=True)
    encodings = t.List(t.Enum(("float16", "uint8"))).tag(sync=True)
    levels = t.List(t.Int(), help="of each uint8 encoding").tag(sync=True)
    first = t.Bytes(help="attention, row-major; see companion.widgets.encoding").tag(sync=True)
    second = t.Bytes(help="of the second model").tag(sync=True)
    layers = t.List(t.Int(), help="for each layer of the second, that of the first it is compared with").tag(sync=True)
    layer = t.Int(0, help="of the first model").tag(sync=True)
    head = t.Int(0).tag(sync=True)
    other_layer = t.Int(0, help="of the second model").tag(sync=True)
    other_head = t.Int(0).tag(sync=True)
    query = t.Int(-1, help="the token that looks; -1 is the last").tag(sync=True)
    compare = t.Enum(
        COMPARED, COMPARED[0], help="heads of one number, or all of the second with the first's chosen"
    ).tag(sync=True)
    prediction = t.Dict(help="mask, chances, divergence").tag(sync=True)
    caption = t.Unicode().tag(sync=True)
    is_live = t.Bool(False).tag(sync=True)
    text = t.Unicode().tag(sync=True)
    shown = t.Unicode(help="the text that the picture is of").tag(sync=True)
    error = t.Unicode().tag(sync=True)
    device = t.Unicode().tag(sync=True)
    latency_ms = t.Float(0.0).tag(sync=True)

    def __init__(
        self,
        tokens: Sequence[str],
        first: Any,
        second: Any,
        *,
        names: Sequence[str] = SIDES,
        layers: Sequence[int] | None = None,
        layer: int = 0,
        head: int = 0,
        query: int | str = -1,
        caption: str = "",
    ) -> None:
        """Show the attention of two models over the same ``tokens``.

        >>> even, own = np.full((1, 1, 2, 2), 0.5), np.eye(2)[None, None]
        >>> view = TwoModels(["a", "b"], np.concatenate([even, own]), even, names=("teacher", "student"), layers=[1])
        >>> view.divergence().round(3)  # of layer 1, head 0 of the teacher and layer 0, head 0 of the student
        array([[0.311]], dtype=float32)

        Args:
            tokens: n labels.
            first: attention of the first model, as :class:`companion.widgets.AttentionView` takes it.
            second: of the second; layers and heads may be others, the tokens not.
            names: of the two models.
            layers: for each layer of the second model, the layer of the first that it is compared with; may be left
                out when both have as many.
            layer: of the second model, shown first beside the layer that it is compared with.
            head: shown first; of the first model its head 0, when it has another number of heads.
            query: place of the token that looks, -1 for the last; or its label.
            caption: a line under the picture.

        Raises:
            ValueError: on what the attention view refuses, two names that are not two, an impossible list of layers or
                none for models of different depth, or an unknown layer, head or token.
        """
        self._runs: TwoRuns | None = None
        self._zoo_name: str | None = None
        if len(names) != 2 or names[0] == names[1] or not all(names):
            raise ValueError(f"names must be two different ones, neither of them empty; got {list(names)}")
        state = _picture(tokens, first, second)
        (n_layers, n_heads), (others, other_heads) = state["shapes"]
        paired = _paired(layers, n_layers, others)
        check_index("layer", layer, others)
        check_index("head", head, other_heads)
        query = place_of(state["tokens"], query)
        check_index("query", query, len(state["tokens"]))
        super().__init__(
            names=[half_characters_shown(name) for name in names],
            layers=paired,
            layer=paired[layer],
            head=head if n_heads == other_heads else 0,
            other_layer=layer,
            other_head=head,
            query=query,
            compare=COMPARED[n_heads != other_heads],
            prediction=NOTHING,
            caption=caption,
            **state,
        )

    @classmethod
    def live(
        cls,
        first: tuple[Any, Any],
        second: tuple[Any, Any],
        text: str,
        *,
        names: Sequence[str] | None = None,
        layers: Sequence[int] | None = None,
        layer: int = 0,
        head: int = 0,
        query: int | str = -1,
        caption: str = "",
    ) -> "TwoModels":
        """Show what two models do with ``text``, and run both again whenever the text changes.

        Where both predict the next token, or the last ``[MASK]``, the likeliest tokens of either are listed, and
        KL(first || second) of the two distributions. In the book, two models from :mod:`companion.zoo` are answered by
        the page itself. A text that one of them cannot read sets ``error`` and leaves the picture as it was.

        >>> from companion import zoo
        >>> teacher, student = zoo.load("storyworld-bert"), zoo.load("storyworld-bert-small")
        >>> view = TwoModels.live(teacher, student, "Tom is in the [MASK] .", layers=[0, 2])
        >>> view.shapes, view.divergence().shape, view.prediction["mask"]
        ([[4, 4], [2, 4]], (2, 4), '[MASK]')

        Args:
            first: a model of this package, or of ``transformers``, which is copied into one; and its tokenizer.
            second: another model, and its tokenizer of the same vocabulary.
            text: read first.
            names: of the two models; when not given, those in the zoo, or of their classes.
            layers: as for the widget itself, as are the others.
            layer: of the second model, shown first.
            head: shown first.
            query: place or label of the token that looks.
            caption: a line under the picture.

        Raises:
            ValueError: on vocabularies that differ, a text that is empty, does not fit into a context or is cut in
                another way for the second model, or what the widget itself refuses.
        """
        from companion import zoo  # here, so that a still picture needs no torch
        from companion.widgets.of_transformers import readable
        from companion.widgets.two_runs import TwoRuns

        runs = TwoRuns(readable(*first), readable(*second))
        seen = runs(text)
        known = [zoo.name_of(model) for model, _ in (first, second)]
        classes = [type(model).__name__ for model, _ in (first, second)]
        shown = names or _told_apart([name or kind for name, kind in zip(known, classes, strict=True)])
        widget = cls(
            seen.tokens,
            *seen.attention,
            names=shown,
            layers=layers,
            layer=layer,
            head=head,
            query=query,
            caption=caption,
        )
        widget._zoo_name = f"{known[0]} {known[1]}" if all(known) else None
        widget.text, widget.is_live = text, True
        widget._runs = runs
        widget._show(seen, text)
        return widget

    @t.validate("layer", "head", "other_layer", "other_head")
    def _check_choice(self, proposal: dict[str, Any]) -> int:
        name = proposal["trait"].name
        if self.shapes:
            check_index(name, proposal["value"], self.shapes["other" in name]["head" in name])
        return int(proposal["value"])

    @t.validate("query")
    def _check_query(self, proposal: dict[str, Any]) -> int:
        if proposal["value"] < -1:
            raise ValueError(f"query must be a place, or -1 for the last; got {proposal['value']}")
        return int(proposal["value"])

    @t.validate("compare")
    def _check_compare(self, proposal: dict[str, Any]) -> str:
        chosen: str = proposal["value"]
        heads = [heads for _, heads in self.shapes]
        if chosen == COMPARED[0] and len(set(heads)) > 1:
            raise ValueError(f"heads are paired by number only where both have as many; got {heads[0]} and {heads[1]}")
        return chosen

    @t.observe("text")
    def _run(self, change: dict[str, Any]) -> None:
        if self._runs is None:
            return
        try:
            seen = self._runs(change["new"])
        except Exception as problem:  # whatever a model raises, the box stays alive and says what it was
            refused = isinstance(problem, ValueError)
            self.error = str(problem) if refused else f"{type(problem).__name__}: {problem}"
            return
        self._show(seen, change["new"])

    def _show(self, seen: "TwoTraces", text: str) -> None:
        chances = [{**asdict(one), "token": half_characters_shown(one.token)} for one in seen.chances]
        with self.hold_sync():  # one message: the front end never sees half a picture
            for name, value in _picture(seen.tokens, *seen.attention).items():
                setattr(self, name, value)
            self.prediction = {"mask": seen.mask, "chances": chances, "divergence": seen.divergence}
            self.device, self.latency_ms, self.error, self.shown = seen.device, seen.latency_ms, "", text

    def weights(self, side: int) -> np.ndarray:
        """Attention (layers, heads, n, n) of the first model, 0, or of the second, 1, read back from the bytes."""
        n = len(self.tokens)
        state = {
            "encoding": self.encodings[side],
            "levels": self.levels[side],
            "attention": getattr(self, SIDES[side]),
            "shape": [1, 1, np.prod(self.shapes[side]) * n, n],
        }
        return page.weights(state, 0, 0).reshape(*self.shapes[side], n, n)

    def divergence(self) -> np.ndarray:
        """Jensen–Shannon divergence of heads in bits, mean over the queries, as the grid shows it.

        Of the paired heads, (layers of the second model, heads); or, with ``compare`` "chosen", of the first model's
        chosen head and each of the second's.
        """
        import torch  # here, so that a still picture needs none

        from companion.metrics.divergence import head_divergence, jensen_shannon

        ours, theirs = (torch.from_numpy(self.weights(side)) for side in (0, 1))
        if self.compare == COMPARED[0]:
            found = head_divergence(list(ours[self.layers][:, None]), list(theirs[:, None]))
        else:
            found = jensen_shannon(ours[self.layer, self.head], theirs).mean(-1)
        result: np.ndarray = found.numpy()
        return result

    def to_html(self) -> str:
        """Return a page of its own, everything inline, that also opens from disk and asks no other host."""
        return page.document(self._figure(None), self._css, "two_models", TITLE)

    def _in_book(self) -> str:
        return self._figure(self._zoo_name)

    def _figure(self, zoo_name: str | None) -> str:
        names = ("names", "tokens", "shapes", "encodings", "layers", "layer", "head", "other_layer", "other_head")
        more = ("query", "compare", "prediction", "caption", "text", "shown")
        state = {name: getattr(self, name) for name in (*names, *more)}
        state |= {"is_live": False, "device": page.PRECOMPUTED, "levels": list(self.levels)}
        for side, name in enumerate(SIDES):
            data = getattr(self, name)
            if self.encodings[side] == "uint8":
                state["levels"][side], data = coarsen(data)
            state[name] = base64.b64encode(deflate(data)).decode()
        return page.figure("two_models", state, self._in_words(), zoo_name)

    def _in_words(self) -> str:
        """HTML that says how far apart the heads are, and where the chosen token looks, where no script runs."""
        return f"<figcaption>{escape(self.caption)}</figcaption>{self._grid_in_words()}{self._row_in_words()}"

    def _grid_in_words(self) -> str:
        one, other = (escape(name) for name in self.names)
        paired, grid = self.compare == COMPARED[0], self.divergence()
        rows = [f"{ours} and {theirs}" if paired else str(theirs) for theirs, ours in enumerate(self.layers)]
        against = "" if paired else f" from layer {self.layer}, head {self.head} of {one}"
        head = [
            f"layers of {one} and {other}" if paired else f"layer of {other}",
            *map("head {}".format, range(grid.shape[1])),
        ]
        cells = [[row, *map(_three, divergences)] for row, divergences in zip(rows, grid, strict=True)]
        what = f"Heads of {one} and {other}: Jensen–Shannon divergence{against} in bits, mean over the queries."
        return f"<p>{what}</p>{page.table(head, cells)}"

    def _row_in_words(self) -> str:
        one, other = (escape(name) for name in self.names)
        query = len(self.tokens) - 1 if self.query == -1 else min(self.query, len(self.tokens) - 1)
        ours = self.weights(0)[self.layer, self.head, query]
        theirs = self.weights(1)[self.other_layer, self.other_head, query]
        cells = [
            [escape(token), _three(a), _three(b), f"{a - b:+.3f}"]
            for token, a, b in zip(self.tokens, ours, theirs, strict=True)
        ]
        what = (
            f"Weights of {escape(self.tokens[query])} (token {query}) in layer {self.layer}, head {self.head} of {one} "
            f"and in layer {self.other_layer}, head {self.other_head} of {other}."
        )
        return f"<p>{what}</p>{page.table(['token', one, other, 'difference'], cells)}"


def _three(number: float) -> str:
    return f"{number:.3f}"


def _told_apart(names: Sequence[str]) -> list[str]:
    return [f"{name} {number}" for number, name in enumerate(names, 1)] if names[0] == names[1] else list(names)


def _paired(layers: Sequence[int] | None, first: int, second: int) -> list[int]:
    if layers is None:
        if first != second:
            raise ValueError(
                f"the models have {first} and {second} layers: layers must name, for each of the second's, that of the "
                f"first it is compared with; got None"
            )
        return list(range(first))
    if len(layers) != second:
        raise ValueError(
            f"layers must have a number for each of the second model's {second} layers; got {list(layers)}"
        )
    for layer in layers:
        if not 0 <= layer < first:
            raise ValueError(
                f"layers must be 0 to {first - 1}, those of the first model; got {layer} in {list(layers)}"
            )
    return [int(layer) for layer in layers]


def _picture(tokens: Sequence[str], first: Any, second: Any) -> dict[str, Any]:
    """Return the traits that hold one picture, after checking them against each other."""
    state: dict[str, Any] = {"shapes": [], "encodings": [], "levels": [255, 255]}
    for name, attention in zip(SIDES, (first, second), strict=True):
        found = picture_of(tokens, attention, name=name)
        state["tokens"], state[name] = found["tokens"], found["attention"]
        state["shapes"].append(found["shape"][:2])
        state["encodings"].append(found["encoding"])
    return state
