"""What RoBERTa, ALBERT and DistilBERT change, measured on the story world with five seeds.

    python benchmarks/bert_family.py

Models and training are those of `book/algorithms/bert_family.ipynb`, with more steps for the four models. The result
goes to `benchmarks/results/bert_family.json`: for each model and seed the held-out accuracy on masked words, that of
its sentence head, its parameters and the processor time of a step; the same for a RoBERTa whose layers share one block;
for each way of masking the accuracy on its own masks, on other masks of the same stories and on new stories; what a
student that begins as every second layer of the trained BERT knows, before and after a short training; and how often
counting words, watching names, and knowing the process answer the two questions about pairs of sentences.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import report
import torch
from torch import Tensor

from companion.data.batch import IGNORED, padded
from companion.data.batching import length_buckets
from companion.data.vocabulary import Vocabulary
from companion.losses.masked import Masked, mask_tokens, masked_loss
from companion.losses.sentences import (
    next_sentence_pairs,
    pretraining_batch,
    pretraining_loss,
    sentence_order_pairs,
)
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.models.bert import BertConfig, BertForPreTraining
from companion.nn.initialization import sinusoidal_initialization
from companion.storyworld import VERSION, World
from companion.storyworld.optimum import best_label
from companion.storyworld.tasks import CLASSIFICATION_TASKS, SEPARATOR, Example, split
from companion.storyworld.views import sentences
from companion.training import Optimization, Runtime, fit

WORLD = World()
VOCABULARY = Vocabulary([*WORLD.vocabulary, "[CLS]", "[SEP]", "[MASK]"])
CLS, SEP, MASK = (VOCABULARY.number(token) for token in ("[CLS]", "[SEP]", "[MASK]"))
MASKING: dict[str, Any] = {"mask_id": MASK, "vocab_size": len(VOCABULARY), "special_ids": (0, 1, CLS, SEP)}
FRAME = {"cls_id": CLS, "sep_id": SEP}
PAIRS = {"next": next_sentence_pairs, "order": sentence_order_pairs}
SIZES: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "context_length": 160,
    "n_layers": 4,
    "n_heads": 4,
    "d_model": 64,
    "d_ff": 128,
}
MODELS = {
    "bert": ("next", BertConfig(**SIZES)),
    "roberta": ("stories", BertConfig.roberta(**SIZES, pad_id=0)),
    "albert": ("order", BertConfig.albert(**SIZES, d_embedding=32)),
    "distilbert": ("stories", BertConfig.distilbert(**SIZES | {"n_layers": 2})),
    "one shared block": ("stories", BertConfig.albert(**SIZES, activation="gelu")),
}
MUON = Optimization("muon", weight_decay=0.0, schedule="linear")
ADAMW = replace(MUON, optimizer="adamw")
FEW, MASKING_STEPS, STUDENT_STEPS = 48, 150, 60


class Texts(NamedTuple):
    """Stories as one row each: token numbers and which of them are real, both (stories, longest)."""

    ids: Tensor
    real: Tensor


def documents(n: int, seed: int) -> list[list[list[int]]]:
    """Stories as lists of sentences."""
    return [[VOCABULARY.encode(s) for s in sentences(story)] for story in WORLD.stories(n, seed)]


def texts(docs: list[list[list[int]]]) -> Texts:
    """Whole stories, framed as BERT frames a text."""
    return Texts(*padded([[CLS, *(i for sentence in doc for i in sentence), SEP] for doc in docs]))


def batches(docs: list[list[list[int]]], task: str, seed: int, size: int = 16) -> Iterator[Any]:
    """Deal documents out without end, masked anew each time."""
    draw = torch.Generator().manual_seed(seed)
    for rows in length_buckets([sum(map(len, doc)) for doc in docs], size, seed):
        some = [docs[i] for i in rows]
        if task == "stories":
            yield mask_tokens(*texts(some), **MASKING, generator=draw)
        else:
            pairs = PAIRS[task](some, **FRAME, generator=draw)
            yield pretraining_batch(pairs, **MASKING, generator=draw)


def repeated(masks: list[Masked], seed: int) -> Iterator[Masked]:
    """Deal the rows of ``masks`` out, each epoch those of the next one."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        for one in masks:
            for rows in torch.randperm(len(one.inputs), generator=draw).split(16):
                yield Masked(*(part[rows] for part in one))


@torch.no_grad()
def accuracy(model: BertForPreTraining, batch: Any) -> dict[str, float]:
    """The fraction of masked words that are guessed right, and of pairs where the batch has labels."""
    types = getattr(batch, "token_type_ids", None)
    logits, pair = model.eval()(batch.inputs, types, batch.visible[:, 0])
    asked = batch.targets != IGNORED
    right = {"words": (logits.argmax(-1) == batch.targets)[asked].float().mean().item()}
    if types is not None and pair is not None:
        right["pairs"] = (pair.argmax(-1) == batch.labels).float().mean().item()
    return right


def made(config: BertConfig, seed: int) -> BertForPreTraining:
    """A new model, its positions begun as sines."""
    torch.manual_seed(seed)
    model = BertForPreTraining(config)
    sinusoidal_initialization(model.bert)
    return model


