"""Language models since 2003: date, size, text and training compute, each number from the work that is named.

Chapter: ``book/background/rise.ipynb``. The table is ``timeline.csv`` beside this file. What a paper does not say is
empty there and ``None`` here: nothing is guessed.
"""

import csv
from dataclasses import dataclass
from importlib import resources

from companion.training.flops import training_flops

DENSE = ("encoder", "decoder")  # each token meets each parameter once, so 6 N D holds
EXPERTS = "mixture of experts"
ARCHITECTURES = ("n-gram", "feed-forward", "recurrent", *DENSE, "encoder–decoder", EXPERTS, "not stated")
OBJECTIVES = (
    *("next token", "masked", "permutation", "span corruption", "translation"),
    *("preferences", "verified answers"),
)


@dataclass(frozen=True)
class LanguageModel:
    """One model of the timeline.

    Attributes:
        name: of the model, the largest of its paper unless the name says otherwise.
        date: "year-month" in which it became public first, as a paper, a preprint or an announcement.
        architecture: one of ``ARCHITECTURES``.
        objective: of the training that is new in this model, one of ``OBJECTIVES``.
        parameters: all of them; the stored n-grams of an n-gram model.
        active: parameters that one token meets, where they are not all.
        tokens: that training read, repetitions counted.
        stated_flops: operations of training, where a paper states them.
        flops_source: key of the paper that does.
        shared: one set of weights serves several layers, so that a token meets a parameter more than once.
        source: key of ``book/references.bib``.
        note: what one must know to read the numbers.
    """

    name: str
    date: str
    architecture: str
    objective: str
    parameters: float | None
    active: float | None
    tokens: float | None
    stated_flops: float | None
    flops_source: str
    shared: bool
    source: str
    note: str

    def __post_init__(self) -> None:
        """Raise ValueError on a date, an architecture or an objective that is not one."""
        year, _, month = self.date.partition("-")
        if not (year.isdigit() and month.isdigit() and 1 <= int(month) <= 12):
            raise ValueError(f"{self.name}: date must be year-month, such as 2017-06; got {self.date!r}")
        for value, known in ((self.architecture, ARCHITECTURES), (self.objective, OBJECTIVES)):
            if value not in known:
                raise ValueError(f"{self.name}: {value!r} is none of {', '.join(known)}")

    @property
    def when(self) -> float:
        """The date as a number of years: the middle of the month."""
        year, month = map(int, self.date.split("-"))
        return year + (month - 0.5) / 12

    @property
    def flops(self) -> float | None:
        """Operations of training: what a paper states, or else 6 N D where that holds, or else None.

        It holds for dense encoders and decoders and, with the active parameters, for mixtures of experts.
        """
        if self.stated_flops is not None:
            return self.stated_flops
        met = self.active if self.architecture == EXPERTS else self.parameters
        if self.shared or self.architecture not in (*DENSE, EXPERTS) or met is None or self.tokens is None:
            return None
        return training_flops(met, self.tokens)


def timeline_models() -> tuple[LanguageModel, ...]:
    """Return the models in the order of their dates."""
    text = (resources.files("companion.plots") / "timeline.csv").read_text(encoding="utf8")
    models = [_model(row) for row in csv.DictReader(text.splitlines())]
    return tuple(sorted(models, key=lambda model: model.when))


def model(name: str) -> LanguageModel:
    """Return the model of this name.

    Raises:
        ValueError: when the timeline has none of that name.
    """
    found = {one.name: one for one in timeline_models()}
    if name not in found:
        raise ValueError(f"the timeline has no model {name!r}; it has {', '.join(found)}")
    return found[name]


def _model(row: dict[str, str]) -> LanguageModel:
    return LanguageModel(
        name=row["name"],
        date=row["date"],
        architecture=row["architecture"],
        objective=row["objective"],
        parameters=_number(row["parameters"]),
        active=_number(row["active"]),
        tokens=_number(row["tokens"]),
        stated_flops=_number(row["stated_flops"]),
        flops_source=row["flops_source"],
        shared=row["shared"] == "yes",
        source=row["source"],
        note=row["note"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
