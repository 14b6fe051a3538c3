"""In-context learning of SmolLM2-135M-Instruct: shots, formats, order, labels, calibration, induction heads, chat.

    python benchmarks/in_context_learning.py

Each of five draws takes demonstrations of its own; all items of a task are asked after each prompt, whose keys and
values are computed once. An answer is right when greedy decoding begins with it. The small models of the last part are
trained on few dictionaries and on all that there are, with the same start, steps and batches, five seeds. The result
goes to `benchmarks/results/in_context_learning.json`, for `book/algorithms/in_context_learning.ipynb`: counts, not
texts. What the file has already is not computed again.
"""

import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import report
import torch

from companion import zoo
from companion.data.tokenization import ordinary_tokens
from companion.generation import generate
from companion.generation.in_context_learning import Format, Pair, SharedPrompt
from companion.generation.sampling import GREEDY, left_padded
from companion.lessons.in_context_learning import experiments
from companion.lessons.in_context_learning.experiments import ARROW, POLARITIES, REVIEW, TASKS, code, mispaired
from companion.metrics.heads import induction_score, repeated_tokens
from companion.nn.capture import ablate, capture

NAME = "smollm2-135m"
SHOTS = (1, 2, 4, 8)
MOST = SHOTS[-1]
DRAWS, ORDERS = 5, 6
REVIEWS = 48
RENAMED = (("blue", "green"), ("green", "blue"))  # words in the place of the polarities
HEADS = 5  # ablated together
RANDOM_SETS = 2  # per draw
CODES = 4  # per draw
TOKENS = 16  # of an answer in a chat
Answers = list[bool]


class Asker:
    """The model, asked after prompts."""

    def __init__(self) -> None:
        """Load the model."""
        self.model, self.tokenizer = zoo.load(NAME)

    def words(self, form: Format, shown: Sequence[Pair], asked: Sequence[Pair]) -> Answers:
        """Whether each answer is right, after these demonstrations."""
        shared = SharedPrompt(self.model, self.tokenizer, form.prompt(shown))
        return shared.writes([(form.query(given), output) for given, output in asked])

    def looked_up(self, pairs: Sequence[Pair]) -> float:
        """Mean probability of the right output among those shown, when each pair that was shown is asked again."""
        shared = SharedPrompt(self.model, self.tokenizer, ARROW.prompt(pairs))
        found = shared.log_probabilities([ARROW.query(given) for given, _ in pairs], [output for _, output in pairs])
        return found.diagonal().exp().mean().item()

    def reviews(self, shown: Sequence[Pair], texts: Sequence[str], labels: Sequence[str] = POLARITIES) -> list[float]:
        """Log-odds of the second label for each review, and last for one that says nothing."""
        shared = SharedPrompt(self.model, self.tokenizer, REVIEW.prompt(shown))
        found = shared.log_probabilities([REVIEW.query(text) for text in [*texts, "N/A"]], labels)
        return [round(value, 4) for value in (found[:, 1] - found[:, 0]).tolist()]

    def induction_heads(self) -> list[tuple[int, int]]:
        """Heads of the highest induction score on repeated random tokens."""
        passages = repeated_tokens(torch.tensor(ordinary_tokens(self.tokenizer)), texts=4, length=50, seed=0)
        with torch.no_grad(), capture(self.model) as record:
            self.model(passages)
        score = induction_score(record.attention)
        return [divmod(int(place), score.size(1)) for place in score.flatten().topk(HEADS).indices]


def shots(asker: Asker) -> dict[str, Any]:
    """Right answers by task, format and number of demonstrations: one list of items per draw."""
    table: dict[str, Any] = {}
    for name, task in TASKS.items():
        for form_name, form in (("arrow", ARROW), ("sentence", task.sentence)):
            rows: dict[str, list[Answers]] = {"0": [asker.words(form, [], task.test)]}
            for count in SHOTS:
                rows[str(count)] = [asker.words(form, task.draw(count, seed), task.test) for seed in range(DRAWS)]
            table[f"{name}, {form_name}"] = rows
    return table


def mispairings(asker: Asker) -> dict[str, list[Answers]]:
    """Right answers after demonstrations whose outputs have been dealt anew among them."""
    return {
        name: [asker.words(ARROW, mispaired(task.draw(MOST, seed), seed), task.test) for seed in range(DRAWS)]
        for name, task in TASKS.items()
    }


def orders(asker: Asker) -> dict[str, list[list[Answers]]]:
    """Right answers after the same four demonstrations in six orders, for each of five draws of the four."""
    table: dict[str, list[list[Answers]]] = {}
    for name in ("capital", "antonym"):
        task = TASKS[name]
        table[name] = []
        for seed in range(DRAWS):
            four, draw = task.draw(4, seed), random.Random(seed)
            table[name].append([asker.words(ARROW, draw.sample(four, 4), task.test) for _ in range(ORDERS)])
    return table


