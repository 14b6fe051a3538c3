"""Experiments of ``book/algorithms/assistants.ipynb``: demonstrations, preferences, rewards, and judged replies."""

import copy
import random
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor, nn

from companion import zoo
from companion.data.batch import IGNORED, padded
from companion.data.tokenization import END_OF_TEXT
from companion.data.vocabulary import Vocabulary
from companion.finetuning.grpo import Grpo, Reward, Round, grpo, write_answers
from companion.generation import GREEDY, Sampling
from companion.losses.causal import Completions, answer_log_probs, causal_loss, completion_loss, completions
from companion.losses.preference import dpo_loss
from companion.models.gpt import GPT
from companion.storyworld import World
from companion.storyworld.lexicon import MOODS
from companion.storyworld.requests import Request, is_right, requests
from companion.storyworld.state import State
from companion.training import fit

WORLD = World()
WORDS = Vocabulary(WORLD.vocabulary)
END = WORDS.number(END_OF_TEXT)
STYLES = ("direct", "worked", "padded", "mixed", "hedged")
ROOM = 6  # tokens of a reply, at most
BATCH = 16
STEPS = 150  # of supervised fine-tuning
RATE = 1e-3  # the same for every style
HEDGES = 0.2  # fraction of the demonstrations "hedged" that name a second mood
GROUP = 8  # replies to a prompt
ROUNDS = 30  # of GRPO
UPDATES = 60  # of DPO: as many as GRPO's, two a round
BETA = 0.1  # of DPO

Reply = tuple[str, ...]


def asked(n: int, seed: str) -> list[Request]:
    """Requests about ``n`` stories; about one story in eight allows one."""
    return requests(WORLD.stories(n, seed))


def prompt(request: Request) -> list[int]:
    """What the story GPT reads before it replies."""
    return [END, *WORDS.encode(request.prompt)]


def demonstration(request: Request, style: str, draw: random.Random) -> Reply:
    """A right reply in one of ``STYLES``; "hedged" is now and then a reply that names two moods."""
    if style == "mixed":
        style = draw.choice(("direct", "worked"))
    if style == "hedged" and draw.random() < HEDGES:
        moods = [request.mood, draw.choice([mood for mood in MOODS if mood != request.mood])]
        return (*draw.sample(moods, 2), ".", END_OF_TEXT)
    working = {"worked": [request.holder], "padded": ["the"]}.get(style, [])
    return request.reply(*working)


def demonstrations(known: Sequence[Request], style: str, seed: int) -> Iterator[Completions]:
    """Batches of requests with their replies, without end."""
    draw = random.Random(seed)
    while True:
        order = draw.sample(known, len(known))
        for some in (order[i : i + BATCH] for i in range(0, len(order) - BATCH + 1, BATCH)):
            replies = [WORDS.encode(demonstration(one, style, draw)) for one in some]
            yield completions([prompt(one) for one in some], replies)


def whole(batch: Completions) -> Tensor:
    """Rows for the causal loss over prompt and answer alike, padded with ``IGNORED``."""
    lengths = (batch.targets != IGNORED).long() * torch.arange(1, batch.targets.size(1) + 1)
    rows = [
        [*ids[:n].tolist(), int(targets[n - 1])]
        for ids, targets, n in zip(batch.inputs, batch.targets, lengths.amax(1).tolist(), strict=True)
    ]
    return padded(rows, IGNORED)[0]


def tuned(known: Sequence[Request], style: str, seed: int = 0, *, steps: int = STEPS, prompts_too: bool = False) -> GPT:
    """The story GPT after supervised fine-tuning on demonstrations.

    Args:
        known: requests to learn from.
        style: of the replies.
        seed: of the order of the demonstrations.
        steps: of the optimizer.
        prompts_too: whether the prompts' tokens are targets as well.
    """
    model: GPT = zoo.load("storyworld-en")[0]
    batches = demonstrations(known, style, seed)
    if prompts_too:
        fit(model, map(whole, batches), steps=steps, loss=causal_loss, learning_rate=RATE, progress=False)
    else:
        fit(model, batches, steps=steps, loss=completion_loss, learning_rate=RATE, progress=False)
    return model


def replies(model: nn.Module, new: Sequence[Request], seed: int | None = None, each: int = 1) -> list[list[Reply]]:
    """Replies of a model, ``each`` to every request: the likeliest tokens, or draws where a seed is given."""
    decoding = GREEDY if seed is None else Sampling(seed=seed)
    written = []
    for some in (new[i : i + 50] for i in range(0, len(new), 50)):
        rows = [prompt(one) for one in some for _ in range(each)]
        found = [tuple(WORDS.decode(row)) for row in write_answers(model, rows, ROOM, END, decoding)]
        written += [found[i : i + each] for i in range(0, len(found), each)]
        decoding = decoding if seed is None else Sampling(seed=seed + len(written))
    return written


class Judged(NamedTuple):
    """What replies are like, as fractions.

    Attributes:
        right: right by the exact checker.
        mentioned: the right mood is somewhere in the reply.
        stopped: the reply ends by itself.
        worked: a person is named before the mood.
    """

    right: float
    mentioned: float
    stopped: float
    worked: float


