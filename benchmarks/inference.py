"""What rounding weights costs, and what guesses save: a published model and, as the control, weights never rounded.

    python benchmarks/inference.py

Rounding: the loss of SmolLM2-135M on eight windows of held-out prose, whose file has codes of 4 bits (a scale and an
offset for each block of 32), after its weights are rounded once more to each grid. The control is the book's GPT of
prose, whose weights were never rounded: each grid once, and one grid after the other. Differences are paired by window.
Guesses: greedy answers of SmolLM2 to five requests for a copy and to five questions, by prompt lookup; counted are
tokens and runs of the model. Intervals are 95 %, over windows or requests.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import report
import torch
from torch import Tensor, nn

from companion import zoo
from companion.data import prose
from companion.generation import GREEDY
from companion.generation.continued import Continued
from companion.generation.draws import seeded_draw
from companion.generation.speculative import prompt_lookup, speculate
from companion.metrics.confidence import interval
from companion.nn.quantization import Grid, rounded_weights

MODEL, CONTROL = "smollm2-135m", "prose"
WINDOWS, LENGTH = 8, 256
AGAIN = {  # grids for SmolLM2's matrices; the token embedding, 8 bits in the file, stays in 8 bits
    "8 bits": Grid(8),
    "4 bits, the file's grid": Grid(4, 32, offset=True),
    "4 bits, symmetric": Grid(4),
    "4 bits, blocks of 16": Grid(4, 16, offset=True),
    "4 bits, blocks of 64": Grid(4, 64, offset=True),
    "6 bits, symmetric": Grid(6),
}
OFFSET, SYMMETRIC = Grid(4, 16, offset=True), Grid(4, 16)  # the control's matrices are 144 wide
CHAINS = {
    "offset": (OFFSET,),
    "symmetric": (SYMMETRIC,),
    "offset, then symmetric": (OFFSET, SYMMETRIC),
    "offset, then offset": (OFFSET, OFFSET),
}
COPIES = (
    "Tom went to the market and bought ten red apples. Mary asked him for two of the apples, and Tom gave her two.",
    "The train to Lisbon leaves at nine. The train to Porto leaves at ten. Both trains leave from the third platform.",
    "Water boils when it is hot enough. Water freezes when it is cold enough. In between, water is a liquid.",
    "A good bread needs flour, water, salt and time. Mix the flour and the water, wait, add the salt, and wait again.",
    "Her letter came on Monday. My answer left on Tuesday. On Friday she had read my answer and wrote another letter.",
)
QUESTIONS = (
    "Why is the sky blue?",
    "Write a short story about a fox.",
    "How do I make tea?",
    "What should I see in Paris?",
    "Explain what a library is.",
)


def windows(tokenizer: Any, length: int) -> Tensor:
    """Windows (WINDOWS, length) of held-out prose."""
    stream = prose.token_stream(tokenizer, prose.split(prose.documents())[1])
    return stream[: WINDOWS * length].reshape(WINDOWS, length)


@torch.no_grad()
def losses(model: nn.Module, ids: Tensor) -> list[float]:
    """Cross-entropy of each window, in nats per token."""
    return [torch.nn.functional.cross_entropy(model(row[None])[0, :-1], row[1:]).item() for row in ids]


def compared(found: list[float], before: list[float]) -> dict[str, Any]:
    """Losses of the windows, and the interval of how much they rose."""
    more = [a - b for a, b in zip(found, before, strict=True)]
    return {"losses": found, "more": list(interval(more))}


def again(model: nn.Module, ids: Tensor) -> dict[str, Any]:
    """SmolLM2 as its file has it, and after each grid."""
    own = losses(model, ids)
    rows: dict[str, Any] = {"as in the file": {"losses": own}}
    for name, grid in AGAIN.items():
        with rounded_weights(model, of_matrices(grid)) as n_bytes:
            rows[name] = compared(losses(model, ids), own) | {"megabytes": n_bytes / 1e6}
        print(name, rows[name]["more"], flush=True)
    return rows


def of_matrices(grid: Grid) -> Callable[[str], Grid]:
    """The grid for all matrices but the token embedding, which gets 8 bits."""
    return lambda name: Grid(8) if name == "token_embedding.weight" else grid


def chains(model: nn.Module, ids: Tensor) -> dict[str, Any]:
    """The control: grids one after the other on weights that were never rounded."""
    own = losses(model, ids)
    rows: dict[str, Any] = {"never rounded": {"losses": own}}
    for name, grids in CHAINS.items():
        with ExitStack() as stack:
            for grid in grids:
                stack.enter_context(
                    rounded_weights(model, lambda name, grid=grid: None if "embedding" in name else grid)
                )
            rows[name] = compared(losses(model, ids), own)
        print(name, rows[name]["more"], flush=True)
    return rows


def guesses(model: Any, tokenizer: Any, request: str) -> dict[str, Any]:
    """Tokens and runs of one greedy answer of at most 60 tokens."""
    ids = tokenizer.encode(zoo.chat_text(MODEL, [{"role": "user", "content": request}])).ids
    stop, reader = tokenizer.token_to_id("<|im_end|>"), Continued(model, GREEDY)
    draft = prompt_lookup(model.config.vocab_size)
    text, rounds = speculate(
        ids, 60, target=reader.probabilities, draft=draft, draw=seeded_draw(0), lookahead=8, stop=stop
    )
    print(request[:40], len(text) - len(ids), len(rounds), flush=True)
    return {"request": request, "tokens": len(text) - len(ids), "runs": len(rounds)}


def per_run(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Requests and the interval of tokens per run."""
    return {"requests": rows, "tokens per run": list(interval([row["tokens"] / row["runs"] for row in rows]))}


def main() -> None:
    """Measure both, and write the results."""
    report.arguments(__doc__)
    control, of_control = zoo.load(CONTROL)
    rows = {"control": chains(control, windows(of_control, control.config.context_length))}
    model, tokenizer = zoo.load(MODEL)
    rows["again"] = again(model, windows(tokenizer, LENGTH))
    copies = [guesses(model, tokenizer, f"Repeat this text, word for word: {text}") for text in COPIES]
    asked = [guesses(model, tokenizer, question) for question in QUESTIONS]
    lookup = {"copies": per_run(copies), "questions": per_run(asked)}
    report.write("inference", {"model": MODEL, "windows": WINDOWS, "length": LENGTH, **rows, "lookup": lookup})


if __name__ == "__main__":
    main()
