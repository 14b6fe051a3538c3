"""Fine-tuning SmolLM2-135M-Instruct with LoRA on a few answers: what of it is form, and what is knowledge.

    python benchmarks/assistants_lora.py

Every seed gives the pairs that are shown, their order and the adapters. All adapters get equal steps, rates and
batches: on eight right pairs, on eighteen, and on the same eighteen with the answers exchanged, which teach the form
alone. The same eight stand as earlier turns in the chat of the published model. Asked are thirty held-out words of the
task, and thirty of another one that no adapter was trained on. The rate is that of the best of three on a third task.
The result goes to `benchmarks/results/assistants_lora.json`, for `book/algorithms/assistants.ipynb`. Seeds that the
file has already are not computed again.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

import report

from companion import zoo
from companion.generation.in_context_learning import Pair
from companion.lessons.assistants.experiments import published as lab
from companion.lessons.in_context_learning.experiments import TASKS, mispaired

SUBJECT = "assistants_lora"
TASK, OTHER, TUNED_ON = "past tense", "capital", "antonym"
FEW = 8
RATES = (3e-4, 1e-3, 3e-3)


def asked(model: Any, shown: Sequence[Pair] = ()) -> dict[str, dict[str, float]]:
    """What the replies to the held-out words of the task are like, and to those of the other one."""
    _, tokenizer = zoo.load(lab.NAME)
    replies = {name: lab.replies(model, tokenizer, task, shown) for name, task in (("task", TASK), ("other", OTHER))}
    return {"task": lab.judge(TASK, replies["task"])._asdict(), "other": lab.judge(OTHER, replies["other"])._asdict()}


def one_seed(seed: int) -> dict[str, Any]:
    """The published model with examples in the chat, and three ways of training it."""
    every = TASKS[TASK].train
    few = TASKS[TASK].draw(FEW, seed)
    return {
        "examples in the chat": asked(zoo.load(lab.NAME)[0], few),
        "LoRA, 8 pairs": asked(lab.adapted(TASK, few, seed)),
        "LoRA, 18 pairs": asked(lab.adapted(TASK, every, seed)),
        "LoRA, 18 exchanged": asked(lab.adapted(TASK, mispaired(every, seed), seed)),
    }


def tuning() -> dict[str, dict[str, float]]:
    """Replies on the task that the rate was chosen on, by rate; one seed."""
    _, tokenizer = zoo.load(lab.NAME)
    found = {}
    for rate in RATES:
        model = lab.adapted(TUNED_ON, TASKS[TUNED_ON].train, 0, rate=rate)
        found[str(rate)] = lab.judge(TUNED_ON, lab.replies(model, tokenizer, TUNED_ON))._asdict()
    return found


def main() -> None:
    """Run the seeds that the file lacks."""
    options = report.arguments(__doc__)
    path = report.RESULTS / f"{SUBJECT}.json"
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {"seeds": {}}
    seeds = before["seeds"]
    table = {
        "tuning": before.get("tuning") or tuning(),
        "published": before.get("published") or asked(zoo.load(lab.NAME)[0]),
    }
    for seed in map(str, range(options.seeds)):
        if seed not in seeds:
            started = time.process_time()
            seeds[seed] = one_seed(int(seed))
            seeds[seed]["cpu_seconds"] = round(time.process_time() - started)
        report.write(SUBJECT, {**table, "seeds": seeds})


if __name__ == "__main__":
    main()
