"""NextTokenView: what a model would write next, the dials of sampling, and the tree of what was written.

Chapter: ``book/algorithms/gpt.ipynb``, "From probabilities to text".
"""

import base64
import time
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import traitlets as t

from companion.widgets import bundle, page
from companion.widgets.attention_view import FRONT_END, styles
from companion.widgets.picture import half_characters_shown

NAMED = 40  # tokens that an answer names; the others are numbers and logits alone
STEP = 2048  # logits travel as whole numbers, so many to a nat, below the largest
RECORDED = 64  # answers that a page of its own can show again
IN_WORDS = 10
TITLE = "Next token"
TEMPERATURES, SEEDS = (0.0, 2.0), (0, 2**31 - 1)


class NextTokenView(page.PageWidget):
    """The distribution of the next token, and a text that is continued token by token.

    The traits are its public state. The four dials are those of :class:`companion.generation.Sampling`; a seed draws
    other tokens here than there.
    """

    _esm = bundle.module(FRONT_END / "next_token.js")
    _css = styles("attention_view", "next_token")

    text = t.Unicode(help="that is continued").tag(sync=True)
    written = t.Unicode(help="the continuation that is shown").tag(sync=True)
    examples = t.List(t.Unicode(), help="texts to choose from").tag(sync=True)
    temperature = t.Float(1.0, min=TEMPERATURES[0], max=TEMPERATURES[1]).tag(sync=True)
    top_k = t.Int(None, allow_none=True, min=1).tag(sync=True)
    top_p = t.Float(None, allow_none=True, min=0.01, max=1.0).tag(sync=True)
    min_p = t.Float(None, allow_none=True, min=0.0, max=1.0).tag(sync=True)
    seed = t.Int(0, min=SEEDS[0], max=SEEDS[1]).tag(sync=True)
    longest = t.Int(20, min=1, max=200, help="tokens of a run").tag(sync=True)
    model_name = t.Unicode().tag(sync=True)
    is_live = t.Bool(True, help="whether a kernel answers").tag(sync=True)
    question = t.Dict(help="number, text, after: ids of the tokens chosen after the text").tag(sync=True)
    answer = t.Dict(help="number, and an answer or an error").tag(sync=True)
    answers = t.List(t.Dict(), help="those that are known from the start").tag(sync=True)

    def __init__(self, text: str, ask: Callable[[str, list[int]], dict[str, Any]], examples: Sequence[str]) -> None:
        """Show what follows ``text``.

        Args:
            text: read first.
            ask: answers a text and the ids chosen after it.
            examples: texts to choose from.

        Raises:
            ValueError: on a text that ``ask`` refuses.
        """
        self._ask = ask
        self._zoo_name: str | None = None
        first = ask(text, [])
        self._recorded = [first]
        super().__init__(text=text, answers=[first], examples=list(examples))

    @classmethod
    def live(cls, model: Any, tokenizer: Any, text: str, *, examples: Sequence[str] = ()) -> "NextTokenView":
        """Show what ``model`` would write after ``text``, and let the reader write on with it.

        The model stays on its own device and keeps the keys and values of what it has read. In the book, a view of a
        model from :mod:`companion.zoo` is answered by the page itself. A text that the model cannot read is refused
        in a line, and the view stays as it was.

        Args:
            model: decoder-only, of this package or of ``transformers``, which is copied into one.
            tokenizer: a ``tokenizers.Tokenizer``, or a fast tokenizer of ``transformers``.
            text: read first.
            examples: other texts to choose from.

        Raises:
            ValueError: on another kind of model or tokenizer, or a text that is empty or does not fit into the context.
        """
        from companion import zoo  # here, so that the front end alone needs no torch
        from companion.widgets.of_transformers import readable

        widget = cls(text, NextTokens(*readable(model, tokenizer)), examples)
        widget._zoo_name = zoo.name_of(model)
        widget.model_name = widget._zoo_name or type(model).__name__
        return widget

    @t.observe("question")
    def _run(self, change: dict[str, Any]) -> None:
        number, text, after = (change["new"][name] for name in ("number", "text", "after"))
        try:
            found = self._ask(text, list(after))
        except Exception as problem:  # whatever a model raises, the view stays alive and says what it was
            refused = isinstance(problem, ValueError)
            self.answer = {
                "number": number,
                "error": str(problem) if refused else f"{type(problem).__name__}: {problem}",
            }
            return
        if len(self._recorded) < RECORDED:
            self._recorded.append(found)
        self.answer = {"number": number, **found}

    def _in_book(self) -> str:
        return self._figure(self._recorded[:1], self._zoo_name)

    def to_html(self) -> str:
        """Return a page of its own, everything inline: live dials, and the tree written so far to walk."""
        return page.document(self._figure(self._recorded, None), self._css, "next_token", TITLE)

    def _figure(self, answers: list[dict[str, Any]], zoo_name: str | None) -> str:
        dials = ("temperature", "top_k", "top_p", "min_p", "seed", "longest")
        names = ("text", "examples", *dials, "model_name")
        known = [one | {"device": page.PRECOMPUTED, "latency_ms": 0} for one in answers]
        state = {name: getattr(self, name) for name in names} | {"answers": known, "is_live": False, "written": ""}
        if zoo_name is None:  # nobody is there to be asked about another text
            state |= {"examples": [], "text": answers[0]["text"]}
        return page.figure("next_token", state, in_words(answers[0]), zoo_name)


