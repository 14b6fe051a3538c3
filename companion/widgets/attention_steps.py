"""AttentionSteps: one token's attention, from the product of query and key to the sum of the values, step by step.

Chapter: ``book/concepts/attention.ipynb``, "Queries, keys and values".
"""

import base64
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets as t

from companion.widgets import bundle, page
from companion.widgets.attention_view import FRONT_END, styles
from companion.widgets.encoding import deflate

if TYPE_CHECKING:
    from companion.nn.products import Product

STEPS = ("compare", "scale", "mask", "softmax", "add")
PAGE_BYTES = 100_000  # of numbers, packed, in a page
TITLE = "Attention, step by step"


class AttentionSteps(page.PageWidget):
    """The numbers of one attention head, in the five steps of its formula.

    The traits are its public state: what Python sets, the picture shows, and the other way round. Layers, heads and
    tokens are counted from 0.
    """

    _esm = bundle.module(FRONT_END / "attention_steps.js")
    _css = styles("attention_view", "attention_steps")

    tokens = t.List(t.Unicode()).tag(sync=True)
    layers = t.List(t.Int(), help="whose numbers are there").tag(sync=True)
    shape = t.List(t.Int(), help="layers, heads, n, d_k, d_v").tag(sync=True)
    products = t.Bytes(help="float16; of each layer its queries (heads, n, d_k), its keys, its values").tag(sync=True)
    mask = t.Bytes(help="(layers, n, n); 1 = may read").tag(sync=True)
    scale = t.Float(1.0, help="multiplies the products").tag(sync=True)
    layer = t.Int(0).tag(sync=True)
    head = t.Int(0).tag(sync=True)
    query = t.Int(0, help="the token that reads").tag(sync=True)
    key = t.Int(0, help="the token that is looked at closely").tag(sync=True)
    step = t.Enum(STEPS, STEPS[0]).tag(sync=True)
    caption = t.Unicode().tag(sync=True)

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        text: str,
        *,
        layer: int = 0,
        head: int = 0,
        query: int | str = -1,
        step: str = "compare",
        caption: str = "",
    ) -> None:
        """Run ``model`` on ``text`` once, and show how one of its heads computes.

        In a notebook all layers can be chosen. A page holds as many as fit into 100 KB, and at least one, beginning
        with ``layer`` and the one after it.

        >>> from companion import zoo
        >>> steps = AttentionSteps(*zoo.load("storyworld-en"), "Tom is in the garden.", query="garden")
        >>> steps.query, steps.shape  # layers, heads, n, d_k, d_v
        (5, [4, 4, 7, 16, 16])

        Args:
            model: a model of this package (see :func:`companion.nn.capture.capture`), or of ``transformers``, which is
                copied into one.
            tokenizer: a ``tokenizers.Tokenizer``, or a fast tokenizer of ``transformers``.
            text: to be read.
            layer: shown first.
            head: shown first.
            query: place of the token that reads, shown first, -1 for the last; or its label.
            step: "compare", "scale", "mask", "softmax" or "add".
            caption: a line under the picture.

        Raises:
            ValueError: on a text that is empty or does not fit into the context, an unknown layer, head, token or step,
                or a model that adds a bias to its scores, as T5, XLNet and DeBERTa do.
        """
        tokens, products = _run(model, tokenizer, text)
        if step not in STEPS:
            raise ValueError(f"step must be one of {', '.join(STEPS)}; got {step!r}")
        query = place_of(tokens, query)
        for name, value, count in (("layer", layer, len(products)), ("query", query, len(tokens))):
            _check(name, value, count)
        _check("head", head, products[layer].query.size(1))
        self._packed = [_bytes(one) for one in products]
        first = products[layer]
        super().__init__(
            tokens=tokens,
            layers=list(range(len(products))),
            shape=[len(products), *first.query.shape[1:], first.value.size(-1)],
            products=b"".join(numbers for numbers, _ in self._packed),
            mask=b"".join(allowed for _, allowed in self._packed),
            scale=first.scale,
            layer=layer,
            head=head,
            query=query,
            key=int(first.weights()[0, head, query].argmax()),
            step=step,
            caption=caption,
        )

    @t.validate("layer", "head", "query", "key")
    def _check_choice(self, proposal: dict[str, Any]) -> int:
        name = proposal["trait"].name
        if self.shape:
            _check(name, proposal["value"], self.shape[{"layer": 0, "head": 1}.get(name, 2)])
        return int(proposal["value"])

    def to_html(self) -> str:
        """Return a page of its own, everything inline, that also opens from disk and asks no other host."""
        return page.document(self._in_book(), self._css, "attention_steps", TITLE)

    def _in_book(self) -> str:
        names = ("tokens", "scale", "layer", "head", "query", "key", "step", "caption")
        kept = self._layers_of_a_page()
        numbers, allowed = (b"".join(self._packed[i][part] for i in kept) for part in (0, 1))
        state = {name: getattr(self, name) for name in names}
        state |= {"layers": kept, "shape": [len(kept), *self.shape[1:]]}
        state |= {"products": _in_a_page(numbers), "mask": _in_a_page(allowed)}
        return page.figure("attention_steps", state, self._in_words())

    def _layers_of_a_page(self) -> list[int]:
        """The layer that is shown and those after it, round to the first, as far as they fit."""
        kept: list[int] = []
        room = PAGE_BYTES
        for offset in range(len(self.layers)):
            layer = (self.layer + offset) % len(self.layers)
            room -= sum(len(_in_a_page(part)) for part in self._packed[layer])
            if kept and room < 0:
                break
            kept.append(layer)
        return sorted(kept)

    def row(self) -> dict[str, np.ndarray]:
        """Scores and weights of the chosen query in the chosen head, after each step but the last, and its output.

        They are computed from the numbers that are shown, which are rounded to 16 bits.
        """
        _, heads, n, d_k, d_v = self.shape
        numbers, allowed = self._packed[self.layer]
        queries, keys, values = np.split(
            np.frombuffer(numbers, "<f2").astype(np.float32), np.cumsum([heads * n * d_k] * 2)
        )
        key = keys.reshape(heads, n, d_k)[self.head]
        products = key @ queries.reshape(heads, n, d_k)[self.head, self.query]
        may = np.frombuffer(allowed, np.uint8).reshape(n, n)[self.query].astype(bool)
        masked = np.where(may, products * self.scale, -np.inf)
        exponentials = np.exp(masked - masked.max())
        weights = exponentials / exponentials.sum()
        return {
            "product": products,
            "scaled": products * self.scale,
            "masked": masked,
            "weight": weights,
            "output": weights @ values.reshape(heads, n, d_v)[self.head],
        }

    def _in_words(self) -> str:
        found = self.row()
        columns = ("product", "scaled", "masked", "weight")
        heads = ("token", "query · key", "divided by √d_k", "after the mask", "weight")
        cells = [[escape(token), *(f"{found[name][j]:.2f}" for name in columns)] for j, token in enumerate(self.tokens)]
        return (
            f"<figcaption>{escape(self.caption)} Layer {self.layer}, head {self.head}: what the token "
            f"{escape(self.tokens[self.query])} (token {self.query}) reads, step by step.</figcaption>"
            f"{page.table(heads, cells)}"
        )


