"""Exercises of ``book/algorithms/gpt.ipynb``."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.generation.beam_search import continuations
from companion.generation.sampling import next_token_probabilities
from companion.lessons.exercise_check import Exercise, Mistake
from companion.models.gpt import GPT, GPTConfig


def _logits_and_ids() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, 4, 5), (2, 6, 9), (3, 2, 7))
    return [
        (torch.randn(b, n, v, generator=generator), torch.randint(v, (b, n), generator=generator)) for b, n, v in shapes
    ]


def _shifted(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


SHIFTED_LOSS = Exercise(
    name="shifted-loss",
    task=(
        "From logits (batch, length, vocab) and the ids (batch, length) that produced them, return the mean negative "
        "log-likelihood of each token given those before it."
    ),
    reference=_shifted,
    cases=_logits_and_ids,
    mistakes=(
        Mistake(
            lambda logits, ids: F.cross_entropy(logits.flatten(0, 1), ids.flatten()),
            "You score position t against token t, which the model has just read. It must be asked for token t + 1.",
        ),
        Mistake(
            lambda logits, ids: F.cross_entropy(logits[:, 1:].flatten(0, 1), ids[:, :-1].flatten()),
            "You shift the wrong way: position t is scored against the token before it. The target comes after.",
        ),
        Mistake(
            lambda logits, ids: F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"),
            "You add the losses up. The mean does not depend on how long the text is.",
        ),
        Mistake(
            lambda logits, ids: -logits[:, :-1].softmax(-1).gather(-1, ids[:, 1:, None]).mean().log(),
            "You take the mean of the probabilities before the logarithm. Take each logarithm first, then the mean.",
        ),
    ),
)


def _top_p(logits: Tensor, p: float) -> Tensor:
    return next_token_probabilities(logits, top_p=p)


def _top_p_variant(logits: Tensor, p: float, *, include_crossing: bool = True, renormalise: bool = True) -> Tensor:
    ordered, order = logits.softmax(-1).sort(-1, descending=True)
    total = ordered.cumsum(-1)
    dropped = (total - ordered if include_crossing else total) >= p
    kept = torch.zeros_like(ordered).scatter(-1, order, ordered.masked_fill(dropped, 0.0))
    return kept / kept.sum(-1, keepdim=True) if renormalise else kept


def _threshold(logits: Tensor, p: float) -> Tensor:
    probabilities = logits.softmax(-1)
    kept = probabilities.masked_fill(probabilities < 1 - p, 0.0)
    return kept / kept.sum(-1, keepdim=True)


TOP_P = Exercise(
    name="top-p",
    task=(
        "From logits (vocab,) and p, return the distribution (vocab,) that keeps the smallest set of likeliest tokens "
        "whose probabilities reach p."
    ),
    reference=_top_p,
    cases=lambda: [
        (torch.tensor([2.0, 1.0, 0.5, -1.0]), 0.8),
        (torch.tensor([0.1, 3.0, 0.2, 0.3, 2.9]), 0.6),
        (torch.tensor([1.0, 0.9, 0.8, 0.7]), 0.5),
    ],
    mistakes=(
        Mistake(
            lambda logits, p: _top_p_variant(logits, p, renormalise=False),
            "What is kept must be scaled to sum to 1 again, or it is no distribution.",
        ),
        Mistake(
            lambda logits, p: _top_p_variant(logits, p, include_crossing=False),
            "The token that carries the sum across p belongs to the set: without it the set does not reach p.",
        ),
        Mistake(
            _threshold,
            "You cut by each token's own probability. Top-p cuts by the sum over the likelier tokens.",
        ),
    ),
)


def _beam_step(live: Tensor, log_probs: Tensor) -> list[tuple[int, int]]:
    _, beam, token = continuations(live[None], log_probs, len(live))
    return list(zip(beam[0].tolist(), token[0].tolist(), strict=True))


def _best_pairs(scores: Tensor) -> list[tuple[int, int]]:
    best = scores.flatten().topk(len(scores)).indices
    return [divmod(i, scores.size(1)) for i in best.tolist()]


BEAM_STEP = Exercise(
    name="beam-step",
    task=(
        "From live (beams,), the log-probability of each text so far, and log_probs (beams, vocab) of the next tokens, "
        "return the `beams` best longer texts as a list of pairs (beam, token), the best first."
    ),
    reference=_beam_step,
    cases=lambda: [
        (torch.tensor([0.6, 0.4]).log(), torch.tensor([[0.35, 0.4, 0.25], [0.9, 0.04, 0.06]]).log()),
        (torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([[0.5, 0.5], [0.1, 0.9], [0.7, 0.3]]).log()),
        (torch.tensor([-4.0, -1.0]), torch.tensor([[-0.1, -3.0, -4.0, -5.0], [-1.2, -0.9, -2.5, -2.0]])),
    ],
    mistakes=(
        Mistake(
            lambda live, log_probs: _best_pairs(log_probs),
            "You forget how probable each text was before. Add its log-probability to those of its next tokens.",
        ),
        Mistake(
            lambda live, log_probs: [(i, int(row.argmax())) for i, row in enumerate(log_probs)],
            "You continue each beam with its own best token. The beams compete: one may give two, another none.",
        ),
        Mistake(
            lambda live, log_probs: sorted(_beam_step(live, log_probs)),
            "The right pairs, in another order: the best comes first.",
        ),
        Mistake(
            lambda live, log_probs: [(token, beam) for beam, token in _beam_step(live, log_probs)],
            "Each pair names the beam first and the token second.",
        ),
        Mistake(
            lambda live, log_probs: _best_pairs(live[:, None] * log_probs),
            "Log-probabilities of what comes one after the other are added, as probabilities are multiplied.",
        ),
    ),
)


def _cached_positions(prompt: int, new: int) -> tuple[int, int]:
    return sum(range(prompt, prompt + new)), prompt + new - 1


CACHE_COST = Exercise(
    name="cache-cost",
    task=(
        "For a prompt of `prompt` tokens and `new` generated ones, return a pair: how many positions the model "
        "computes without a cache, and how many with one."
    ),
    reference=_cached_positions,
    cases=lambda: [(5, 1), (5, 3), (1, 10), (100, 28)],
    mistakes=(
        Mistake(
            lambda prompt, new: (sum(range(prompt + 1, prompt + new + 1)), prompt + new),
            "The last token drawn is never fed back: one position fewer with the cache, and each run without it is "
            "one shorter.",
        ),
        Mistake(
            lambda prompt, new: (new * prompt, prompt + new - 1),
            "Without a cache the text grows: the second run computes prompt + 1 positions, not prompt again.",
        ),
        Mistake(
            lambda prompt, new: (sum(range(prompt, prompt + new)), new),
            "The prompt itself must be computed too, once, before its keys and values are in the cache.",
        ),
    ),
)


@cache  # the same sizes come in every check
def _parameters(vocab_size: int, context_length: int, n_layers: int, d_model: int) -> int:
    with torch.device("meta"):  # shapes without memory
        model = GPT(GPTConfig(vocab_size, context_length, n_layers, n_heads=1, d_model=d_model))
    return sum(p.numel() for p in model.parameters())


PARAMETERS = Exercise(
    name="gpt-parameters",
    task=(
        "From vocab_size, context_length, n_layers and d_model (with d_ff = 4 d_model), return how many numbers GPT-2 "
        "learns."
    ),
    reference=_parameters,
    cases=lambda: [(11, 7, 1, 4), (100, 32, 3, 16), (50257, 1024, 12, 768)],
    mistakes=(
        Mistake(
            lambda v, n, layers, d: _parameters(v, n, layers, d) + v * d,
            "The matrix that makes the logits is the token embedding itself, transposed: count it once.",
        ),
        Mistake(
            lambda v, n, layers, d: _parameters(v, n, layers, d) - n * d,
            "Something that depends on the context length is missing: each position has a learned vector too.",
        ),
        Mistake(
            lambda v, n, layers, d: v * d + n * d + layers * 12 * d * d,
            "The matrices are right. Biases and the norms' scales and shifts are learned as well.",
        ),
        Mistake(
            lambda v, n, layers, d: _parameters(v, n, layers, d) - 2 * d,
            "One norm stands after the last block.",
        ),
    ),
)


Messages = list[dict[str, str]]


def _chat(messages: Messages) -> str:
    written = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return written + "<|im_start|>assistant\n"


def _chats() -> list[tuple[Messages]]:
    hello = {"role": "user", "content": "Hello."}
    answer = {"role": "assistant", "content": "Good morning."}
    return [
        ([hello],),
        ([{"role": "system", "content": "You answer briefly."}, hello],),
        ([hello, answer, {"role": "user", "content": "What is two and two?"}],),
    ]


CHAT_TEMPLATE = Exercise(
    name="chat-template",
    task=(
        "From `messages`, a list of dicts with `role` and `content`, return the text of the chat: each message between "
        "its marks, and then the line that opens the assistant's message."
    ),
    reference=_chat,
    cases=_chats,
    mistakes=(
        Mistake(
            lambda messages: _chat(messages).removesuffix("<|im_start|>assistant\n"),
            "Every message is there. The text must go on with the line that opens the assistant's message.",
        ),
        Mistake(
            lambda messages: _chat(messages) + "<|im_end|>\n",
            "You end the assistant's message before it has begun: the model is to write that mark.",
        ),
        Mistake(
            lambda messages: _chat(messages).replace("<|im_end|>\n", "<|im_end|>"),
            "After the mark that ends a message a new line begins.",
        ),
        Mistake(
            lambda messages: _chat(messages[-1:]),
            "Only the last message is there. The model remembers nothing: the whole chat is its text, every time.",
        ),
        Mistake(
            lambda messages: _chat([{**m, "role": "user"} for m in messages]),
            "Every message is the user's in yours. Its own role stands behind its first mark.",
        ),
    ),
)


EXERCISES = (
    SHIFTED_LOSS,
    PARAMETERS,
    TOP_P,
    BEAM_STEP,
    CACHE_COST,
    CHAT_TEMPLATE,
)
