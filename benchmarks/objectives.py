"""Four objectives side by side: causal, masked, permutation and span, on the same stories for the same steps.

    python benchmarks/objectives.py

Each model has three layers of width 64 (T5 three in its encoder and three in its decoder) and reads the same stories in
the same batches. Two numbers are taken on held-out stories: the perplexity of the model's own objective, and that of
one and the same word of each story, hidden from each model as its objective hides words: the causal model sees what
stands to the left of it, the others all the rest of the story. What the world itself knows, either way, is beside.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import report
import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored
from companion.losses import causal_loss
from companion.losses.masked import Masked, mask_tokens, masked_loss
from companion.losses.permutation import Permuted, permutation_loss, permute
from companion.losses.spans import Seq2Seq, corrupt, sequence_loss
from companion.metrics.language_model import perplexity
from companion.models.bert import BertConfig, BertForPreTraining
from companion.models.gpt import GPT, GPTConfig
from companion.models.t5 import T5, T5Config
from companion.models.xlnet import XLNet, XLNetConfig
from companion.nn.initialization import sinusoidal_initialization
from companion.nn.masks import order_mask
from companion.storyworld import VERSION, World, rows, story_batches
from companion.storyworld.optimum import fill_in
from companion.storyworld.text_to_text import t5_learning_rates
from companion.training import Optimization, Runtime, fit

STEPS = 600
SIZES = {"n_layers": 3, "n_heads": 4, "d_model": 64}
HELD_OUT = 400
WORLD = World()
WORDS = len(WORLD.vocabulary)
MASK, END, START = WORDS, WORDS + 1, WORDS + 2
SENTINELS = list(range(WORDS + 3, WORDS + 27))
VOCABULARY = WORDS + 27  # the same for all, so that none has fewer tokens to choose from


def text(stories: Tensor) -> tuple[Tensor, Tensor]:
    """The ids of story rows, and where they are real."""
    return fill_ignored(stories), stories != IGNORED


def causal(stories: Tensor, _: torch.Generator) -> Tensor:
    """Each next token."""
    return stories


def masked(stories: Tensor, draw: torch.Generator) -> Masked:
    """15 % of the tokens, hidden."""
    return mask_tokens(*text(stories), mask_id=MASK, vocab_size=WORDS, special_ids=(0,), generator=draw)


def permuted(stories: Tensor, draw: torch.Generator) -> Permuted:
    """The last sixth of a random order."""
    return permute(*text(stories), generator=draw)


def spans(stories: Tensor, draw: torch.Generator) -> Seq2Seq:
    """15 % of the tokens, cut out in runs of three."""
    return corrupt(*text(stories), sentinel_ids=SENTINELS, end_id=END, start_id=START, generator=draw)


def hidden_causal(model: nn.Module, ids: Tensor, real: Tensor, place: Tensor) -> Tensor:
    """Logits of the word at ``place`` (batch,), given what stands before it: (batch, vocab)."""
    return model(ids, attention_mask=real)[torch.arange(len(ids)), place - 1]


def hidden_masked(model: nn.Module, ids: Tensor, real: Tensor, place: Tensor) -> Tensor:
    """The same, given all but itself."""
    inputs = ids.scatter(1, place[:, None], MASK)
    return model(inputs, None, real)[0][torch.arange(len(ids)), place]


def hidden_permuted(model: nn.Module, ids: Tensor, real: Tensor, place: Tensor) -> Tensor:
    """The same, as the last of an order in which all others come first."""
    order = torch.zeros_like(ids).scatter(1, place[:, None], 1)
    assert not bool(order_mask(order)[torch.arange(len(ids)), place, place].any())  # it does not see itself
    return model(ids, real, order=order, targets=place[:, None])[:, 0]


def hidden_span(model: nn.Module, ids: Tensor, real: Tensor, place: Tensor) -> Tensor:
    """The same, as a span of one token."""
    inputs = ids.scatter(1, place[:, None], SENTINELS[0])
    ends = torch.cat([inputs, torch.zeros_like(inputs[:, :1])], 1).scatter(1, real.sum(1, keepdim=True), END)
    seen = torch.cat([torch.ones_like(real[:, :1]), real], 1)
    begun = torch.tensor([[START, SENTINELS[0]]]).expand(len(ids), -1)
    return model(ends, begun, seen)[:, 1]


# Of each model's chapter or benchmark, at about this number of steps.
RATES = {"causal (GPT)": 8e-3, "masked (BERT)": 1e-2, "permutation (XLNet)": 1e-2, "span (T5)": 1e-2}
OBJECTIVES: dict[str, tuple[Callable[[], nn.Module], Callable[..., Any], Callable[..., Tensor], Callable[..., Tensor]]]
OBJECTIVES = {
    "causal (GPT)": (lambda: GPT(GPTConfig(VOCABULARY, 144, **SIZES)), causal, causal_loss, hidden_causal),
    "masked (BERT)": (
        lambda: BertForPreTraining(BertConfig(VOCABULARY, 144, **SIZES)),
        masked,
        masked_loss,
        hidden_masked,
    ),
    "permutation (XLNet)": (
        lambda: XLNet(XLNetConfig(VOCABULARY, **SIZES)),
        permuted,
        permutation_loss,
        hidden_permuted,
    ),
    "span (T5)": (lambda: T5(T5Config(VOCABULARY, **SIZES, start_id=START)), spans, sequence_loss, hidden_span),
}


def batches(make: Callable[..., Any], seed: int) -> Iterator[Any]:
    """Stories without end, as an objective asks for them."""
    draw = torch.Generator().manual_seed(seed)
    return (make(stories, draw) for stories in story_batches(WORLD, 16, seed))


def held_out_words(stories: Tensor, seed: int = 0) -> Tensor:
    """One place of each story, any but the first."""
    draw = torch.Generator().manual_seed(seed)
    lengths = (stories != IGNORED).sum(1)
    return 1 + (torch.rand(len(stories), generator=draw) * (lengths - 1)).long()


@torch.no_grad()
def run(name: str, seed: int, steps: int) -> dict[str, float]:
    """Train once and measure."""
    make_model, make_batch, loss, hidden = OBJECTIVES[name]
    torch.manual_seed(seed)
    model = make_model()
    body = getattr(model, "bert", model)
    if hasattr(body, "position_embedding"):
        sinusoidal_initialization(body)
    lr_multiplier = t5_learning_rates(SIZES["d_model"] // SIZES["n_heads"]) if isinstance(model, T5) else None
    with torch.enable_grad():
        history = fit(
            model,
            batches(make_batch, seed),
            steps=steps,
            loss=loss,
            learning_rate=RATES[name],
            optimization=Optimization("muon", weight_decay=0.0, schedule="linear", lr_multiplier=lr_multiplier),
            runtime=Runtime(device="cpu", seed=seed),
            progress=False,
        )
    told = rows(WORLD.stories(HELD_OUT, seed=1_000_000))
    own = loss(model, make_batch(told, torch.Generator().manual_seed(0))).item()
    ids, real = text(told)
    place = held_out_words(told)
    asked = ids[torch.arange(len(ids)), place]
    surprisal = -hidden(model, ids, real, place)[:, :WORDS].log_softmax(-1)[torch.arange(len(ids)), asked]
    return {
        "own perplexity": perplexity(own),
        "hidden word perplexity": perplexity(surprisal.mean().item()),
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": history.cpu_seconds,
    }


def floor() -> dict[str, float]:
    """What the world itself says of the same stories and the same words, from the left and from both sides."""
    stories = WORLD.stories(HELD_OUT, seed=1_000_000)
    place = held_out_words(rows(stories)).tolist()
    pairs = [(story, at - 1) for story, at in zip(stories, place, strict=True)]  # a row begins with one token more
    every = [value for story in stories for value in story.log_probs]
    left = [story.log_probs[at] for story, at in pairs]
    both = [math.log(fill_in(story.tokens, at, WORLD)[story.tokens[at]]) for story, at in pairs]
    return {
        "own perplexity": perplexity(-sum(every) / len(every)),
        "hidden word perplexity, from the left": perplexity(-sum(left) / len(left)),
        "hidden word perplexity, from both sides": perplexity(-sum(both) / len(both)),
    }


def main() -> None:
    """Run every objective with every seed, and write the table."""
    given = report.arguments(__doc__, steps=STEPS)
    result: dict = {"world": {"version": VERSION, "size": "small", "language": "en"}, "floor": floor()}
    result["objectives"] = {}
    for name in OBJECTIVES:
        runs = []
        for seed in range(given.seeds):
            runs.append(run(name, seed, given.steps))
            print(f"{name:>20}, seed {seed}: " + "  ".join(f"{k} {v:.3f}" for k, v in runs[-1].items()), flush=True)
        result["objectives"][name] = {"runs": runs, "summary": report.summary(runs)}
    report.write("objectives", result)


if __name__ == "__main__":
    main()
