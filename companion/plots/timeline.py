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
    *("preferences", "reasoning"),
)


@dataclass(frozen=True)
class LanguageModel:
    """A model of the timeline.

    Attributes:
        name: name of the model, the largest of its paper unless the name says otherwise.
        date: "year-month" of its first publication, as a paper, a preprint or an announcement.
        architecture: one of ``ARCHITECTURES``.
        objective: training objective that is new in this model, one of ``OBJECTIVES``.
        parameters: number of parameters; of an n-gram model, number of stored n-grams.
        active: parameters that process one token, where they are not all.
        tokens: training tokens, repetitions counted.
        stated_flops: training FLOPs, where a paper states them.
        flops_source: key of that paper in ``book/references.bib``.
        shared: whether several layers share one set of weights, so that a token meets a parameter more than once.
        source: key of the model's paper in ``book/references.bib``.
        note: remark that one needs to read the numbers.
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
        """Date in years: the middle of the month."""
        year, month = map(int, self.date.split("-"))
        return year + (month - 0.5) / 12

    @property
    def flops(self) -> float | None:
        """Training FLOPs: what a paper states, or else 6 N D where that holds, or else None.

        It holds for dense encoders and decoders and, with the active parameters, for mixtures of experts.
        """
        if self.stated_flops is not None:
            return self.stated_flops
        met = self.active if self.architecture == EXPERTS else self.parameters
        if self.shared or self.architecture not in (*DENSE, EXPERTS) or met is None or self.tokens is None:
            return None
        return training_flops(met, self.tokens)


def timeline_models() -> tuple[LanguageModel, ...]:
    """All models, in the order of their dates.

    >>> [model.name for model in timeline_models()[:2]]
    ['NNLM', 'Web n-grams']
    """
    text = (resources.files("companion.plots") / "timeline.csv").read_text(encoding="utf8")
    models = [_model(row) for row in csv.DictReader(text.splitlines())]
    return tuple(sorted(models, key=lambda model: model.when))


def model(name: str) -> LanguageModel:
    """The model of this name.

    >>> model("GPT-3").date, model("GPT-3").parameters
    ('2020-05', 175000000000.0)

    Raises:
        ValueError: when the timeline has no model of this name.
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
