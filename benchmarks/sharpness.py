"""Sharpness of each head of SmolLM2-135M, and what the model loses without it, on the openings of five texts.

    python benchmarks/sharpness.py

Sharpness is the largest weight of a row, a mean over rows that have at least nine keys; once over all keys, and once
with the first token, the sink, left out of the search. Damage is the mean loss without the head less that of the whole
model, in nats per token, of each text. The texts are held out of the book's primer, so nothing here was chosen by
looking. The chapter `book/concepts/attention.ipynb` shows it.
"""

import report
import torch
from torch import Tensor

from companion import zoo
from companion.data import prose
from companion.nn.capture import ablate, capture

NAME = "smollm2-135m"
TEXTS, LENGTH, FIRST = 5, 40, 8  # texts, tokens of each, rows left out because they have few keys


@torch.no_grad()
def main() -> None:
    """Ablate one head after the other, and write the table anew after each layer."""
    given = report.arguments(__doc__)
    model, tokenizer = zoo.load(NAME)
    _, held_out = prose.split(prose.documents(["primer"]))
    ids = prose.openings(tokenizer, held_out, min(TEXTS, given.seeds), LENGTH)

    def nats() -> Tensor:
        log_probs = model(ids)[:, :-1].log_softmax(-1)
        lost: Tensor = -log_probs.gather(-1, ids[:, 1:, None])[..., 0]
        return lost.mean(1)  # (text,)

    with capture(model) as record:
        intact = nats()
    weights = torch.stack(record.attention)[..., FIRST:, :]  # (layer, text, head, query, key)
    table = {
        "model": NAME,
        "texts": len(ids),
        "length": LENGTH,
        "intact": intact.tolist(),
        "sharpness": weights.amax(-1).mean((1, 3)).tolist(),  # (layer, head)
        "sharpness, the first token left out": weights[..., 1:].amax(-1).mean((1, 3)).tolist(),
    }
    damage: list[list[list[float]]] = []  # (layer, head, text)
    for layer in range(model.config.n_layers):
        rows = []
        for head in range(model.config.n_heads):
            with ablate(model, [(layer, head)]):
                rows.append([round(one, 5) for one in (nats() - intact).tolist()])
        damage.append(rows)
        print(layer, rows, flush=True)
        report.write("sharpness", {**table, "damage": damage})


if __name__ == "__main__":
    main()