def race(seed: int, steps: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Train each model on as many fresh stories; then let a student begin as half of the BERT."""
    docs, held_out = documents(16 * steps, seed), documents(500, 1_000_000)
    asked = {task: next(batches(held_out, task, 1, len(held_out))) for task in ("stories", *PAIRS)}
    found, trained = {}, {}
    for name, (task, config) in MODELS.items():
        model = trained[name] = made(config, seed)
        loss = masked_loss if task == "stories" else pretraining_loss
        history = fit(
            model,
            batches(docs, task, seed),
            steps=steps,
            loss=loss,
            learning_rate=1e-2,
            optimization=MUON,
            runtime=Runtime(device="cpu", seed=seed),
            progress=False,
        )
        found[name] = {
            "accuracy": accuracy(model, asked["stories"])["words"],
            "parameters": sum(p.numel() for p in model.parameters()),
            "cpu_seconds_a_step": history.cpu_seconds / steps,
        }
        if task in PAIRS:
            own = asked[task]
            whole = type(own)(*(part[own.labels == 0] for part in own))  # in the format that it was trained on
            found[name]["accuracy, as pairs"] = accuracy(model, whole)["words"]
            found[name] |= {f"{other} pairs": accuracy(model, asked[other])["pairs"] for other in PAIRS}
        print(f"{name:>16}, seed {seed}: " + "  ".join(f"{k} {v:.3f}" for k, v in found[name].items()), flush=True)
    return found, halve(trained["bert"], asked["stories"], seed)


def halve(teacher: BertForPreTraining, asked: Masked, seed: int) -> dict[str, float]:
    """Train two students for a short while: one begins as every second layer of the teacher, one at random."""
    found = {"teacher": accuracy(teacher, asked)["words"]}
    docs = documents(16 * STUDENT_STEPS, seed + 1000)
    for name in ("random", "halved"):
        student = made(MODELS["distilbert"][1], seed)
        if name == "halved":
            take_every_second_layer(student, teacher)
        found[f"{name}, before"] = accuracy(student, asked)["words"]
        fit(
            student,
            batches(docs, "stories", seed),
            steps=STUDENT_STEPS,
            loss=masked_loss,
            learning_rate=5e-3,
            optimization=MUON,
            runtime=Runtime(device="cpu"),
            progress=False,
        )
        found[f"{name}, after"] = accuracy(student, asked)["words"]
    return found


def take_every_second_layer(student: BertForPreTraining, teacher: BertForPreTraining) -> None:
    """Copy embeddings, head, and blocks 0, 2, … of the teacher."""
    theirs = teacher.state_dict()
    for i in range(student.config.n_layers):
        block = teacher.bert.encoder.blocks[2 * i]
        theirs |= {f"bert.encoder.blocks.{i}.{name}": tensor for name, tensor in block.state_dict().items()}
    student.load_state_dict({name: theirs[name] for name in student.state_dict()})


def mask(seed: int) -> dict[str, dict[str, float]]:
    """Train on few stories, with one mask of each, with ten, and with a new one each time; and on many stories."""
    many, held_out = documents(16 * MASKING_STEPS, seed), documents(500, 1_000_000)
    few = texts(many[:FEW])
    draw = torch.Generator().manual_seed(seed)
    masks = [mask_tokens(*few, **MASKING, generator=draw) for _ in range(10)]
    other, new = (mask_tokens(*t, **MASKING, generator=draw) for t in (few, texts(held_out)))
    config = BertConfig.roberta(**SIZES | {"n_layers": 2}, pad_id=0)
    found = {}
    for name, data in {
        "one mask": repeated(masks[:1], seed),
        "ten masks": repeated(masks, seed),
        "new masks": batches(many[:FEW], "stories", seed),
        "new stories": batches(many, "stories", seed),
    }.items():
        model = made(config, seed)
        fit(
            model,
            data,
            steps=MASKING_STEPS,
            loss=masked_loss,
            learning_rate=3e-3,
            optimization=ADAMW,
            runtime=Runtime(device="cpu", seed=seed),
            progress=False,
        )
        asked = {"first mask": masks[0], "other mask": other, "held-out": new}
        found[name] = {what: accuracy(model, batch)["words"] for what, batch in asked.items()}
        print(f"{name:>16}, seed {seed}: " + "  ".join(f"{k} {v:.3f}" for k, v in found[name].items()), flush=True)
    return found


def questions() -> dict[str, dict[str, float]]:
    """What counting words, watching names and knowing the process reach on the two questions about sentences."""
    parts = split(WORLD, train=2500, validation=0, test=2000, seed=1)
    people = set(WORLD.process.people)

    def by_names(example: Example) -> bool:
        *before, last = " ".join(example.tokens).split(SEPARATOR)
        return set(last.split()) & people <= set(" ".join(before).split())

    found = {}
    for task, yes in (("next sentence", "next"), ("sentence order", "in order")):
        train, test = CLASSIFICATION_TASKS[task](parts.train), CLASSIFICATION_TASKS[task](parts.test)
        bayes = NaiveBayes([e.tokens for e in train], [e.label for e in train])
        found[task] = {
            "examples": len(test),
            "naive Bayes": bayes.accuracy([e.tokens for e in test], [e.label for e in test]),
            "names": sum(by_names(e) == (e.label == yes) for e in test) / len(test),
            "best possible": sum(best_label(task, e, WORLD) == e.label for e in test) / len(test),
        }
    return found


def main() -> None:
    """Run every seed, and write the tables."""
    given = report.arguments(__doc__, steps=600)
    races, masked = [], []
    for seed in range(given.seeds):
        races.append(race(seed, given.steps))
        masked.append(mask(seed))

    def table(runs: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
        return {
            name: {"runs": (own := [run[name] for run in runs]), "summary": report.summary(own)} for name in runs[0]
        }

    halved = [halves for _, halves in races]
    report.write(
        "bert_family",
        {
            "world": {"version": VERSION, "size": "small", "language": "en"},
            "steps": given.steps,
            "seeds": list(range(given.seeds)),
            "models": table([models for models, _ in races]),
            "masking": table(masked),
            "halving": {"runs": halved, "summary": report.summary(halved)},
            "questions": questions(),
        },
    )


if __name__ == "__main__":
    main()
