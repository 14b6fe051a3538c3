"""Equations of ``book/formulas/metrics.ipynb``: right answers, precision and recall."""

import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import tokens
from companion.metrics.classification import accuracy, report
from companion.metrics.entities import entity_report

NAMES = ("a", "b", "c")


PREDICTED = Symbol(r"\hat y_i", "predicted label of text $i$, of $n$")


TRUE = Symbol("y_i", "true label of text $i$")


def _judged(g: Generator) -> dict[str, Tensor]:
    once = torch.arange(len(NAMES))  # each label is found at least once
    return {"said": torch.cat([tokens(g, 3, 30), once]), "true": torch.cat([tokens(g, 3, 30), once])}


def _accuracy_by_hand(said: Tensor, true: Tensor) -> float:
    n = len(true)
    return sum(1 for i in range(n) if said[i] == true[i]) / n


def _accuracy_companion(said: Tensor, true: Tensor) -> float:
    return accuracy(said, true)


def _accuracy_torch(said: Tensor, true: Tensor) -> Tensor:
    return said.eq(true).double().mean()


def _f1_by_hand(said: Tensor, true: Tensor) -> tuple[float, float, float]:
    pairs = list(zip(said.tolist(), true.tolist(), strict=True))
    tp = sum(a == 0 and b == 0 for a, b in pairs)  # of label 0
    fp = sum(a == 0 and b != 0 for a, b in pairs)
    fn = sum(a != 0 and b == 0 for a, b in pairs)
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    return precision, recall, 2 * precision * recall / (precision + recall)


def _f1_companion(said: Tensor, true: Tensor) -> tuple[float, float, float]:
    one = report(said, true, NAMES).labels["a"]
    return one.precision, one.recall, one.f1


def _f1_torch(said: Tensor, true: Tensor) -> tuple[Tensor, ...]:
    given, right = said == 0, true == 0
    both = torch.stack([right[given].double().mean(), given[right].double().mean()])
    return both[0], both[1], both.reciprocal().mean().reciprocal()


def _macro_by_hand(said: Tensor, true: Tensor) -> tuple[float, float]:
    pairs = list(zip(said.tolist(), true.tolist(), strict=True))
    scores, all_tp, all_fp, all_fn = [], 0, 0, 0
    for k in range(3):
        tp = sum(a == k and b == k for a, b in pairs)
        fp = sum(a == k and b != k for a, b in pairs)
        fn = sum(a != k and b == k for a, b in pairs)
        scores.append(2 * tp / (2 * tp + fp + fn))
        all_tp, all_fp, all_fn = all_tp + tp, all_fp + fp, all_fn + fn
    return sum(scores) / 3, 2 * all_tp / (2 * all_tp + all_fp + all_fn)


def _macro_companion(said: Tensor, true: Tensor) -> tuple[float, float]:
    summed = report(said, true, NAMES)
    return summed.macro.f1, summed.micro.f1


def _macro_torch(said: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    given, right = F.one_hot(said, 3).double(), F.one_hot(true, 3).double()
    each = 2 * (given * right).sum(0) / (given + right).sum(0)
    return each.mean(), said.eq(true).double().mean()  # with one label a text, micro F1 is the accuracy


def _tags(g: Generator) -> dict[str, Any]:
    def sentence() -> list[str]:
        written = ""  # a letter a word: P and L begin an entity, p and l go on, o is outside
        for choice in tokens(g, 4, 12).tolist():
            goes_on = written and written[-1] != "o"
            written += "oPL"[choice] if choice < 3 else (written[-1].lower() if goes_on else "o")
        return ["O" if letter == "o" else ("B-" if letter.isupper() else "I-") + letter.upper() for letter in written]

    same = ["B-P", "I-P", "O"]  # so that something is found
    true = [sentence(), sentence(), same]
    said = [true[0][:7] + ["O"] * 5, sentence(), same]
    return {"said": said, "true": true}


def _entity_by_hand(said: list[list[str]], true: list[list[str]]) -> tuple[float, float, float]:
    sets: list[set[tuple[int, str, int, int]]] = []
    for side in (said, true):
        found = set()
        for row, tags in enumerate(side):
            for begin, tag in enumerate(tags):
                if tag.startswith("B-"):
                    end = begin + 1
                    while end < len(tags) and tags[end].startswith("I-"):
                        end += 1
                    found.add((row, tag[2:], begin, end))
        sets.append(found)
    right = len(sets[0] & sets[1])
    precision, recall = right / len(sets[0]), right / len(sets[1])
    return precision, recall, 2 * right / (len(sets[0]) + len(sets[1]))


def _entity_companion(said: list[list[str]], true: list[list[str]]) -> tuple[float, float, float]:
    one = entity_report(said, true).micro
    return one.precision, one.recall, one.f1


def _entity_by_pattern(said: list[list[str]], true: list[list[str]]) -> tuple[float, float, float]:
    def marks(side: list[list[str]]) -> list[str]:
        found = []
        for row, tags in enumerate(side):
            text = "".join("o" if tag == "O" else tag[2:] if tag[0] == "B" else tag[2:].lower() for tag in tags)
            found += [f"{row} {m.group()} {m.span()}" for m in re.finditer("Pp*|Ll*", text)]
        return found

    given, wanted = marks(said), marks(true)
    precision = sum(mark in wanted for mark in given) / len(given)
    recall = sum(mark in given for mark in wanted) / len(wanted)
    return precision, recall, 2 / (1 / precision + 1 / recall)


EQUATIONS = (
    Equation(
        label="eq-metrics-accuracy",
        symbols=(Symbol("n", "number of texts"), PREDICTED, TRUE),
        draw=_judged,
        by_hand=_accuracy_by_hand,
        companion=_accuracy_companion,
        library=_accuracy_torch,
    ),
    Equation(
        label="eq-metrics-f1",
        symbols=(
            Symbol(r"\mathrm{TP}", "true positives: texts that were given the label and have it"),
            Symbol(r"\mathrm{FP}", "false positives: texts that were given it and do not have it"),
            Symbol(r"\mathrm{FN}", "false negatives: texts that have it and were not given it"),
            Symbol("P, R", "precision and recall"),
        ),
        draw=_judged,
        by_hand=_f1_by_hand,
        companion=_f1_companion,
        library=_f1_torch,
    ),
    Equation(
        label="eq-metrics-macro",
        symbols=(
            Symbol("K", "number of labels"),
            Symbol("F_k", "F1 of label $k$"),
            Symbol(
                r"\mathrm{TP}_k, \mathrm{FP}_k, \mathrm{FN}_k",
                "true positives, false positives and false negatives of label $k$",
            ),
        ),
        draw=_judged,
        by_hand=_macro_by_hand,
        companion=_macro_companion,
        library=_macro_torch,
    ),
    Equation(
        label="eq-metrics-entity",
        symbols=(
            Symbol(r"\hat E", "predicted entities: sentence, kind, first word, end"),
            Symbol("E", "true entities"),
        ),
        draw=_tags,
        by_hand=_entity_by_hand,
        companion=_entity_companion,
        library=_entity_by_pattern,
        library_name="a regular expression",
    ),
)
