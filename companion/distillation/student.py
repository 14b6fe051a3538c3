"""Students: layer maps, initialisation from the teacher, and projections to its width.

Layers are counted from 1, as in the papers. A layer map is a tuple with the teacher's layer for each of the student's:
with ``(2, 4)``, layer 1 learns from layer 2, and layer 2 from layer 4. Chapter: ``book/algorithms/distillation.ipynb``.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

BLOCK = re.compile(r"((?:.*\.)?blocks\.)(\d+)(\..*)")


def skip_layers(n_student: int, n_teacher: int) -> tuple[int, ...]:
    """Layer map spread over the teacher: layer m learns from layer ``m n_teacher / n_student``, rounded down.

    It is the map of TinyBERT, and of PKD-skip without its last layer.

    >>> skip_layers(4, 12)
    (3, 6, 9, 12)

    Raises:
        ValueError: when the student has no layer, or more than the teacher.
    """
    _check_counts(n_student, n_teacher)
    return tuple(m * n_teacher // n_student for m in range(1, n_student + 1))


def last_layers(n_student: int, n_teacher: int) -> tuple[int, ...]:
    """Layer map onto the teacher's last layers, as in PKD-last; errors as :func:`skip_layers`.

    >>> last_layers(4, 12)
    (9, 10, 11, 12)
    """
    _check_counts(n_student, n_teacher)
    return tuple(range(n_teacher - n_student + 1, n_teacher + 1))


def every_second(n_teacher: int) -> tuple[int, ...]:
    """Layers 1, 3, 5 and so on, from which DistilBERT is initialised: "one layer out of two" (section 3).

    Source: Sanh et al. 2019. Its release took 1, 3, 5, 8, 10 and 12 of 12, and so the last one too.

    >>> every_second(12)
    (1, 3, 5, 7, 9, 11)

    Raises:
        ValueError: when the teacher has no layer.
    """
    _check_counts(1, n_teacher)
    return tuple(range(1, n_teacher + 1, 2))


def check_layers(layers: Sequence[int], n_student: int, n_teacher: int) -> None:
    """Check a layer map.

    Raises:
        ValueError: when the student has more layers than the teacher, the map has not one number for each of the
            student's layers, or a number is none of the teacher's layers.
    """
    _check_counts(n_student, n_teacher)
    if len(layers) != n_student:
        raise ValueError(f"a layer map has a number for each of the student's {n_student} layers; got {tuple(layers)}")
    for layer in layers:
        if not 1 <= layer <= n_teacher:
            raise ValueError(f"the teacher's layers are 1 to {n_teacher}; got {layer} in {tuple(layers)}")


@torch.no_grad()
def initialise_from(student: Any, teacher: Any, layers: Sequence[int]) -> None:
    """Initialise a student from its teacher: copy the mapped layers, and the parameters that both have outside of them.

    So DistilBERT is initialised (Sanh et al. 2019, section 3). Embeddings and heads are copied, as in its release.
    Parameters that only one of the two has, such as a new head or segment embeddings, are left out.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> teacher, student = (GPT(GPTConfig(9, context_length=4, n_layers=n, n_heads=1, d_model=4)) for n in (4, 2))
    >>> initialise_from(student, teacher, every_second(4))
    >>> torch.equal(student.blocks[1].attention.query.weight, teacher.blocks[2].attention.query.weight)
    True

    Args:
        student: a model of the same kind as the teacher, and of the same widths.
        teacher: the model to copy from; it is not changed, and shares no tensor with the student.
        layers: the teacher's layer for each of the student's, such as :func:`every_second`.

    Raises:
        ValueError: on an impossible map, or a parameter of a layer that is missing in the teacher or has another shape
            there, such as an embedding of another vocabulary. Then nothing is changed.
    """
    check_layers(layers, student.config.n_layers, teacher.config.n_layers)
    given = dict(teacher.named_parameters(remove_duplicate=False))
    pairs = []
    for name, ours in student.named_parameters():
        block = BLOCK.fullmatch(name)
        source = f"{block[1]}{layers[int(block[2])] - 1}{block[3]}" if block else name
        if source not in given and block is None:
            continue
        theirs = given.get(source)
        if theirs is None or theirs.shape != ours.shape:
            shape = None if theirs is None else tuple(theirs.shape)
            raise ValueError(f"{name} is {tuple(ours.shape)} in the student, and {source} {shape} in the teacher")
        pairs.append((ours, theirs))
    for ours, theirs in pairs:
        ours.copy_(theirs)


class Student(nn.Module):
    """A student model with learned projections of its hidden states to its teacher's width.

    ``E W_e`` for the embeddings and ``H_m W_h`` for every layer m (Jiao et al. 2020, section 3.1). Only the
    distillation loss uses them; ``forward`` and ``save_pretrained`` are those of the model itself, ``.model``.
    """

    def __init__(self, model: Any, d_teacher: int) -> None:
        """Keep the model, and add W_e and W_h, initialised to the identity where both widths are the same.

        Raises:
            ValueError: when the width is below 1.
        """
        super().__init__()
        if d_teacher < 1:
            raise ValueError(f"d_teacher must be at least 1; got {d_teacher}")
        d_model = model.config.d_model
        self.model, self.config = model, model.config
        self.embedding_projection = nn.Linear(d_model, d_teacher, bias=False)
        self.hidden_projection = nn.Linear(d_model, d_teacher, bias=False)
        if d_model == d_teacher:
            nn.init.eye_(self.embedding_projection.weight)
            nn.init.eye_(self.hidden_projection.weight)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Output of the model."""
        return self.model(*args, **kwargs)

    def projected(self, hidden: Sequence[Tensor]) -> list[Tensor]:
        """Projections of hidden states, the embeddings first, to (batch, length, d_teacher) each."""
        return [self.embedding_projection(hidden[0]), *(self.hidden_projection(h) for h in hidden[1:])]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model's checkpoint, without the projections."""
        self.model.save_pretrained(folder)


def without_projections(model: nn.Module) -> Any:
    """The model itself, without the projections of a :class:`Student`."""
    return model.model if isinstance(model, Student) else model


def check_pair(student: Any, teacher: Any) -> None:
    """Check that two models have the same vocabulary and the same labels, and share no parameters.

    Raises:
        ValueError: on another vocabulary, other labels or another order of them, or a shared parameter.
    """
    one, other = without_projections(teacher), without_projections(student)
    sizes = (one.config.vocab_size, other.config.vocab_size)
    if sizes[0] != sizes[1]:
        raise ValueError(f"teacher and student must have the same vocabulary; got {sizes[0]} and {sizes[1]} tokens")
    labels = [getattr(model, "labels", None) for model in (one, other)]
    if labels[0] != labels[1]:
        raise ValueError(f"teacher and student must have the same labels, in order; got {labels[0]} and {labels[1]}")
    held = {id(parameter) for parameter in one.parameters()}
    shared = next((name for name, parameter in other.named_parameters() if id(parameter) in held), None)
    if shared is not None:
        raise ValueError(f"teacher and student must be two models, and both hold {shared}; copy one of them first")


def _check_counts(n_student: int, n_teacher: int) -> None:
    if not 1 <= n_student <= n_teacher:
        raise ValueError(f"a student has 1 layer to as many as its teacher, {n_teacher}; got {n_student}")