def in_words(answer: dict[str, Any]) -> str:
    """Return HTML that says what may follow, where no script runs."""
    shown = answer["candidates"][:IN_WORDS]
    rows = "".join(
        f"<tr><td>{escape(half_characters_shown(one['token']))}</td><td>{100 * one['probability']:.1f} %</td></tr>"
        for one in shown
    )
    head = "<thead><tr><th>next token</th><th>probability</th></tr></thead>"
    return (
        f"<figcaption>{escape(half_characters_shown(answer['text']))} … and the {len(shown)} likeliest next "
        f"tokens.</figcaption><table>{head}<tbody>{rows}</tbody></table>"
    )


class NextTokens:
    """What a model would write next: the logits after a text and after tokens that were chosen for it."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Keep the two.

        Raises:
            ValueError: on a model that does not continue texts, or another kind of tokenizer.
        """
        from companion.generation.continued import Continued
        from companion.generation.decoding import EncoderDecoder
        from companion.widgets.live import Tracer

        if isinstance(model, EncoderDecoder) or not hasattr(model, "new_cache"):
            raise ValueError(f"model must be decoder-only, as GPT; got {type(model).__name__}")
        self.tokenizer = Tracer(model, tokenizer).tokenizer
        self.model, self.device = model, next(model.parameters()).device
        self._reader = Continued(model, device=self.device)

    def __call__(self, text: str, after: list[int]) -> dict[str, Any]:
        """Answer as JSON can say it.

        Raises:
            ValueError: when the text has no token, or what is read is more than the model's context holds.
        """
        from companion.data.tokenization import token_labels
        from companion.widgets.live import Limited, added, candidates, device_name, read_by

        start = time.perf_counter()
        read, config = read_by(self.tokenizer, text), self.model.config
        ids = [*read, *after]
        if not read:
            raise ValueError("the text is empty: the model needs at least one token")
        if isinstance(config, Limited) and len(ids) > config.context_length:
            raise ValueError(f"the text has {len(ids)} tokens; the model reads at most {config.context_length}")
        logits = self._logits(ids)
        named = candidates(self.tokenizer, logits, ids[-1], NAMED)
        return {
            "text": text,
            "after": after,
            "tokens": [half_characters_shown(label) for label in token_labels(self.tokenizer, ids)],
            "written": added(self.tokenizer, read[-1], after),
            "ends": bool(after) and self.tokenizer.decode(after[-1:]) == "",
            "candidates": [one | {"logit": float(logits[one["id"]])} for one in named],
            "logits": packed(logits),
            "device": device_name(self.device),
            "latency_ms": (time.perf_counter() - start) * 1000,
        }

    def _logits(self, ids: list[int]) -> Any:
        from companion.nn.modes import evaluating

        with evaluating(self.model):  # dropout would say something else on each run
            return self._reader.logits(ids)[0].float().cpu()


def packed(logits: Any) -> str:
    """Return logits as a page carries them: 16-bit steps below the largest, in base 64.

    >>> import torch
    >>> packed(torch.tensor([0.0, -1.0]))
    'AAAACA=='
    """
    import torch

    below = ((logits.max() - logits) * STEP).clamp(0, 2**16 - 1).round()  # minus infinity is the last step, too
    return base64.b64encode(below.to(torch.int32).numpy().astype("<u2").tobytes()).decode()