def _run(model: Any, tokenizer: Any, text: str) -> "tuple[list[str], list[Product]]":
    """The labels of the text's tokens, and the product of each layer."""
    from companion.data.tokenization import token_labels
    from companion.nn.products import capture_products
    from companion.widgets.live import Tracer
    from companion.widgets.of_transformers import readable

    model, tokenizer = readable(model, tokenizer)
    tracer = Tracer(model, tokenizer)
    with capture_products(model) as products:
        tracer.run(numbers := tracer.numbers(text))
    if any(one.bias is not None or one.sink is not None for one in products):
        raise ValueError(f"scores must be products of queries and keys alone; {type(model).__name__} adds to them")
    return token_labels(tracer.tokenizer, numbers), products


def _bytes(product: "Product") -> tuple[bytes, bytes]:
    """The numbers of one layer, and its mask."""
    n = product.query.size(-2)
    parts = (product.query, product.key, product.value)
    numbers = b"".join(part[0].float().cpu().numpy().astype("<f2").tobytes() for part in parts)
    allowed = product.mask.expand(1, 1, n, n)[0, 0]
    return numbers, allowed.cpu().numpy().astype(np.uint8).tobytes()


def place_of(tokens: list[str], query: int | str) -> int:
    """Place of the token that is named by its label, or by its place, -1 being the last; a number is not checked."""
    if isinstance(query, str):
        if query not in tokens:
            raise ValueError(f"query must be the label of a token, {', '.join(tokens)}; got {query!r}")
        return tokens.index(query)
    return len(tokens) - 1 if query == -1 else query


def _in_a_page(data: bytes) -> str:
    return base64.b64encode(deflate(data)).decode()


def _check(name: str, value: int, count: int) -> None:
    if not 0 <= value < count:
        raise ValueError(f"{name} must be 0 to {count - 1}; got {value}")
