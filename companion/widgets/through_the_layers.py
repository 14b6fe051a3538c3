"""ThroughTheLayers: what the residual stream says after each block at each token, and which parts wrote it.

Chapter: ``book/practice/interpretability.ipynb``.
"""

from html import escape
from typing import TYPE_CHECKING, Any

import traitlets as t

from companion.widgets import bundle, page
from companion.widgets.attention_view import FRONT_END, styles

if TYPE_CHECKING:
    from companion.metrics.lens import Lens

SHADES = ("probability", "norm")
WRITERS = 3  # heads, and feed-forward networks, that are named at each place
TITLE = "Through the layers"


class ThroughTheLayers(page.PageWidget):
    """A grid of levels by tokens: the likeliest next token if the model ended there; a cell says who wrote it.

    The traits are its public state: what Python sets, the picture shows, and the other way round. Level 0 is what
    enters the first block, level l what leaves block l - 1; layers and heads are counted from 0.
    """

    _esm = bundle.module(FRONT_END / "through_the_layers.js")
    _css = styles("attention_view", "attention_steps", "through_the_layers")

    tokens = t.List(t.Unicode()).tag(sync=True)
    labels = t.List(t.Unicode(), help="of the tokens that are said somewhere").tag(sync=True)
    levels: "t.List[Any]" = t.List(help="of each level, of each token: said, norm, lead, heads, networks, rest").tag(
        sync=True
    )
    level = t.Int(0).tag(sync=True)
    place = t.Int(0, help="the token whose place is looked at").tag(sync=True)
    shade = t.Enum(SHADES, SHADES[0]).tag(sync=True)
    caption = t.Unicode().tag(sync=True)

    def __init__(
        self, model: Any, tokenizer: Any, text: str, *, level: int = -1, place: int = -1, caption: str = ""
    ) -> None:
        """Run ``model`` on ``text`` once, and read its stream after each block.

        >>> from companion import zoo
        >>> view = ThroughTheLayers(*zoo.load("storyworld-en"), "Tom is in the")
        >>> len(view.levels), view.tokens
        (5, ['<|endoftext|>', 'Tom', 'is', 'in', 'the'])

        Args:
            model: a :class:`companion.models.gpt.GPT` or :class:`companion.models.modern_decoder.ModernDecoder`; one
                of ``transformers`` is copied into one of these.
            tokenizer: a ``tokenizers.Tokenizer``, or a fast tokenizer of ``transformers``.
            text: to be read.
            level: looked at first; -1 is the last.
            place: looked at first; -1 is the last.
            caption: a line under the picture.

        Raises:
            ValueError: on a text that is empty or does not fit into the context, a model that says no next token, or an
                unknown level or place.
        """
        from companion.data.tokenization import token_labels
        from companion.metrics.lens import logit_lens
        from companion.nn.capture import capture
        from companion.widgets.live import Tracer
        from companion.widgets.of_transformers import readable

        model, tokenizer = readable(model, tokenizer)
        if not hasattr(model, "unembedding"):
            raise ValueError(f"the model must be a decoder that says a next token; got {type(model).__name__}")
        with capture(model) as record:
            tokens = Tracer(model, tokenizer)(text).tokens
            lens = logit_lens(model, record)
        numbers = sorted(set(lens.tokens.flatten().tolist()))
        levels, n = lens.norms.shape
        super().__init__(
            tokens=tokens,
            labels=token_labels(tokenizer, numbers),
            levels=_levels(lens, {number: i for i, number in enumerate(numbers)}),
            level=_place("level", level, levels),
            place=_place("place", place, n),
            caption=caption,
        )

    def to_html(self) -> str:
        """Return a page of its own, everything inline, that also opens from disk and asks no other host."""
        return page.document(self._in_book(), self._css, "through_the_layers", TITLE)

    def _in_book(self) -> str:
        names = ("tokens", "labels", "levels", "level", "place", "shade", "caption")
        return page.figure("through_the_layers", {name: getattr(self, name) for name in names}, self._in_words())

    def _in_words(self) -> str:
        rows = []
        for level, places in enumerate(self.levels):
            (label, probability), *_ = places[self.place]["said"]
            rows.append([str(level), escape(self.labels[label]), f"{probability:.2f}"])
        return (
            f"<figcaption>{escape(self.caption)} After {escape(self.tokens[self.place])} (token {self.place}): what "
            f"the model would say next if it ended after so many blocks.</figcaption>"
            f"{page.table(('blocks', 'says', 'probability'), rows)}"
        )


def _levels(lens: "Lens", index: dict[int, int]) -> list[list[dict[str, Any]]]:
    """Each level's places as JSON can say them, with the parts that wrote most towards the likeliest token."""
    levels, n = lens.norms.shape
    return [[_at(lens, index, level, place) for place in range(n)] for level in range(levels)]


def _at(lens: "Lens", index: dict[int, int], level: int, place: int) -> dict[str, Any]:
    said = zip(lens.tokens[level, place].tolist(), lens.probabilities[level, place].tolist(), strict=True)
    heads, networks = lens.heads[level, :level, :, place], lens.feed_forward[level, :level, place]
    best = heads.flatten().topk(min(WRITERS, heads.numel())).indices.tolist()
    strongest = networks.topk(min(WRITERS, networks.numel())).indices.tolist()
    return {
        "said": [[index[number], round(probability, 4)] for number, probability in said],
        "norm": round(lens.norms[level, place].item(), 2),
        "lead": round(lens.lead[level, place].item(), 3),
        "heads": [[*divmod(i, heads.size(1)), round(heads.flatten()[i].item(), 3)] for i in best],
        "networks": [[i, round(networks[i].item(), 3)] for i in strongest],
        "start": round(lens.embedding[level, place].item(), 3),
    }


def _place(name: str, value: int, count: int) -> int:
    if not -1 <= value < count:
        raise ValueError(f"{name} must be -1 to {count - 1}; got {value}")
    return count - 1 if value == -1 else value
