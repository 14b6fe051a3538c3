"""Distillation losses: a small model, the student, is trained to match the outputs of a large one, its teacher.

==========  ===================================================================  =============================
Method      Outputs of the student that are matched to the teacher's             Source
==========  ===================================================================  =============================
Hinton      logits, softened by a temperature                                    Hinton et al. 2015, section 2
DistilBERT  softened logits, direction of the last hidden states                 Sanh et al. 2019, section 2
BERT-PKD    softened logits, hidden states of [CLS] in the intermediate layers   Sun et al. 2019, section 3
TinyBERT    embeddings, hidden states and attention of every layer, then logits  Jiao et al. 2020, section 3
==========  ===================================================================  =============================

Each loss compares the :class:`companion.distillation.outputs.ModelOutputs` of the two; a
:class:`companion.distillation.distiller.Distiller` runs both models and compares::

    fit(student, batches, loss=Distiller(teacher, pkd_loss, layers=skip_layers(2, 4)))

Chapter: ``book/algorithms/distillation.ipynb``.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import IGNORED, upcast
from companion.distillation.distiller import logits_only
from companion.distillation.outputs import ModelOutputs, centred_scores
from companion.distillation.student import check_layers
from companion.losses.cross_entropy import cross_entropy
from companion.nn.checks import check_temperature, check_weight

STAGES = ("general", "task")


def soft_target_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, targets: Tensor | None = None
) -> Tensor:
    """Soft-target loss: KL divergence of the student's softened distribution from the teacher's, in nats times T^2.

    ``L = T^2 1/n sum_i KL(p_i || q_i)``, ``p = softmax(teacher / T)``, ``q = softmax(student / T)``, over the n
    positions with a target. The gradient of the divergence shrinks as 1 / T^2, so the factor keeps it in proportion to
    that of a hard loss beside it (Hinton et al. 2015, section 2). The paper has the cross-entropy ``KL + H(p)``, whose
    gradient is the same.

    >>> teacher = torch.tensor([[3.0, 1.0]]).log()  # probabilities 3/4 and 1/4
    >>> soft_target_loss(torch.zeros(1, 2), teacher, temperature=1.0)  # log 2 less the teacher's entropy
    tensor(0.1308)

    Args:
        student_logits: (…, classes).
        teacher_logits: (…, classes).
        temperature: T; the higher, the more the small probabilities count.
        targets: (…); positions that are ``IGNORED`` are left out. None are when not given.

    Raises:
        ValueError: when T is not positive and finite, the shapes do not fit, or no position has a target.
    """
    check_temperature(temperature)
    if student_logits.shape != teacher_logits.shape:
        shapes = f"{tuple(teacher_logits.shape)} and {tuple(student_logits.shape)}"
        raise ValueError(f"teacher and student must score the same positions and the same classes; got {shapes}")
    if targets is not None:
        if targets.shape != student_logits.shape[:-1]:
            raise ValueError(f"targets must be {tuple(student_logits.shape[:-1])}; got {tuple(targets.shape)}")
        scored = targets != IGNORED
        student_logits, teacher_logits = student_logits[scored], teacher_logits[scored]  # (n, classes)
    if not student_logits.numel():
        raise ValueError("there must be a position with a target; got none")
    log_p, log_q = (upcast(z / temperature).log_softmax(-1) for z in (teacher_logits, student_logits))
    divergence = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
    return temperature**2 * divergence.mean()


@logits_only
def hinton_loss(
    student: ModelOutputs, teacher: ModelOutputs, *, temperature: float = 2.0, alpha: float = 0.9
) -> Tensor:
    """Hinton's distillation loss ``(1 - alpha) L_hard + alpha L_soft`` (Hinton et al. 2015, section 2).

    ``L_hard`` is the cross-entropy of the targets, at temperature 1, ``L_soft`` that of :func:`soft_target_loss`. The
    paper found it best to give ``L_hard`` the smaller weight.

    >>> targets, mask = torch.tensor([[0]]), torch.ones(1, 1, 1, dtype=torch.bool)
    >>> student = ModelOutputs(torch.zeros(1, 1, 2), targets, mask)
    >>> teacher = student._replace(logits=torch.tensor([[[3.0, 1.0]]]).log())
    >>> hinton_loss(student, teacher, alpha=0.0), hinton_loss(student, teacher, temperature=1.0, alpha=1.0)
    (tensor(0.6931), tensor(0.1308))

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
    """DistilBERT's triple loss ``w_1 L_soft + w_2 L_hard + w_3 L_cos`` (Sanh et al. 2019, section 2).

    ``L_cos = 1/n sum_t 1 - cos(s_t, t_t)`` over the n real tokens, s and t the last hidden states. ``L_hard`` is the
    masked language modelling loss in pre-training, and the cross-entropy of the labels in fine-tuning. The weights are
    the release's, which compares the logits at all real tokens by default; here only those of positions with a target.

    >>> outputs = ModelOutputs(torch.zeros(1, 1, 2), torch.tensor([[0]]), torch.ones(1, 1, 1, dtype=torch.bool))
    >>> student, teacher = (outputs._replace(hidden=[h[None, None]]) for h in torch.eye(2))  # orthogonal vectors
    >>> distilbert_loss(student, teacher)  # 5 * 0 + 2 log 2 + 1
    tensor(2.3863)

    Raises:
        ValueError: when the vectors are not of the same width, the weights are not three, or one of them is below 0 or
            not finite; see also :func:`soft_target_loss`.
    """
    if len(weights) != 3:
        raise ValueError(f"weights must be three, of L_soft, L_hard and L_cos; got {len(weights)}")
    for place, weight in enumerate(weights):
        check_weight(f"weights[{place}]", weight)
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
    """BERT-PKD's loss ``(1 - alpha) L_hard + alpha L_soft + beta L_PT`` (Sun et al. 2019, section 3).

    The patience loss is ``L_PT = 1/n sum_i sum_{m < M} | s_im / |s_im| - t_i,g(m) / |t_i,g(m)| |^2``, s and t the
    [CLS] vectors of text i, M the student's layers and g the map. The last layer is left to the logits. The release
    takes the mean over m and over the d_model coordinates as well, so its beta of 10 to 1000 is (M - 1) d_model times
    as large as here.

    >>> mask = torch.ones(1, 1, 1, dtype=torch.bool)
    >>> x, y = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
    >>> student = ModelOutputs(torch.zeros(1, 1, 2), torch.tensor([[0]]), mask, hidden=[x, x, x])
    >>> teacher = student._replace(hidden=[x, x, y, x, x])
    >>> pkd_loss(student, teacher, layers=(2, 4), alpha=1.0)  # only layer 1 is compared: |x - y|^2
    tensor(2.)

    Args:
        student: outputs of a student of M >= 2 layers.
        teacher: outputs of a teacher as wide as the student.
        layers: g, one number for each of the M layers: ``skip_layers`` (PKD-skip) or ``last_layers`` (PKD-last).
        temperature: see :func:`soft_target_loss`.
        alpha: weight of the soft targets, see :func:`hinton_loss`.
        beta: weight of the patience loss.

    Raises:
        ValueError: on an impossible map, vectors of different widths, a student of one layer, or a model whose first
            token does not attend to the whole text; see also :func:`hinton_loss`.
    """
    check_weight("beta", beta)
    check_layers(layers, len(student.hidden) - 1, len(teacher.hidden) - 1)
    if len(layers) < 2:
        raise ValueError(f"the student must have 2 layers or more, since the last is left out; got {len(layers)}")
    if not torch.equal(student.visible[:, 0], _real(student)):
        raise ValueError("the first token must attend to the whole text, as [CLS] does; it does not in a causal model")
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
    """Terms of TinyBERT's loss, by name (Jiao et al. 2020, section 3.1).

    ``embedding = MSE(E^S W_e, E^T)``; summed over the layers m, ``hidden = MSE(H_m^S W_h, H_g(m)^T)`` and
    ``attention = MSE(A_m^S, A_g(m)^T)``; ``prediction = KL(softmax(z^T) || softmax(z^S))``, at temperature 1. W_e and
    W_h are those of :class:`companion.distillation.student.Student`. Only real tokens count.

    **Which attention:** the paper compares the scores before the softmax. Captured are the weights after it, which
    determine the scores up to one constant per query, cancelled by the softmax; A is the scores without it, by
    :func:`companion.distillation.outputs.centred_scores`. So the paper also matches that constant, which has no
    influence on the outputs, and this loss does not.

    >>> mask, x = torch.ones(1, 1, 1, dtype=torch.bool), torch.ones(1, 1, 2)
    >>> student = ModelOutputs(x, torch.tensor([[0]]), mask, hidden=[x, x], attention=[mask[None].float()])
    >>> teacher = student._replace(hidden=[x, x + 3])
    >>> tinybert_losses(student, teacher, layers=(1,))
    {'embedding': tensor(0.), 'hidden': tensor(9.), 'attention': tensor(0.)}

    Args:
        student: outputs of the student, projected unless it is as wide as the teacher.
        teacher: outputs of a teacher with as many heads.
        layers: g, one number for each layer of the student; the paper has ``skip_layers``.
        stage: "general" (on texts, first three terms) or "task" (on labelled texts, all four). The paper trains twice
            on the labelled texts, with the first three terms and then with the prediction alone; the former is the
            "general" loss there, the latter :func:`hinton_loss` with temperature 1 and alpha 1.

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
    """TinyBERT's loss: the sum of :func:`tinybert_losses`.

    >>> mask, x = torch.ones(1, 1, 1, dtype=torch.bool), torch.ones(1, 1, 2)
    >>> student = ModelOutputs(x, torch.tensor([[0]]), mask, hidden=[x, x], attention=[mask[None].float()])
    >>> tinybert_loss(student, student._replace(hidden=[x + 1, x + 3]), layers=(1,))
    tensor(10.)
    """
    return torch.stack(list(tinybert_losses(student, teacher, layers, stage=stage).values())).sum()


def _real(outputs: ModelOutputs) -> Tensor:
    """Boolean (batch, length), True = a real token: it attends to itself."""
    return outputs.visible.diagonal(dim1=1, dim2=2)


def _alike(ours: Tensor, theirs: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of student and teacher, (n, width) each, at the n positions where ``where`` is True."""
    if ours.size(-1) != theirs.size(-1):
        n, m = theirs.size(-1), ours.size(-1)
        raise ValueError(f"vectors of widths {n} and {m} cannot be compared; project them with Student(model, {n})")
    return ours[where], theirs[where]