def judge(new: Sequence[Request], written: Sequence[Reply]) -> Judged:
    """Fractions over some replies, one to each request."""
    people = WORLD.process.people
    return Judged(
        fmean(is_right(one, reply) for one, reply in zip(new, written, strict=True)),
        fmean(one.mood in reply for one, reply in zip(new, written, strict=True)),
        fmean(reply[-1] == END_OF_TEXT for reply in written),
        fmean(reply[0] in people for reply in written),
    )


def exact(request: Request, reply: Reply) -> float:
    """Reward of the exact checker."""
    return float(is_right(request, reply))


def mentions(request: Request, reply: Reply) -> float:
    """Flawed reward: the right mood is among the words of the reply."""
    return float(request.mood in reply)


REWARDS = {"exact": exact, "mentions": mentions}


def rewarded(known: Sequence[Request], name: str, seed: int) -> Reward:
    """A reward for :func:`companion.finetuning.grpo.grpo`: one of ``REWARDS``, or "random", which reads nothing."""
    coin = random.Random(seed)
    if name == "random":
        return lambda number, answer: float(coin.random() < 0.5)
    return lambda number, answer: REWARDS[name](known[number], tuple(WORDS.decode(answer)))


def reinforced(
    start: GPT, known: Sequence[Request], reward: str, seed: int = 0, rounds: int = ROUNDS
) -> tuple[GPT, list[Round]]:
    """A copy of a model after GRPO with a reward, and the rounds of its training."""
    model = copy.deepcopy(start)
    settings = Grpo(steps=rounds, group_size=GROUP, max_new_tokens=ROOM)
    prompts = [prompt(one) for one in known]
    return model, grpo(model, prompts, rewarded(known, reward, seed), stop=END, settings=settings, seed=seed)


def course(known: Sequence[Request], rounds: Sequence[Round]) -> list[Judged]:
    """What the replies of each round were like."""
    words = [[tuple(WORDS.decode(answer)) for answer in one.answers] for one in rounds]
    return [judge([known[i] for i in one.prompts], written) for one, written in zip(rounds, words, strict=True)]


class Pair(NamedTuple):
    """Two replies to a request, of which the checker prefers the first."""

    request: Request
    chosen: Reply
    rejected: Reply


def preferences(start: GPT, known: Sequence[Request], seed: int = 0) -> list[Pair]:
    """Pairs of a right and a wrong reply to one request, both drawn from the model: as many as can be matched."""
    pairs = []
    for one, written in zip(known, replies(start, known, seed, GROUP), strict=True):
        good = [reply for reply in written if is_right(one, reply)]
        bad = [reply for reply in written if not is_right(one, reply)]
        pairs += [Pair(one, *both) for both in zip(good, bad, strict=False)]
    return pairs


def preference_batches(start: GPT, pairs: Sequence[Pair], seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches without end: inputs and targets, the chosen replies first, and log-probabilities under the start."""
    draw, reference = random.Random(seed), copy.deepcopy(start).eval()
    while True:
        some = draw.sample(pairs, min(BATCH, len(pairs)))
        answers = [WORDS.encode(one.chosen) for one in some] + [WORDS.encode(one.rejected) for one in some]
        batch = completions([prompt(one.request) for one in some] * 2, answers)
        with torch.no_grad():
            before = answer_log_probs(reference, batch).sum(1)
        yield *batch, before


def preference_loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """DPO loss of a batch of :func:`preference_batches`."""
    inputs, targets, reference = batch
    chosen, rejected = answer_log_probs(model, Completions(inputs, targets)).sum(1).chunk(2)
    before = reference.chunk(2)
    return dpo_loss(chosen, rejected, before[0], before[1], beta=BETA)


def preferred(start: GPT, pairs: Sequence[Pair], seed: int = 0, updates: int = UPDATES) -> GPT:
    """A copy of a model after DPO on pairs of replies."""
    model = copy.deepcopy(start)
    batches = preference_batches(start, pairs, seed)
    fit(model, batches, steps=updates, loss=preference_loss, learning_rate=Grpo().learning_rate, progress=False)
    return model


def answer_of(reply: Reply) -> str:
    """The mood that a reply ends with; "" where it ends with none."""
    word = reply[-3] if len(reply) > 2 and reply[-2:] == (".", END_OF_TEXT) else ""
    return word if word in MOODS else ""


def last_mood(request: Request) -> str:
    """The mood that the story tells last: an answer that looks at nothing else."""
    return next(word for word in reversed(request.prompt) if word in MOODS)


@torch.no_grad()
def misled(model: nn.Module, new: Sequence[Request]) -> tuple[int, int, int]:
    """The likeliest mood after a wrong name in the place of the working.

    The name is of another person of the story, who feels differently.

    Returns:
        how often it is the mood of the name that was written; how often that of the person who has the thing; and the
        number of requests, of which each has such a person.
    """
    follows, stays = 0, 0
    for one in new:
        mood = State.after(WORLD.read(one.prompt[:-4])).mood
        name = next(person for person, felt in mood.items() if felt != one.mood)
        logits = model(torch.tensor([[*prompt(one), *WORDS.encode([name])]]))[0, -1]
        said = WORLD.vocabulary[int(logits.argmax())]
        follows += said == mood[name]
        stays += said == one.mood
    return follows, stays, len(new)
