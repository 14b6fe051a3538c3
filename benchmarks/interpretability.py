"""Inside SmolLM2: where it holds who gets the drink, and which heads carry it.

    python benchmarks/interpretability.py

Five draws of four sentences with two names each. The hidden states are patched by block and position, from the clean
text and from unrelated prose; each head of the upper half is patched, and on one sentence of each draw set to zero and
to its mean over prose; and what each head writes for the answer is computed. The result goes to
`benchmarks/results/interpretability.json`, for `book/practice/interpretability.ipynb`.
"""

import json
import time
from typing import Any

import report
import torch
from torch import Tensor

from companion import zoo
from companion.data import prose
from companion.lessons.interpretability import experiments as e
from companion.metrics.attribution import logit_direction, recovery, written
from companion.nn.capture import Record, capture
from companion.nn.intervention import intervene
from companion.nn.positions import real_positions, rotary, rotary_frequencies

NAME = "smollm2-135m"
BLOCKS, FIRST = 3, 15  # hidden states are patched after every third block, heads from layer 15 up
WINDOWS, LENGTH = 10, 48  # of prose, for the mean of each head
MODEL, TOKENIZER = zoo.load(NAME)


def rounded(values: Tensor) -> Any:
    """A tensor as lists, with four digits after the point."""
    return (values.double() * 1e4).round().div(1e4).tolist()


class Names:
    """SmolLM2 on one draw of sentences with two names."""

    def __init__(self, pairs: e.Pairs, seed: int) -> None:
        """Run the clean and the corrupted texts, and prose."""
        self.pairs = pairs
        self.each = torch.arange(len(self.pairs.ends))
        self.roles = e.roles(self.pairs)
        _, texts = prose.split(prose.documents(["primer"]))
        windows = prose.openings(TOKENIZER, texts, WINDOWS, LENGTH)
        self.clean, self.corrupted = self.run(self.pairs.clean), self.run(self.pairs.corrupted)
        self.unrelated = self.run(windows[seed : seed + len(self.each), : pairs.clean.size(1)])
        self.means = [outputs.mean((0, 2), keepdim=True) for outputs in self.run(windows).heads]
        self.right = self.tail(self.clean.hidden[-1], len(self.clean.heads))
        self.wrong = self.tail(self.corrupted.hidden[-1], len(self.clean.heads))

    def run(self, ids: Tensor) -> Record:
        """The record of a run."""
        with torch.no_grad(), capture(MODEL) as record:
            MODEL(ids)
        return record

    @torch.no_grad()
    def tail(self, hidden: Tensor, layer: int) -> Tensor:
        """Logit difference of each text when the model goes on from these hidden states, of ``layer`` blocks."""
        config = MODEL.config
        frequencies = rotary_frequencies(config.d_rotary, config.rope_base)
        rotation = rotary(real_positions(self.pairs.clean, None, 0), frequencies)
        for block in MODEL.blocks[layer:]:
            hidden = block(hidden, rotation)
        logits: Tensor = MODEL.unembedding(MODEL.final_norm(hidden[self.each, self.pairs.ends]))
        return logits[self.each, self.pairs.right] - logits[self.each, self.pairs.wrong]

    def residual(self, source: Record) -> Any:
        """Recovery when hidden states of ``source`` stand at one role's positions: (every third block, roles)."""
        rows = []
        for layer in range(0, len(source.hidden), BLOCKS):
            theirs, ours = source.hidden[layer], self.corrupted.hidden[layer]
            chosen = ((self.roles == role)[..., None] for role in range(1, len(e.ROLES)))
            patched = [self.tail(torch.where(here, theirs, ours), layer) for here in chosen]
            rows.append(torch.stack([recovery(one, self.wrong, self.right) for one in patched]))
        return rounded(torch.stack(rows))

    def heads(self, start: Record, new: list[Tensor]) -> Tensor:
        """Logit difference when each head from layer ``FIRST`` up gives ``new`` in the run of ``start``.

        Returns:
            (layers, heads, texts).
        """
        found = []
        for layer in range(FIRST, len(new)):
            outputs = new[layer]
            for head in range(outputs.size(1)):
                chosen = (torch.arange(outputs.size(1)) == head)[None, :, None, None]
                edit = {layer: lambda old, chosen=chosen, outputs=outputs: torch.where(chosen, outputs, old)}
                with intervene(MODEL, heads=edit):
                    found.append(self.tail(start.hidden[layer], layer))
        rows: Tensor = torch.stack(found).unflatten(0, (len(new) - FIRST, -1))
        return rows

    def direct(self) -> Tensor:
        """Part of the logit difference that each head from ``FIRST`` up writes itself, (layers, heads)."""
        final = self.clean.hidden[-1][self.each, self.pairs.ends]
        direction = logit_direction(MODEL, final, self.pairs.right, self.pairs.wrong)
        parts = written(MODEL, self.clean).heads[FIRST:, :, self.each, self.pairs.ends]
        written_for: Tensor = (parts * direction).sum(-1)
        return written_for.mean(-1)


def names(seed: int) -> dict[str, Any]:
    """One draw of sentences."""
    pairs = e.name_pairs(TOKENIZER, seed)
    asked, chosen = Names(pairs, seed), seed % len(e.TEMPLATES)
    patched = asked.heads(asked.corrupted, asked.clean.heads)
    one = Names(e.Pairs(*(tensor[chosen : chosen + 1] for tensor in pairs)), seed)
    zeros = [torch.zeros_like(mean) for mean in one.means]
    return {
        "clean": rounded(asked.right),
        "corrupted": rounded(asked.wrong),
        "residual": asked.residual(asked.clean),
        "residual from prose": asked.residual(asked.unrelated),
        "patched": rounded(recovery(patched, asked.wrong, asked.right)),
        "zero": rounded((one.right - one.heads(one.clean, zeros)).mean(-1)),
        "mean": rounded((one.right - one.heads(one.clean, one.means)).mean(-1)),
        "direct": rounded(asked.direct()),
    }


def main() -> None:
    """Run every draw that the table lacks, and write it anew after each."""
    given = report.arguments(__doc__)
    path = report.RESULTS / "interpretability.json"
    done = json.loads(path.read_text(encoding="utf8"))["names"] if path.exists() else []
    table: dict[str, Any] = {"model": NAME, "first": FIRST, "blocks": BLOCKS, "roles": e.ROLES[1:], "names": done}
    for seed in range(len(done), given.seeds):
        started = time.process_time()
        done.append(names(seed))
        print(seed, f"{time.process_time() - started:.0f} s", flush=True)
        report.write("interpretability", table)


if __name__ == "__main__":
    main()