def heads(asker: Asker) -> dict[str, Any]:
    """Right answers without the induction heads and without as many others, by task; and a made-up code, looked up."""
    top = asker.induction_heads()
    config = asker.model.config
    every = [(layer, head) for layer in range(config.n_layers) for head in range(config.n_heads)]
    same = [one for one in every if one[0] in dict(top) and one not in top]
    others = [one for one in every if one not in top]
    table: dict[str, Any] = {"induction heads": top, "tasks": {}}
    for seed in range(DRAWS):
        draw = random.Random(seed)
        sets: dict[str, list[list[tuple[int, int]]]] = {"all heads": [[]], "the induction heads": [top]}
        sets["random heads of the same layers"] = [draw.sample(same, HEADS) for _ in range(RANDOM_SETS)]
        sets["random heads of all layers"] = [draw.sample(others, HEADS)]
        asked = {name: (task.draw(MOST, seed), task.test) for name, task in TASKS.items() if name != "French"}
        codes = [code(MOST, CODES * seed + number) for number in range(CODES)]
        for group, some in sets.items():
            for one in some:
                with ablate(asker.model, one):
                    scores = {name: statistics.fmean(asker.words(ARROW, *both)) for name, both in asked.items()}
                    scores["code"] = statistics.fmean(map(asker.looked_up, codes))
                for name, score in scores.items():
                    rows = table["tasks"].setdefault(name, {key: [[] for _ in range(DRAWS)] for key in sets})
                    rows[group][seed].append(round(score, 4))
    return table


def sentiment(asker: Asker) -> dict[str, Any]:
    """Log-odds of *positive* for each review, by shots and by what the labels of the demonstrations are."""
    data = experiments.opinions(REVIEWS)
    texts = [text for text, _ in data.test]
    swap = dict(zip(POLARITIES, POLARITIES[::-1], strict=True))
    table: dict[str, Any] = {"positive": [label == POLARITIES[1] for _, label in data.test]}
    table["shots"] = {"0": [asker.reviews([], texts)]}
    table["labels"] = {"swapped": [], "random": []} | {", ".join(names): [] for names in RENAMED}
    for seed in range(DRAWS):
        draw = random.Random(seed)
        shown = draw.sample(data.train, MOST)
        for count in SHOTS:
            table["shots"].setdefault(str(count), []).append(asker.reviews(shown[:count], texts))
        kinds = {
            "swapped": [(text, swap[label]) for text, label in shown],
            "random": [(text, draw.choice(POLARITIES)) for text, _ in shown],
        }
        for kind, some in kinds.items():
            table["labels"][kind].append(asker.reviews(some, texts))
        for names in RENAMED:  # each word once for either polarity, should one be the kinder anyway
            name_of = dict(zip(POLARITIES, names, strict=True))
            some = [(text, name_of[label]) for text, label in shown]
            table["labels"][", ".join(names)].append(asker.reviews(some, texts, names))
    return table


def chat(asker: Asker) -> dict[str, Answers]:
    """Right answers to a question in a chat, where the answer may stand anywhere in the first tokens."""
    table: dict[str, Answers] = {}
    stop = asker.tokenizer.token_to_id("<|im_end|>")
    for name, task in TASKS.items():
        asked = [zoo.chat_text(NAME, [{"role": "user", "content": task.question.format(x)}]) for x, _ in task.test]
        ids, real = left_padded([asker.tokenizer.encode(text).ids for text in asked])
        new = generate(asker.model, ids, TOKENS, attention_mask=real, decoding=GREEDY, stop=stop)[:, ids.size(1) :]
        written = [asker.tokenizer.decode(row, skip_special_tokens=True).lower() for row in new.tolist()]
        table[name] = [right.lower() in text for text, (_, right) in zip(written, task.test, strict=True)]
    return table


def dictionaries(asker: Asker) -> dict[str, Any]:
    """Small models that read few dictionaries, or all: right answers in dictionaries of their own and in new ones."""
    table: dict[str, Any] = {"few": [], "all": []}
    every = experiments.all_dictionaries()
    for seed in range(DRAWS):
        few = experiments.few_dictionaries(4, seed)
        new = experiments.texts(every, 400, seed=10**9 + seed)
        own = experiments.texts(few, 400, seed=10**9 + seed)
        for name, read in (("few", few), ("all", every)):
            model = experiments.dictionary_reader(read, seed)
            row = {"own": right_by_place(model, own if name == "few" else new), "new": right_by_place(model, new)}
            hits = experiments.output_probabilities(model, new).argmax(-1) == new[:, 1::2] - experiments.WORDS
            before = seen_before(new)
            row["new, shown before"] = [hits[before].float().mean().item()]
            row["new, not shown"] = [hits[~before].float().mean().item()]
            table[name].append({key: [round(one, 4) for one in values] for key, values in row.items()})
    return table


def right_by_place(model: Any, ids: torch.Tensor) -> list[float]:
    """Fraction of right answers after each number of pairs."""
    hits = experiments.output_probabilities(model, ids).argmax(-1) == ids[:, 1::2] - experiments.WORDS
    found: list[float] = hits.float().mean(0).tolist()
    return found


def seen_before(ids: torch.Tensor) -> torch.Tensor:
    """Whether the input of each pair stands in the text already: (texts, pairs)."""
    inputs = ids[:, ::2]
    return (inputs[:, :, None] == inputs[:, None, :]).tril(-1).any(-1)


PARTS: dict[str, Callable[[Asker], Any]] = {
    "shots": shots,
    "heads": heads,
    "sentiment": sentiment,
    "mispaired": mispairings,
    "dictionaries": dictionaries,
    "orders": orders,
    "chat": chat,
}


def main() -> None:
    """Compute the parts that the file lacks, and write it after each."""
    torch.set_num_threads(1)
    path = report.RESULTS / "in_context_learning.json"
    table = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    table = {"model": NAME} | {name: table[name] for name in (*PARTS, "cpu_seconds") if name in table}
    asker = Asker()
    seconds = table.setdefault("cpu_seconds", {})
    for name, part in PARTS.items():
        if name not in table:
            started = time.process_time()
            table[name] = part(asker)
            seconds[name] = round(time.process_time() - started)
            report.write("in_context_learning", table)
            print(name, seconds[name], flush=True)


if __name__ == "__main__":
    main()
