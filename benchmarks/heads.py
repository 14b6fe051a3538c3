"""Heads of SmolLM2-135M: which of them continue a passage that comes again, and what each is worth there.

    python benchmarks/heads.py

Each of five draws is four passages of random tokens, each of them twice, and four windows of prose of as many tokens.
The circuit: the five heads of the highest induction score are ablated, and as many at random, of the same layers and of
all; then each of the six heads of the highest previous-token score below them alone. The census: each of the 270 heads
is ablated alone, on two passages of a sixth draw. Losses are nats per token, of tokens that have a token before them in
their copy. The chapter `book/algorithms/modern_decoder.ipynb` shows both.
"""

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

import report
import torch
from torch import Tensor

from companion import zoo
from companion.data import prose
from companion.data.tokenization import ordinary_tokens
from companion.metrics.heads import induction_score, offset_score, repeated_tokens
from companion.nn.capture import ablate, capture

NAME = "smollm2-135m"
TEXTS, LENGTH = 4, 50  # passages of a draw, tokens of a passage
INDUCTION, PREVIOUS = 5, 6  # heads that are ablated together, and one by one
RANDOM_SETS = 2  # of each kind, per draw
MODEL, TOKENIZER = zoo.load(NAME)
LAYERS, HEADS = MODEL.config.n_layers, MODEL.config.n_heads
ORDINARY = torch.tensor(ordinary_tokens(TOKENIZER))
Head = tuple[int, int]


class Run(NamedTuple):
    """One run over texts: the attention by layer, and the loss on each token but the first, (texts, tokens - 1)."""

    attention: list[Tensor]
    nats: Tensor

    @property
    def second_copy(self) -> float:
        """Mean loss on the second copy, its first token left out."""
        return self.nats[:, LENGTH:].mean().item()


@torch.no_grad()
def run(ids: Tensor, without: Iterable[Head] = ()) -> Run:
    """Run over texts (texts, tokens), with these heads ablated."""
    with ablate(MODEL, without), capture(MODEL) as record:
        log_probs = MODEL(ids)[:, :-1].log_softmax(-1)
    return Run(record.attention, -log_probs.gather(-1, ids[:, 1:, None])[..., 0])


def windows(seed: int) -> Tensor:
    """Windows of held-out prose, no two draws the same: (TEXTS, 2 LENGTH)."""
    _, held_out = prose.split(prose.documents(["primer"]))
    stream = prose.token_stream(TOKENIZER, held_out)
    rows = stream[: len(stream) // (2 * LENGTH) * 2 * LENGTH].view(-1, 2 * LENGTH)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    return rows[order[TEXTS * seed : TEXTS * (seed + 1)]]


def highest(score: Tensor, count: int) -> list[Head]:
    """Heads of the highest score, the highest first."""
    found = (divmod(int(number), HEADS) for number in score.flatten().topk(count).indices)
    return list(found)


def circuit(seed: int) -> dict[str, Any]:
    """One draw: the heads of the highest scores, what ablating them does, and what as many others do."""
    ids, text, draw = repeated_tokens(ORDINARY, TEXTS, LENGTH, seed), windows(seed), random.Random(seed)
    intact = run(ids)
    induction, previous = induction_score(intact.attention), offset_score(intact.attention, -1)
    top = highest(induction, INDUCTION)
    below = previous.clone()
    below[min(layer for layer, _ in top) :] = 0  # only a lower layer can feed them
    strong = highest(below, PREVIOUS)
    every = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
    pools = {
        "random heads of the same layers": [one for one in every if one[0] in dict(top) and one not in top],
        "random heads of all layers": [one for one in every if one not in [*top, *strong]],
    }
    groups = {"all heads": [()], "the induction heads": [top]}
    groups |= {name: [draw.sample(pool, INDUCTION) for _ in range(RANDOM_SETS)] for name, pool in pools.items()}
    losses = {
        name: [
            {"second copy": run(ids, some).second_copy, "prose": run(text, some).nats.mean().item()} for some in sets
        ]
        for name, sets in groups.items()
    }
    alone = []
    for one in strong:
        after = run(ids, [one])
        left = induction_score(after.attention)
        row = {"head": one, "previous token": previous[one].item(), "second copy": after.second_copy}
        row |= {"prose": run(text, [one]).nats.mean().item(), "induction left": [left[other].item() for other in top]}
        alone.append(row)
    return {
        "first copy": intact.nats[:, : LENGTH - 1].mean().item(),
        "induction heads": [{"head": one, "induction": induction[one].item()} for one in top],
        "without": losses,
        "previous-token heads": alone,
    }


def census(seed: int) -> dict[str, Any]:
    """Loss on the second copy without each head in turn, beside the head's two scores."""
    ids = repeated_tokens(ORDINARY, TEXTS // 2, LENGTH, seed)
    intact = run(ids)
    loss = [[run(ids, [(layer, head)]).second_copy for head in range(HEADS)] for layer in range(LAYERS)]
    tables = {
        "induction": induction_score(intact.attention).tolist(),
        "previous token": offset_score(intact.attention, -1).tolist(),
        "second copy": loss,
    }
    rounded = {name: [[round(one, 4) for one in row] for row in table] for name, table in tables.items()}
    return rounded | {"all heads": intact.second_copy}


def main() -> None:
    """Run every draw, then the census, and write the table, anew after each."""
    given = report.arguments(__doc__)
    table: dict[str, Any] = {"model": NAME, "texts": TEXTS, "length": LENGTH, "draws": []}
    for seed in range(given.seeds):
        table["draws"].append(circuit(seed))
        print(seed, table["draws"][-1], flush=True)
        report.write("heads", table)
    report.write("heads", table | {"census": census(seed=given.seeds)})


if __name__ == "__main__":
    main()
