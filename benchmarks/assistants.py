"""From a base model to an assistant: fine-tuning on replies, preferences, rewards, and computation at the reply.

    python benchmarks/assistants.py

The model is the story GPT that ships. Every seed gives the order of the demonstrations, the draws and the choice of
prompts; the requests are the same. All styles get equal demonstrations, steps and rates; preferences and rewards begin
with the same fine-tuned model and read equally many replies. The result goes to `benchmarks/results/assistants.json`,
for `book/algorithms/assistants.ipynb`. Seeds that the file has already are not computed again.
"""

import json
import time
from collections import Counter
from typing import Any

import report
from torch import nn

from companion import zoo
from companion.finetuning.grpo import Grpo
from companion.lessons.assistants.experiments import world as lab
from companion.storyworld.requests import Request

SUBJECT = "assistants"
DEMONSTRATIONS, HELD_OUT = 4_800, 2_400  # stories; about one in eight allows a request
VOTES = (1, 3, 5, 9, 15)


def looked_at(model: nn.Module, new: list[Request], seed: int) -> dict[str, dict[str, float]]:
    """What the likeliest replies and drawn ones are like."""
    ways = {"greedy": lab.replies(model, new), "drawn": lab.replies(model, new, seed)}
    return {way: lab.judge(new, [some[0] for some in written])._asdict() for way, written in ways.items()}


def votes(model: nn.Module, new: list[Request], seed: int) -> dict[str, float]:
    """Fraction of requests that the commonest answer of k replies gets right; the earlier one breaks a tie."""
    written = [[lab.answer_of(reply) for reply in some] for some in lab.replies(model, new, seed, VOTES[-1])]
    right = {}
    for k in VOTES:
        hits = [Counter(some[:k]).most_common(1)[0][0] == one.mood for one, some in zip(new, written, strict=True)]
        right[str(k)] = sum(hits) / len(hits)
    return right


def one_seed(known: list[Request], new: list[Request], seed: int) -> dict[str, Any]:
    """Every way of training, each judged on the held-out requests."""
    models = {style: lab.tuned(known, style, seed) for style in lab.STYLES}
    models["direct, prompts too"] = lab.tuned(known, "direct", seed, prompts_too=True)
    courses = {}
    for start, reward in (("mixed", "exact"), ("mixed", "random"), ("hedged", "exact"), ("hedged", "mentions")):
        name = f"{start}, {reward}"
        models[name], rounds = lab.reinforced(models[start], known, reward, seed)
        courses[name] = [one._asdict() for one in lab.course(known, rounds)]
    prompts = lab.ROUNDS * Grpo().prompts  # as many requests, and replies to each, as GRPO reads
    pairs = lab.preferences(models["mixed"], (known * (prompts // len(known) + 1))[:prompts], seed)
    models["mixed, preferences"] = lab.preferred(models["mixed"], pairs, seed)
    some = new[:150]
    return {
        "models": {name: looked_at(model, new, seed) for name, model in models.items()},
        "courses": courses,
        "pairs": len(pairs),
        "votes": {name: votes(models[name], some, seed) for name in ("direct", "mixed", "mixed, exact")},
    }


def examples(known: list[Request], new: list[Request]) -> list[dict[str, str]]:
    """Right answers to a few requests, and drawn replies before and after training with the flawed reward; one seed."""
    start = lab.tuned(known, "hedged", 0)
    hacked, _ = lab.reinforced(start, known, "mentions", 0)
    some = new[:8]
    both = zip(some, *(lab.replies(model, some, 0) for model in (start, hacked)), strict=True)
    return [{"right": one.mood, "before": " ".join(a), "after": " ".join(b)} for one, (a,), (b,) in both]


def main() -> None:
    """Run the seeds that the file lacks."""
    options = report.arguments(__doc__)
    known, new = lab.asked(DEMONSTRATIONS, "to learn from"), lab.asked(HELD_OUT, "held out")
    path = report.RESULTS / f"{SUBJECT}.json"
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {"seeds": {}}
    seeds = before["seeds"]
    base = zoo.load("storyworld-en")[0]
    table = {
        "demonstrations": len(known),
        "held_out": len(new),
        "last mood": sum(lab.last_mood(one) == one.mood for one in new) / len(new),
        "base": looked_at(base, new, 0),
        "examples": before.get("examples") or examples(known, new),
    }
    for seed in map(str, range(options.seeds)):
        if seed not in seeds:
            started = time.process_time()
            seeds[seed] = one_seed(known, new, int(seed))
            seeds[seed]["cpu_seconds"] = round(time.process_time() - started)
        report.write(SUBJECT, {**table, "seeds": seeds})


if __name__ == "__main__":
    main()
