"""A student: the layers that it learns from, what it begins with, and the matrices that only the comparison needs."""

import pytest
import torch
from small_models import random_ids, tiny_bert

from companion.distillation.student import Student, every_second, initialise_from, last_layers, skip_layers
from companion.finetuning.heads import SequenceClassifier
from companion.nn.capture import capture

NAMES = ("a", "b", "c")


def values(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


# Layer maps


@pytest.mark.parametrize(
    ("n_student", "n_teacher", "skip", "last"),
    [
        (2, 4, (2, 4), (3, 4)),
        (6, 12, (2, 4, 6, 8, 10, 12), (7, 8, 9, 10, 11, 12)),
        (4, 12, (3, 6, 9, 12), (9, 10, 11, 12)),
        (3, 3, (1, 2, 3), (1, 2, 3)),
        (5, 12, (2, 4, 7, 9, 12), (8, 9, 10, 11, 12)),
    ],
)
def test_layer_maps(n_student, n_teacher, skip, last):
    assert skip_layers(n_student, n_teacher) == skip
    assert last_layers(n_student, n_teacher) == last


def test_every_second_layer_begins_with_the_first():
    assert [every_second(n) for n in (1, 4, 5)] == [(1,), (1, 3), (1, 3, 5)]
    assert every_second(12) == (1, 3, 5, 7, 9, 11)


# The start


def test_the_start_copies_the_named_layers_and_what_is_outside_of_them():
    teacher, student = tiny_bert(n_layers=4), tiny_bert(1, "distilbert")
    before = values(teacher)
    initialise_from(student, teacher, (1, 3))
    for name, p in student.named_parameters():
        source = name.replace("blocks.1.", "blocks.2.")
        assert torch.equal(p, before[source]), name
        assert p.data_ptr() != teacher.get_parameter(source).data_ptr()
    assert all(torch.equal(p, before[name]) for name, p in teacher.named_parameters())


def test_a_new_head_stays_as_it_was():
    student, teacher = SequenceClassifier(tiny_bert(1), NAMES), tiny_bert(n_layers=4)
    head = student.classifier.weight.clone()
    initialise_from(student.bert, teacher, skip_layers(2, 4))
    assert torch.equal(student.classifier.weight, head)
    assert torch.equal(
        student.bert.encoder.blocks[1].attention.key.weight, teacher.encoder.blocks[3].attention.key.weight
    )


def test_a_start_that_does_not_fit_changes_nothing():
    student = tiny_bert(1)
    before = values(student)
    with pytest.raises(ValueError, match=r"token_embedding.weight is \(31, 12\) in the student, and .* \(40, 12\)"):
        initialise_from(student, tiny_bert(vocab_size=40), (1, 2))
    with pytest.raises(ValueError, match=r"blocks.0.attention.query.weight .* None in the teacher"):
        initialise_from(student, SequenceClassifier(tiny_bert(), NAMES), (1, 2))
    assert all(torch.equal(p, before[name]) for name, p in student.named_parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: skip_layers(5, 4), "a student has 1 layer to as many as its teacher, 4; got 5"),
        (lambda: last_layers(0, 4), "as many as its teacher, 4; got 0"),
        (lambda: every_second(0), "as many as its teacher, 0; got 1"),
        (lambda: initialise_from(tiny_bert(n_layers=3), tiny_bert(), (1, 2, 2)), "as its teacher, 2; got 3"),
        (lambda: initialise_from(tiny_bert(), tiny_bert(n_layers=4), (1, 2, 3)), "2 layers; got \\(1, 2, 3\\)"),
        (lambda: initialise_from(tiny_bert(), tiny_bert(n_layers=4), (2, 5)), "layers are 1 to 4; got 5"),
        (lambda: Student(tiny_bert(), 0), "d_teacher must be at least 1; got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Projections


def test_a_student_computes_what_its_model_does():
    model = tiny_bert()
    ids = random_ids(model, 2, 5)
    student = Student(model, 20)
    assert torch.equal(student(ids), model(ids))
    assert student.config is model.config


def test_hidden_states_are_projected_the_embeddings_by_a_matrix_of_their_own():
    student = Student(tiny_bert(), 20)
    with capture(student.model) as record:
        student(random_ids(student.model, 2, 5))
    projected = student.projected(record.hidden)
    matrices = [student.embedding_projection.weight, *[student.hidden_projection.weight] * 2]
    for hidden, own, matrix in zip(record.hidden, projected, matrices, strict=True):
        torch.testing.assert_close(own, hidden @ matrix.T)


def test_between_equal_widths_a_projection_begins_as_the_identity():
    student, hidden = Student(tiny_bert(), 12), [torch.randn(2, 3, 12) for _ in range(3)]
    for own, given in zip(student.projected(hidden), hidden, strict=True):
        torch.testing.assert_close(own, given)
