"""WhoSeesWhom: one sentence under six objectives: what is read, what is asked for, and who may see whom.

Chapter: ``book/algorithms/denoising.ipynb``.
"""

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets as t

from companion.widgets import bundle, page
from companion.widgets.attention_view import FRONT_END, styles

if TYPE_CHECKING:
    from torch import Tensor

OBJECTIVES = ("causal", "masked", "prefix", "permutation", "spans", "denoising")
HIDDEN = 0.25  # of the words, so that a short sentence shows something; BERT and T5 hide 15 %
TITLE = "Who may see whom"
NAMES = {
    "causal": "causal (GPT)",
    "masked": "masked (BERT)",
    "prefix": "prefix",
    "permutation": "permutation (XLNet)",
    "spans": "span corruption (T5)",
    "denoising": "denoising (BART)",
}


class WhoSeesWhom(page.PageWidget):
    """The masks of six objectives on one sentence, which the reader can change.

    The traits are its public state: what Python sets, the picture shows, and the other way round.
    """

    _esm = bundle.module(FRONT_END / "who_sees_whom.js")
    _css = styles("attention_view", "attention_steps", "who_sees_whom")

    text = t.Unicode().tag(sync=True)
    objective = t.Enum(OBJECTIVES, OBJECTIVES[0]).tag(sync=True)
    target = t.Int(0, help="the one that is looked at").tag(sync=True)
    masked = t.List(t.Int(), help="places that BERT's mask hides").tag(sync=True)
    lost = t.List(t.Int(), help="places in the spans that T5 and BART lose").tag(sync=True)
    order = t.List(t.Int(), help="rank of each place in XLNet's order").tag(sync=True)
    predicted = t.Int(1, help="how many of the last ranks are targets").tag(sync=True)
    prefix = t.Int(1, help="words of the prefix").tag(sync=True)

    def __init__(self, text: str, *, objective: str = "causal", seed: int = 0) -> None:
        """Draw for ``text`` what chance decides: the masked words, the lost spans, the order.

        >>> WhoSeesWhom("the cat sat", objective="causal").masks()[0].astype(int)
        array([[1, 0, 0],
               [1, 1, 0],
               [1, 1, 1]])

        Args:
            text: words with spaces between them, at least two.
            objective: "causal", "masked", "prefix", "permutation", "spans" or "denoising".
            seed: of the draw.

        Raises:
            ValueError: on fewer than two words, or another objective.
        """
        n = len(text.split())
        if n < 2:
            raise ValueError(f"text must have two words or more; got {text!r}")
        if objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}; got {objective!r}")
        self._seed = seed
        super().__init__(text=text, objective=objective, **_drawn(n, seed))

    @t.observe("text")
    def _draw_again(self, change: dict[str, Any]) -> None:
        """Draw for a text of another length, unless it comes from the page, which draws for itself."""
        n = len(change["new"].split())
        if n < 2 or n == len(self.order) or self._property_lock:
            return
        with self.hold_sync():
            for name, value in _drawn(n, self._seed).items():
                setattr(self, name, value)
            self.target = 0

    def masks(self) -> list[np.ndarray]:
        """Masks of the chosen objective, boolean, True = may see: one, or two where there are two streams or stacks.

        The second of XLNet's has a row for each target, in the order of the places; that of a decoder has the source's
        columns before its own.
        """
        import torch

        from companion.nn.masks import causal_mask, order_mask

        n = len(self.text.split())
        if self.objective in ("spans", "denoising"):
            return self._of_encoder_and_decoder()
        ranks = torch.tensor(self.order)
        last = ranks >= n - self.predicted
        found: dict[str, list[Tensor]] = {
            "causal": [causal_mask(n)],
            "masked": [torch.ones(n, n, dtype=torch.bool)],
            "prefix": [causal_mask(n) | (torch.arange(n) < self.prefix)],
            "permutation": [order_mask(ranks, own=True), order_mask(ranks)[last]],
        }
        return [mask.numpy() for mask in found[self.objective]]

    def _of_encoder_and_decoder(self) -> list[np.ndarray]:
        import torch

        from companion.losses.spans import pairs

        n = len(self.text.split())
        firsts = [i for i in self.lost if i - 1 not in self.lost]
        source = [n if i in firsts else i for i in range(n) if i in firsts or i not in self.lost]
        target = list(range(n)) if self.objective == "denoising" else [n] * (len(firsts) + 1) + self.lost
        batch = pairs([[*source, n]], [target], start_id=0, end_id=n)  # which ids does not matter here
        m = batch.inputs.size(1)
        return [torch.ones(m, m, dtype=torch.bool).numpy(), batch.visible[0].numpy()]

    def to_html(self) -> str:
        """Return a page of its own, everything inline, that also opens from disk and asks no other host."""
        return page.document(self._in_book(), self._css, "who_sees_whom", TITLE)

    def _in_book(self) -> str:
        names = ("text", "objective", "target", "masked", "lost", "order", "predicted", "prefix")
        return page.figure("who_sees_whom", {name: getattr(self, name) for name in names}, self._in_words())

    def _in_words(self) -> str:
        words = self.text.split()
        n = len(words)
        hidden = {"masked": self.masked, "spans": self.lost, "denoising": self.lost}
        asked: dict[str, list[int]] = {
            "causal": list(range(1, n)),
            "prefix": list(range(self.prefix, n)),
            "permutation": [i for i in range(n) if self.order[i] >= n - self.predicted],
            "denoising": list(range(n)),
        }
        rows = []
        for objective in OBJECTIVES:
            read = " ".join("▁" if i in hidden.get(objective, []) else word for i, word in enumerate(words))
            targets = " ".join(words[i] for i in asked.get(objective, hidden.get(objective, [])))
            rows.append([escape(cell) for cell in (NAMES[objective], read, targets)])
        return (
            "<figcaption>One sentence under six objectives; ▁ stands for a word that is hidden.</figcaption>"
            f"{page.table(('objective', 'is read', 'is asked for'), rows)}"
        )


def _drawn(n: int, seed: int) -> dict[str, Any]:
    """Draw what chance decides for ``n`` words."""
    import torch  # here, so that a still picture needs none

    from companion.losses.masked import mask_tokens
    from companion.losses.permutation import permute
    from companion.losses.spans import corrupt

    ids, chance = torch.arange(n)[None], torch.Generator().manual_seed(seed)
    masked = mask_tokens(ids, None, mask_id=n, vocab_size=n + 1, mask_probability=HIDDEN, generator=chance)
    permuted = permute(ids, None, fraction=HIDDEN, generator=chance)
    spans = corrupt(
        ids,
        None,
        sentinel_ids=range(n, 2 * n + 2),
        end_id=2 * n + 2,
        start_id=2 * n + 3,
        noise_density=HIDDEN,
        mean_length=2,
        generator=chance,
    )
    return dict(
        masked=(masked.targets[0] >= 0).nonzero()[:, 0].tolist(),
        lost=[i for i in range(n) if i not in spans.inputs],
        order=permuted.order[0].tolist(),
        predicted=permuted.predict.size(1),
        prefix=n // 2,
    )
