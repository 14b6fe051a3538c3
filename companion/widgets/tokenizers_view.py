"""TokenizersView: one text under several tokenizers, as colours, ids, counts and costs.

Chapter: ``book/concepts/tokenization.ipynb``, "The tokenizers of published models".
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import traitlets as t
from tokenizers import Tokenizer

from companion.data.checks import check_list
from companion.widgets import bundle, page
from companion.widgets.attention_view import FRONT_END, styles
from companion.widgets.picture import half_characters_shown

TITLE = "Tokenizers, side by side"
EXAMPLES = (
    ("English", "The cat sat on the mat, purring, while unbelievably loud music played."),
    ("中文", "猫坐在垫子上，外面的音乐响得令人难以置信。"),
    ("Code", "def mean(values):\n    if not values:\n        return None\n    return sum(values) / len(values)"),
    ("Emoji", "🙂🎉 🐈‍⬛ 👩‍🚀 🇫🇷 🌧️"),
    ("Numbers", "1234567 + 8765433 = 10000000, and π is 3.14159265"),
)


class TokenizersView(page.PageWidget):
    """A text, cut by several byte-level tokenizers beside each other, as it is typed.

    The traits are its public state.
    """

    _esm = bundle.module(FRONT_END / "tokenizers_view.js")
    _css = styles("attention_view", "next_token", "tokenizers_view")

    text = t.Unicode().tag(sync=True)
    listed = t.List(t.Dict(), help="title, and a vocabulary or the name of a published one").tag(sync=True)
    examples = t.List(t.Dict(), help="title and text, to choose from").tag(sync=True)
    price = t.Float(1.0, min=0.0, help="of a million tokens").tag(sync=True)
    wanted = t.Unicode(help="the published vocabulary that the reader asks for").tag(sync=True)
    loaded = t.Dict(help="published vocabularies by name, or an error").tag(sync=True)
    is_live = t.Bool(True, help="whether a kernel answers").tag(sync=True)

    def __init__(
        self,
        tokenizers: Mapping[str, Tokenizer | str],
        text: str | None = None,
        *,
        examples: Sequence[tuple[str, str]] = EXAMPLES,
        price: float = 1.0,
    ) -> None:
        """Show ``text`` under each of the ``tokenizers``.

        Args:
            tokenizers: by the title that is shown; a byte-level BPE tokenizer, or the name of a published one (see
                :func:`companion.data.published_tokenizers.published_tokenizer`), which is loaded on a click.
            text: shown first; the first example when not given.
            examples: title and text, to choose from.
            price: of a million tokens; the reader may type another.

        Raises:
            ValueError: on no tokenizer, or one that is not byte-level BPE, and no text or example.
        """
        check_list("examples", examples)
        check_list("each example", *examples)
        if not tokenizers or (text is None and not examples):
            raise ValueError(f"there must be a tokenizer and a text; got {list(tokenizers)} and {text!r}")
        from companion.widgets.byte_vocabulary import vocabulary  # here, so that other widgets need no torch

        self._tokenizers = dict(tokenizers)
        listed = [
            {"title": title, "published": one} if isinstance(one, str) else {"title": title, **vocabulary(one)}
            for title, one in tokenizers.items()
        ]
        shown = [{"title": title, "text": example} for title, example in examples]
        first = examples[0][1] if text is None else text
        super().__init__(text=half_characters_shown(first), listed=listed, examples=shown, price=price)

    @t.observe("wanted")
    def _load(self, change: dict[str, Any]) -> None:
        from companion.widgets.byte_vocabulary import published_vocabulary

        name = change["new"]
        if not name:
            return
        self.loaded = {known: one for known, one in self.loaded.items() if known != name}
        try:
            found = published_vocabulary(name)
        except Exception as problem:  # whatever is raised, the button stays alive and says what it was
            found = {"error": str(problem) or type(problem).__name__}
            self.wanted = ""  # so that it can be asked for again
        self.loaded = {**self.loaded, name: found}

    def _in_book(self) -> str:
        return self._figure(self.listed)

    def to_html(self) -> str:
        """Return a page of its own, everything inline: published vocabularies too, some megabytes each.

        Raises:
            companion.data.fetched.NotFetchedError: when one is not in the cache and cannot be downloaded.
        """
        from companion.widgets.byte_vocabulary import published_vocabulary

        whole = [
            {"title": one["title"], **published_vocabulary(one["published"])} if "published" in one else one
            for one in self.listed
        ]
        return page.document(self._figure(whole), self._css, "tokenizers_view", TITLE)

    def _figure(self, listed: list[dict[str, Any]]) -> str:
        names = ("text", "examples", "price")
        state = {name: getattr(self, name) for name in names} | {"listed": listed, "is_live": False}
        return page.figure("tokenizers_view", state | {"wanted": "", "loaded": {}}, self._in_words())

    def _in_words(self) -> str:
        """HTML that says how long the text is, where no script runs."""
        rows = "".join(
            f"<tr><td>{escape(title)}</td><td>{len(one.encode(self.text, add_special_tokens=False).ids)}</td></tr>"
            for title, one in self._tokenizers.items()
            if isinstance(one, Tokenizer)
        )
        head = "<thead><tr><th>tokenizer</th><th>tokens</th></tr></thead>"
        return f"<figcaption>{escape(self.text)}</figcaption><table>{head}<tbody>{rows}</tbody></table>"
