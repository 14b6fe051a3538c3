"""A student: which layers of its teacher it learns from, what it begins with, and what is seen of the two.

Layers are counted from 1, as in the papers. A layer map is a tuple with the teacher's layer for each of the student's:
``(2, 4)`` lets layer 1 learn from layer 2, and layer 2 from layer 4. Chapter: ``book/algorithms/distillation.ipynb``.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from companion.data.batch import IGNORED, fill_ignored
from companion.data.labelled import Labelled, Tagged
from companion.losses.causal import Completions
from companion.losses.classification import read
from companion.losses.masked import Masked
from companion.losses.sentences import Pretraining
from companion.nn.capture import capture
from companion.nn.masks import causal_mask

BLOCK = re.compile(r"((?:.*\.)?blocks\.)(\d+)(\..*)")


def skip_layers(n_student: int, n_teacher: int) -> tuple[int, ...]:
    """Spread the student's layers over the teacher's: layer m learns from layer ``m n_teacher / n_student``.

    Rounded down where it must be. It is the map of TinyBERT, and of PKD-skip without its last layer.

    Raises:
        ValueError: when the student has no layer, or more than the teacher.
    """
    _check_counts(n_student, n_teacher)
    return tuple(m * n_teacher // n_student for m in range(1, n_student + 1))


def last_layers(n_student: int, n_teacher: int) -> tuple[int, ...]:
    """Let the student's layers learn from the teacher's last, the map of PKD-last; errors as :func:`skip_layers`."""
    _check_counts(n_student, n_teacher)
    return tuple(range(n_teacher - n_student + 1, n_teacher + 1))


def every_second(n_teacher: int) -> tuple[int, ...]:
    """Take layers 1, 3, 5 and so on, for DistilBERT's start: "one layer out of two" (Sanh et al. 2019, section 3).

    Its release took 1, 3, 5, 8, 10 and 12 of 12, and so the last one too.

    Raises:
        ValueError: when the teacher has no layer.
    """
    _check_counts(1, n_teacher)
    return tuple(range(1, n_teacher + 1, 2))


def check_layers(layers: Sequence[int], n_student: int, n_teacher: int) -> None:
    """Check a layer map.

    Raises:
        ValueError: when the student has more layers than the teacher, the map not one number for each of them, or a
            number is none of the teacher's layers.
    """
    _check_counts(n_student, n_teacher)
    if len(layers) != n_student:
        raise ValueError(f"a layer map has a number for each of the student's {n_student} layers; got {tuple(layers)}")
    for layer in layers:
        if not 1 <= layer <= n_teacher:
            raise ValueError(f"the teacher's layers are 1 to {n_teacher}; got {layer} in {tuple(layers)}")


@torch.no_grad()
def initialise_from(student: Any, teacher: Any, layers: Sequence[int]) -> None:
    """Copy the teacher's layers that are named into the student, and what both have outside of the layers.

    That is DistilBERT's start (Sanh et al. 2019, section 3). Embeddings and heads are copied, as in its release. What
    the teacher lacks, such as a new head, stays as it is; what only the teacher has, such as segments, is left out.

    Args:
        student: of the same kind of model as the teacher, and of the same widths.
        teacher: not changed, and its tensors are not shared.
        layers: the teacher's layer for each of the student's, such as :func:`every_second`.

    Raises:
        ValueError: on an impossible map, or a tensor that is missing in the teacher or of another shape there, such as
            an embedding of another vocabulary. Then nothing is changed.
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
    """A model with the matrices that bring its hidden states to its teacher's width, and that learn along with it.

    ``E W_e`` for the embeddings and ``H_m W_h`` for every layer m (Jiao et al. 2020, section 3.1). They serve the
    comparison alone: the student that is kept is ``.model``, and what is computed and saved is what it computes.
    """

    def __init__(self, model: Any, d_teacher: int) -> None:
        """Keep the model, and make W_e and W_h, which begin as the identity where both widths are the same.

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
        """Return what the model returns."""
        return self.model(*args, **kwargs)

    def projected(self, hidden: Sequence[Tensor]) -> list[Tensor]:
        """Bring hidden states, the embeddings first, from (batch, length, d_model) to (batch, length, d_teacher)."""
        return [self.embedding_projection(hidden[0]), *(self.hidden_projection(h) for h in hidden[1:])]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model's checkpoint, without the matrices."""
        self.model.save_pretrained(folder)


class ModelOutputs(NamedTuple):
    """What a model says of a batch, and what happens inside it meanwhile.

    Attributes:
        logits: (…, classes): (batch, length, vocab), or (batch, labels) where whole texts are labelled.
        targets: (…), what is right there, ``IGNORED`` where nothing is asked.
        visible: boolean (batch, query, key), True = from a real token to one that it may attend to.
        hidden: number 0 the embeddings, number m the output of layer m: (batch, length, d_model).
        attention: each layer's weights (batch, heads, query, key), layer 1's at 0.
    """

    logits: Tensor
    targets: Tensor
    visible: Tensor
    hidden: Sequence[Tensor] = ()
    attention: Sequence[Tensor] = ()


def run_with_outputs(model: nn.Module, batch: Any, inside: bool = True) -> ModelOutputs:
    """Run a model on a batch, and note what it says and, unless told otherwise, what happens inside.

    Args:
        model: a BERT with a head, or a GPT; the hidden states of a :class:`Student` are projected.
        batch: of :mod:`companion.data.labelled` with labels or tags, or ``Masked`` or ``Pretraining`` (whose pairs are
            not asked about); for a GPT texts (batch, length + 1) as for ``causal_loss``, or ``Completions``.
        inside: whether to note hidden states and attention, which are slower to compute.

    Raises:
        TypeError: on another kind of batch.
    """
    own = model.model if isinstance(model, Student) else model
    if not inside:
        return ModelOutputs(*_asked(own, batch))
    with capture(own, detach=False) as record:
        asked = _asked(own, batch)
    return ModelOutputs(
        *asked, model.projected(record.hidden) if isinstance(model, Student) else record.hidden, record.attention
    )


def check_pair(student: Any, teacher: Any) -> None:
    """Check that the scores of two models mean the same, and that training the one leaves the other alone.

    Raises:
        ValueError: on another vocabulary, other labels or another order of them, or weights that both hold.
    """
    one, other = (model.model if isinstance(model, Student) else model for model in (teacher, student))
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


def _asked(model: Any, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
    """A model's logits, the targets, and which token sees which."""
    if isinstance(batch, Tensor):
        batch = Completions(fill_ignored(batch[:, :-1]), batch[:, 1:])
    if isinstance(batch, Completions):
        asked = batch.targets != IGNORED
        visible = causal_mask(asked.size(1), device=asked.device) & asked[:, :, None]
        return model(batch.inputs), batch.targets, visible
    if isinstance(batch, Labelled | Tagged):
        real, logits, targets = batch.attention_mask, read(model, batch), batch.labels
    elif isinstance(batch, Masked | Pretraining):
        types = getattr(batch, "token_type_ids", None) if model.config.n_segments > 1 else None
        real, targets = batch.visible[:, 0], batch.targets
        logits, _ = model(batch.inputs, types, real)
    else:
        allowed = "texts (a tensor), Answered, Labelled, Tagged, Masked, Pretraining"
        raise TypeError(f"a batch must be one of {allowed}; got {type(batch).__name__}")
    return logits, targets, real[:, :, None] & real[:, None, :]
