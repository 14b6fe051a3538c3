"""How well one T5 learns four tasks put as text, and the gaps of stories: five seeds, beside what reads nothing.

    python benchmarks/t5.py

Models and trainings are those of `book/algorithms/t5.ipynb`. Written are 300 held-out stories in each task: BLEU and
exact match of translations into Chinese and into English, ROUGE-L and exact match of summaries, exact match of answers:
one question to each story, and then all questions that can be asked about it, by kind.
The seed draws weights, stories and batches; the held-out stories, questions and gaps are the same each time.
"""

import math

import report
import torch

from companion.losses.spans import sequence_loss
from companion.metrics.text import bleu, exact_match, rouge_l
from companion.models.t5 import T5, T5Config
from companion.storyworld import QUESTIONS, VERSION
from companion.storyworld.text_to_text import (
    ENGLISH,
    LONGEST,
    TEXT_TO_TEXT_TASKS,
    VOCABULARY,
    Text,
    examples,
    generate_texts,
    majority,
    question_example,
    span_corruption,
    span_corruption_batches,
    t5_learning_rates,
    task_mixture,
)
from companion.storyworld.views import questions, told
from companion.training import Optimization, Runtime, fit

CONFIG = T5Config(len(VOCABULARY), n_layers=2, n_heads=4, d_model=64, d_ff=128, context_length=LONGEST)
WEIGHTS = {"to Chinese": 3, "to English": 3, "summary": 1, "answer": 1}
HELD_OUT = ENGLISH.stories(300, seed=1_000_000)
TESTS = {task: examples(task, HELD_OUT) for task in TEXT_TO_TEXT_TASKS}
ALL_QUESTIONS = [question_example(question) for story in HELD_OUT for question in questions(story)]
GAPS = span_corruption(
    [told(story.told_in(("en", "zh")[i % 2])) for i, story in enumerate(HELD_OUT)], torch.Generator().manual_seed(5)
)


def trained(seed: int, batches: object, steps: int) -> tuple[T5, float]:
    """A new model and the processor seconds of its training."""
    torch.manual_seed(seed)
    model = T5(CONFIG)
    lr_multiplier = t5_learning_rates(CONFIG.d_model // CONFIG.n_heads)
    history = fit(
        model,
        batches,
        steps=steps,
        loss=sequence_loss,
        learning_rate=1e-2,
        optimization=Optimization("muon", weight_decay=0.0, schedule="linear", lr_multiplier=lr_multiplier),
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return model, history.cpu_seconds


def scores(written: dict[str, list[Text]]) -> dict[str, float]:
    """The numbers of one set of texts for each task."""
    found: dict[str, float] = {}
    for task, texts in written.items():
        wanted = [example.target for example in TESTS[task]]
        if task.startswith("to "):
            found[f"{task}, BLEU"] = bleu(texts, wanted).score
        if task == "summary":
            found[f"{task}, ROUGE-L"] = sum(map(rouge_l, texts, wanted)) / len(wanted)
        found[f"{task}, exact"] = exact_match(texts, wanted)
    return found


def by_kind(texts: list[Text]) -> dict[str, float]:
    """Exact match of answers to all questions, of each kind."""
    found = {}
    for kind in QUESTIONS:
        chosen = [i for i, example in enumerate(ALL_QUESTIONS) if example.kind == kind]
        wanted = [ALL_QUESTIONS[i].target for i in chosen]
        found[kind] = exact_match([texts[i] for i in chosen], wanted)
    return found


def main() -> None:
    """Run every seed, and write the table."""
    given = report.arguments(__doc__, steps=800, gap_steps=150)
    runs, answers = [], []
    for seed in range(given.seeds):
        model, seconds = trained(seed, task_mixture(WEIGHTS, 16, seed, HELD_OUT), given.steps)
        written = {task: generate_texts(model, [example.source for example in test]) for task, test in TESTS.items()}
        filler, gap_seconds = trained(seed, span_corruption_batches(16, seed, HELD_OUT), given.gap_steps)
        with torch.no_grad():
            perplexity = math.exp(sequence_loss(filler, GAPS).item())
        numbers = scores(written) | {"gaps, perplexity": perplexity}
        answers.append(by_kind(generate_texts(model, [example.source for example in ALL_QUESTIONS], at_most=4)))
        runs.append(numbers | {"cpu_seconds": seconds, "gaps, cpu_seconds": gap_seconds})
        print(seed, "  ".join(f"{name} {value:.3f}" for name, value in runs[-1].items()), flush=True)
        print(seed, answers[-1], flush=True)
    training = examples("answer", ENGLISH.stories(2000), seed=1)
    baselines = scores(
        {
            "summary": [told(story) for story in HELD_OUT],
            "answer": majority(training, TESTS["answer"]),
        }
    )
    table = {"world": {"version": VERSION, "size": "small"}, "weights": WEIGHTS, "baselines": baselines}
    table["one model"] = {"runs": runs, "summary": report.summary(runs)}
    table["answers"] = {
        "questions": {kind: sum(example.kind == kind for example in ALL_QUESTIONS) for kind in QUESTIONS},
        "most frequent": by_kind(majority(training, ALL_QUESTIONS)),
        "runs": answers,
        "summary": report.summary(answers),
    }
    report.write("t5", table)


if __name__ == "__main__":
    main()
