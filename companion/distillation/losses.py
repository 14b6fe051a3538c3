"""A small model, the student, learns from a large one, its teacher: from its scores, and from what happens inside it.

==========  =============================================================  =========================================
Method      What of the student is compared with the teacher's             Source
==========  =============================================================  =========================================
Hinton      scores, softened                                               Hinton et al. 2015, section 2
DistilBERT  softened scores, direction of the last layer's vectors         Sanh et al. 2019, section 2
BERT-PKD    softened scores, [CLS] vectors between                         Sun et al. 2019, section 3
TinyBERT    embeddings, vectors and attention of every layer, then scores  Jiao et al. 2020, section 3
==========  =============================================================  =========================================

Each loss takes what was :class:`companion.distillation.student.ModelOutputs` of the two; a :class:`Distiller` looks, and compares::

    fit(student, batches, loss=Distiller(teacher, pkd_loss, layers=skip_layers(2, 4)))

Chapter: ``book/algorithms/distillation.ipynb``.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.data.batch import IGNORED, upcast
from companion.distillation.student import ModelOutputs, check_layers, check_pair, run_with_outputs
from companion.losses.cross_entropy import cross_entropy

STAGES = ("general", "task")


def soft_target_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, targets: Tensor | None = None
) -> Tensor:
    """Return how far the student's softened distribution is from the teacher's, in nats times T^2.

    ``L = T^2 1/n sum_i KL(p_i || q_i)``, ``p = softmax(teacher / T)``, ``q = softmax(student / T)``, over the n places
    where something is asked. The divergence's gradient shrinks as 1 / T^2, so the factor keeps it in proportion to that
    of a hard loss beside it (Hinton et al. 2015, section 2). The paper has the cross-entropy ``KL + H(p)``, whose
    gradient is the same.

    Args:
        student_logits: (…, classes).
        teacher_logits: (…, classes).
        temperature: T; the higher, the more the small probabilities count.
        targets: (…), of which only ``IGNORED`` matters: such places are left out. None are when not given.

    Raises:
        ValueError: when T is not positive and finite, the shapes do not fit, or nothing is asked at all.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive and finite; got {temperature}")
    if student_logits.shape != teacher_logits.shape:
        shapes = f"{tuple(teacher_logits.shape)} and {tuple(student_logits.shape)}"
        raise ValueError(f"teacher and student must score the same places and the same classes; got {shapes}")
    if targets is not None:
        if targets.shape != student_logits.shape[:-1]:
            raise ValueError(f"targets must be {tuple(student_logits.shape[:-1])}; got {tuple(targets.shape)}")
        asked = targets != IGNORED
        student_logits, teacher_logits = student_logits[asked], teacher_logits[asked]  # (n, classes)
    if not student_logits.numel():
        raise ValueError("there must be a place where something is asked; got none")
    log_p, log_q = (upcast(z / temperature).log_softmax(-1) for z in (teacher_logits, student_logits))
    divergence = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
    return temperature**2 * divergence.mean()


