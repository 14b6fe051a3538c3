"""A task on which depth pays: pointer chasing, by blocks of their own and by one shared block, on equal terms.

    python benchmarks/depth.py

Six random pointers stand in a row, and the model says where each leads after one, two and three hops; puzzles are drawn
anew for each batch. All models have the same steps, puzzles, optimizer and learning rate, which was not searched. "own"
is a BERT or RoBERTa, which have the same blocks; "half" has half of its layers, as a DistilBERT. "shared" uses one
block in all layers, as an ALBERT: at the width of "own" it has a quarter of the parameters in its blocks; at twice the
width as many, and about four times the operations. "wide, one layer" has those parameters and operations too, and no
depth. For each seed: the accuracy after each number of hops, and the training loss, in means over a twentieth of the
steps each.
"""

import statistics
from typing import Any

import report
import torch

from companion.data.batch import IGNORED
from companion.lessons.bert_family.experiments import HOPS, POINTERS, new_model, pointer_chasing
from companion.losses.masked import masked_loss
from companion.models.bert import BertConfig, BertForPreTraining
from companion.training import Optimization, Runtime, fit

BATCH, TEST, POINTS, RATE = 24, 500, 20, 1e-2
SIZES: dict[str, Any] = {"vocab_size": POINTERS + 1, "context_length": POINTERS * (1 + HOPS)}
NARROW, WIDE = {"n_heads": 2, "d_model": 32}, {"n_heads": 4, "d_model": 64}
SHARED = {"activation": "gelu"}  # as the others have it
MODELS = {
    "own": BertConfig.roberta(**SIZES, **NARROW, n_layers=4, pad_id=0),
    "half": BertConfig.roberta(**SIZES, **NARROW, n_layers=2, pad_id=0),
    "wide, one layer": BertConfig.roberta(**SIZES, **WIDE, n_layers=1, pad_id=0),
    "shared": BertConfig.albert(**SIZES, **NARROW, **SHARED, n_layers=4),
    "shared, twice the width": BertConfig.albert(**SIZES, **WIDE, **SHARED, n_layers=4),
}


@torch.no_grad()
def by_hops(model: BertForPreTraining) -> dict[str, float]:
    """Accuracy on held-out puzzles after each number of hops."""
    batch = pointer_chasing(TEST, torch.Generator().manual_seed(1_000_000))
    logits, _ = model.eval()(batch.inputs, None, batch.visible[:, 0])
    right = (logits.argmax(-1) == batch.targets)[batch.targets != IGNORED].float().view(TEST, HOPS, POINTERS)
    return {f"hops {k}": value for k, value in enumerate(right.mean((0, 2)).tolist(), start=1)}


def run(config: BertConfig, seed: int, steps: int) -> dict[str, Any]:
    """Train once and measure."""
    model = new_model(config, seed)
    draw = torch.Generator().manual_seed(seed)
    history = fit(
        model,
        (pointer_chasing(BATCH, draw) for _ in range(steps)),
        steps=steps,
        loss=masked_loss,
        learning_rate=RATE,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear"),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    part = steps // POINTS
    curve = [statistics.fmean(history.loss[i * part : (i + 1) * part]) for i in range(POINTS)]
    return {**by_hops(model), "curve": curve, "cpu_seconds": history.cpu_seconds}


def block_parameters(config: BertConfig) -> int:
    """Parameters inside the blocks."""
    return sum(p.numel() for p in new_model(config).bert.encoder.parameters())


def main() -> None:
    """Run every model with every seed, and write the table anew after each seed."""
    given = report.arguments(__doc__, steps=400)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in MODELS}
    for seed in range(given.seeds):
        for name, config in MODELS.items():
            runs[name].append(run(config, seed, given.steps))
            print(seed, name, {k: v for k, v in runs[name][-1].items() if k != "curve"}, flush=True)
        table = {
            name: {
                "block parameters": block_parameters(config),
                "width": config.d_model,
                "layers": config.n_layers,
                "runs": runs[name],
                "summary": report.summary([{k: v for k, v in one.items() if k != "curve"} for one in runs[name]]),
            }
            for name, config in MODELS.items()
        }
        task = {"pointers": POINTERS, "hops": HOPS, "batch": BATCH, "steps": given.steps, "learning rate": RATE}
        report.write("depth", {"task": task, "models": table})


if __name__ == "__main__":
    main()
