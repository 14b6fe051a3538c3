"""A student that writes learns from its teacher's texts, and from what its teacher thinks of its own."""

import pytest
import torch
from small_models import tiny_gpt

from companion.data.batch import IGNORED
from companion.distillation.distiller import Distiller
from companion.distillation.losses import hinton_loss, soft_target_loss
from companion.distillation.outputs import ModelOutputs, run_with_outputs
from companion.distillation.sequences import OnPolicyDistiller, reverse_kl_loss, written
from companion.losses.causal import completion_loss
from companion.training import Optimization, Runtime, fit

QUIET = {"runtime": Runtime(device="cpu"), "progress": False, "optimization": Optimization(weight_decay=0.0)}
PROMPTS = torch.zeros(16, 1, dtype=torch.int64)


def pair():
    teacher, student = tiny_gpt(n_layers=4), tiny_gpt(1)
    with torch.no_grad():
        teacher.token_embedding.weight.mul_(3)  # so that it is sure of something
    return teacher, student


def outputs(seed=0, n=3):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, n, 5, generator=draw, dtype=torch.float64)
    targets = torch.tensor([[1, 2, IGNORED], [0, IGNORED, IGNORED]])
    return ModelOutputs(logits, targets, torch.ones(2, n, n, dtype=torch.bool))


# Reverse divergence


def test_the_reverse_divergence_is_the_forward_one_with_the_models_exchanged():
    one, other = outputs(0), outputs(1)
    expected = soft_target_loss(other.logits, one.logits, 1.0, one.targets)
    torch.testing.assert_close(reverse_kl_loss(one, other), expected)
    assert reverse_kl_loss(one, one).item() == pytest.approx(0.0)


def test_its_gradient_is_that_of_finite_differences_and_reaches_targets_alone():
    one, other = outputs(0), outputs(1)
    logits = one.logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: reverse_kl_loss(one._replace(logits=z), other), [logits])
    (gradient,) = torch.autograd.grad(reverse_kl_loss(one, other), logits)
    assert torch.equal(gradient.abs().sum(-1) > 0, one.targets != IGNORED)


def test_what_cannot_be_compared_is_refused():
    one = outputs()
    with pytest.raises(ValueError, match=r"the same tokens; got \(2, 3, 4\) and \(2, 3, 5\)"):
        reverse_kl_loss(one, one._replace(logits=one.logits[..., :4]))
    with pytest.raises(ValueError, match="a position with a target; got none"):
        reverse_kl_loss(one._replace(targets=torch.full((2, 3), IGNORED)), one)


# What a model writes


def test_a_completion_ends_with_its_stop_token_and_nothing_after_it_is_a_target():
    model = tiny_gpt()
    torch.manual_seed(0)
    prompts = torch.randint(31, (40, 3))
    batch = written(model, prompts, max_new_tokens=13, stop=7)
    assert torch.equal(batch.inputs[:, :3], prompts)
    assert bool((batch.targets[:, :2] == IGNORED).all())
    stopped = 0
    for inputs, targets in zip(batch.inputs, batch.targets[:, 2:], strict=True):
        own = targets[targets != IGNORED].tolist()
        assert own
        assert 7 not in own[:-1]
        assert own[:-1] == inputs[3 : 2 + len(own)].tolist()
        stopped += own[-1] == 7
        assert own[-1] == 7 or len(own) == len(targets)
    assert 0 < stopped < len(prompts)


def test_a_model_writes_each_token_as_often_as_it_says():
    model = tiny_gpt()
    torch.manual_seed(0)
    first = written(model, torch.zeros(20_000, 1, dtype=torch.int64), 1, stop=0).targets[:, 0]
    said = model(torch.zeros(1, 1, dtype=torch.int64))[0, 0].softmax(-1)
    torch.testing.assert_close(first.bincount(minlength=31) / len(first), said, rtol=0, atol=0.01)


# Both ways to learn


def test_on_policy_the_two_are_compared_on_what_the_student_writes():
    teacher, student = pair()
    loss = OnPolicyDistiller(teacher, reverse_kl_loss, max_new_tokens=9, stop=7)
    torch.manual_seed(3)
    value = loss(student, PROMPTS)
    torch.manual_seed(3)
    batch = written(student, PROMPTS, 9, 7)
    torch.testing.assert_close(value, Distiller(teacher, reverse_kl_loss)(student, batch))
    forward = OnPolicyDistiller(teacher, hinton_loss, max_new_tokens=9, stop=7, temperature=1.0, alpha=1.0)
    torch.manual_seed(3)
    ours, theirs = (run_with_outputs(model, batch, False) for model in (student, teacher))
    expected = soft_target_loss(ours.logits, theirs.logits, 1.0, batch.targets)
    torch.testing.assert_close(forward(student, PROMPTS), expected)


def test_the_student_comes_nearer_to_its_teacher_on_its_own_texts():
    teacher, student = pair()
    loss = OnPolicyDistiller(teacher, reverse_kl_loss, max_new_tokens=9, stop=7)
    history = fit(student, [PROMPTS], steps=60, loss=loss, learning_rate=1e-2, **QUIET)
    assert sum(history.loss[-5:]) < 0.7 * sum(history.loss[:5])


def test_the_student_comes_nearer_to_its_teacher_on_its_teachers_texts():
    teacher, student = pair()
    torch.manual_seed(0)
    lesson, exam = (written(teacher, torch.zeros(256, 1, dtype=torch.int64), 9, stop=7) for _ in range(2))
    before = completion_loss(student, exam).item()
    fit(student, [lesson], steps=60, loss=completion_loss, learning_rate=1e-2, **QUIET)
    assert completion_loss(student, exam).item() < 0.95 * before