def hinton_loss(
    student: ModelOutputs, teacher: ModelOutputs, *, temperature: float = 2.0, alpha: float = 0.9
) -> Tensor:
    """Return ``(1 - alpha) L_hard + alpha L_soft``: what is right, and what the teacher thinks (section 2).

    ``L_hard`` is the cross-entropy of the targets, at temperature 1. The paper found it best to give it less weight.

    Raises:
        ValueError: when alpha is not in [0, 1]; see also :func:`soft_target_loss`.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1]; got {alpha}")
    soft = soft_target_loss(student.logits, teacher.logits, temperature, student.targets)
    return (1 - alpha) * cross_entropy(student.logits, student.targets) + alpha * soft


def distilbert_loss(
    student: ModelOutputs,
    teacher: ModelOutputs,
    *,
    temperature: float = 2.0,
    weights: tuple[float, float, float] = (5.0, 2.0, 1.0),
) -> Tensor:
    """Return DistilBERT's triple loss ``w_1 L_soft + w_2 L_hard + w_3 L_cos`` (Sanh et al. 2019, section 2).

    ``L_cos = 1/n sum_t 1 - cos(s_t, t_t)`` over the n real tokens, s and t the last layer's vectors. ``L_hard`` is the
    masked objective in pre-training, and the labels' cross-entropy in fine-tuning. The weights are the release's, which
    compares the scores at all real tokens by default; here they are compared where something is asked.

    Raises:
        ValueError: when the vectors are not of the same width; see also :func:`soft_target_loss`.
    """
    ours, theirs = _alike(student.hidden[-1], teacher.hidden[-1], _real(student))  # (n, d_model) each
    cosine = (1 - F.cosine_similarity(ours, theirs, dim=-1)).mean()
    soft = soft_target_loss(student.logits, teacher.logits, temperature, student.targets)
    return weights[0] * soft + weights[1] * cross_entropy(student.logits, student.targets) + weights[2] * cosine


def pkd_loss(
    student: ModelOutputs,
    teacher: ModelOutputs,
    layers: Sequence[int],
    *,
    temperature: float = 5.0,
    alpha: float = 0.5,
    beta: float = 1.0,
) -> Tensor:
    """Return BERT-PKD's ``(1 - alpha) L_hard + alpha L_soft + beta L_PT`` (Sun et al. 2019, section 3).

    ``L_PT = 1/n sum_i sum_{m < M} | s_im / |s_im| - t_i,g(m) / |t_i,g(m)| |^2``, s and t the [CLS] vectors of text i,
    M the student's layers and g the map. The last layer is left to the scores. The release takes the mean over m and
    over the d_model coordinates as well, so its beta of 10 to 1000 is (M - 1) d_model times as large as here.

    Args:
        student: of M >= 2 layers.
        teacher: as wide as the student.
        layers: g, one number for each of the M layers: ``skip_layers`` (PKD-skip) or ``last_layers`` (PKD-last).
        temperature: see :func:`soft_target_loss`.
        alpha: see :func:`hinton_loss`.
        beta: weight of what happens inside.

    Raises:
        ValueError: on an impossible map, vectors of different widths, a student of one layer, or a model whose first
            token does not see the whole text; see also :func:`hinton_loss`.
    """
    check_layers(layers, len(student.hidden) - 1, len(teacher.hidden) - 1)
    if len(layers) < 2:
        raise ValueError(f"the student must have 2 layers or more, since the last is left out; got {len(layers)}")
    if not torch.equal(student.visible[:, 0], _real(student)):
        raise ValueError("the first token must see the whole text, as [CLS] does; it does not in a causal model")
    first = torch.zeros_like(_real(student))
    first[:, 0] = True
    patience = []
    for m, n in enumerate(layers[:-1], start=1):
        ours, theirs = _alike(student.hidden[m], teacher.hidden[n], first)  # (batch, d_model) each
        distance = F.normalize(ours, dim=-1) - F.normalize(theirs, dim=-1)
        patience.append(distance.square().sum(-1).mean())
    return hinton_loss(student, teacher, temperature=temperature, alpha=alpha) + beta * torch.stack(patience).sum()


def tinybert_losses(
    student: ModelOutputs, teacher: ModelOutputs, layers: Sequence[int], *, stage: str = "general"
) -> dict[str, Tensor]:
    """Return the terms of TinyBERT's loss by name, each a mean of squares (Jiao et al. 2020, section 3.1).

    ``embedding = MSE(E^S W_e, E^T)``; summed over the layers m, ``hidden = MSE(H_m^S W_h, H_g(m)^T)`` and
    ``attention = MSE(A_m^S, A_g(m)^T)``; ``prediction = KL(softmax(z^T) || softmax(z^S))``, at temperature 1. W_e and
    W_h are those of :class:`companion.distillation.student.Student`. Only real tokens count.

    **Which attention:** the paper compares the scores before the softmax. What is captured are the weights after it,
    which give the scores back but for one number a query that the softmax cancels; A is what is left, see
    :func:`centred_scores`. So the paper also asks for that number, which has no influence on what a model says, and
    this loss does not.

    Args:
        student: with the hidden states projected, unless it is as wide as the teacher.
        teacher: with as many heads.
        layers: g, one number for each layer of the student; the paper has ``skip_layers``.
        stage: "general" (on texts, first three terms) or "task" (on labelled texts, all four). The paper makes two
            passes on the labelled texts, with the first three terms and then with the prediction alone; the one is the
            "general" loss there, the other :func:`hinton_loss` with temperature 1 and alpha 1.

    Raises:
        ValueError: on an unknown stage, an impossible map, or other widths or another number of heads.
    """
    if stage not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(STAGES)}; got {stage!r}")
    check_layers(layers, len(student.hidden) - 1, len(teacher.hidden) - 1)
    real, visible = _real(student), student.visible
    hidden, attention = [], []
    for m, n in enumerate(layers, start=1):
        ours, theirs = student.attention[m - 1], teacher.attention[n - 1]  # (batch, heads, query, key) each
        if ours.size(1) != theirs.size(1):
            raise ValueError(f"teacher and student must have as many heads; got {theirs.size(1)} and {ours.size(1)}")
        ours, theirs = (centred_scores(weights, visible).movedim(1, -1) for weights in (ours, theirs))
        attention.append(F.mse_loss(*_alike(ours, theirs, visible)))  # (n pairs, heads) each
        hidden.append(F.mse_loss(*_alike(student.hidden[m], teacher.hidden[n], real)))
    terms = {"embedding": F.mse_loss(*_alike(student.hidden[0], teacher.hidden[0], real))}
    terms |= {"hidden": torch.stack(hidden).sum(), "attention": torch.stack(attention).sum()}
    if stage == "task":
        terms["prediction"] = soft_target_loss(student.logits, teacher.logits, 1.0, student.targets)
    return terms


def tinybert_loss(
    student: ModelOutputs, teacher: ModelOutputs, layers: Sequence[int], *, stage: str = "general"
) -> Tensor:
    """Return the sum of :func:`tinybert_losses`."""
    return torch.stack(list(tinybert_losses(student, teacher, layers, stage=stage).values())).sum()


def centred_scores(weights: Tensor, visible: Tensor) -> Tensor:
    """Return what attention scored before the softmax, less each query's mean: ``log a - mean(log a)``.

    For ``log a = score - log sum exp(scores)``. A weight too small for its number format counts as the smallest there.

    Args:
        weights: a, (batch, heads, query, key).
        visible: boolean (batch, query, key); the mean is over the keys that are seen, and what is not seen gives 0.

    Returns:
        (batch, heads, query, key).
    """
    seen = visible[:, None]  # (batch, 1, query, key)
    scores = weights.clamp(min=torch.finfo(weights.dtype).tiny).log() * seen
    return (scores - scores.sum(-1, keepdim=True) / seen.sum(-1, keepdim=True).clamp(min=1)) * seen


class Distiller:
    """A teacher and a method of teaching, together a loss (student, batch) -> scalar as ``fit`` takes it."""

    def __init__(self, teacher: nn.Module, loss: Callable[..., Tensor], **settings: Any) -> None:
        """Keep the teacher, whose weights never change, the loss (student's outputs, teacher's outputs) and its settings."""
        self.teacher, self.loss, self.settings = teacher, loss, settings

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """Show both models the batch, the teacher in evaluation mode and without a gradient, and compare.

        Args:
            model: the student, in a :class:`companion.distillation.student.Student` where it is narrower than the teacher.
            batch: see :func:`companion.distillation.student.run_with_outputs`.

        Raises:
            ValueError: on another vocabulary, other labels, or weights that both models hold; and what the loss raises.
        """
        check_pair(model, self.teacher)
        self.teacher.eval().to(next(model.parameters()).device)
        inside = self.loss is not hinton_loss  # which needs nothing but scores, and those are faster
        with torch.no_grad():
            taught = run_with_outputs(self.teacher, batch, inside)
        return self.loss(run_with_outputs(model, batch, inside), taught, **self.settings)


def _real(seen: ModelOutputs) -> Tensor:
    """Boolean (batch, length), True = a real token: it sees itself."""
    return seen.visible.diagonal(dim1=1, dim2=2)


def _alike(ours: Tensor, theirs: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """The vectors of student and teacher, (n, width) each, at the n places that are True."""
    if ours.size(-1) != theirs.size(-1):
        n, m = theirs.size(-1), ours.size(-1)
        raise ValueError(f"vectors of widths {n} and {m} cannot be compared; project them with Student(model, {n})")
    return ours[where], theirs[where]
