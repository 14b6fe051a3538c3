"""A teacher and its student: the one stays as it is, the other learns, and pairs that do not fit are refused."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from small_models import TINY, random_ids, stir, tiny_bert, tiny_gpt

from companion.data.batch import IGNORED
from companion.data.labelled import Labelled, Tagged
from companion.distillation.distiller import Distiller, logits_only
from companion.distillation.losses import (
    distilbert_loss,
    hinton_loss,
    pkd_loss,
    soft_target_loss,
    tinybert_loss,
    tinybert_losses,
)
from companion.distillation.outputs import run_with_outputs
from companion.distillation.student import Student
from companion.finetuning.heads import SequenceClassifier, TokenClassifier
from companion.losses.causal import causal_loss, completions
from companion.losses.masked import mask_tokens
from companion.models.bert import BertConfig, BertForPreTraining
from companion.training import Optimization, Runtime, fit

NAMES = ("a", "b", "c")
QUIET = {"runtime": Runtime(device="cpu"), "progress": False}
INSIDE = {distilbert_loss: {}, pkd_loss: {"layers": (2, 4)}, tinybert_loss: {"layers": (2, 4), "stage": "task"}}
METHODS = {hinton_loss: {}} | INSIDE
each_method = pytest.mark.parametrize("method", METHODS)


def pretraining(seed=0, **sizes):
    torch.manual_seed(seed)
    config = getattr(BertConfig, sizes.pop("family", "bert"), BertConfig)
    model = BertForPreTraining(config(**TINY | sizes)).eval()
    stir(model)
    return model


def masked():
    ids = torch.randint(3, 31, (3, 9), generator=torch.Generator().manual_seed(0))
    real = torch.ones_like(ids, dtype=torch.bool)
    real[1, 7:] = False
    return mask_tokens(ids, real, mask_id=2, vocab_size=31, generator=torch.Generator().manual_seed(1))


def labelled():
    ids, _, visible = masked()
    return Labelled(ids, torch.zeros_like(ids), visible[:, 0], torch.arange(3))


def values(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


# A teacher and its student


def test_a_student_like_its_teacher_has_nothing_to_learn():
    teacher = pretraining()
    batch, model = masked(), copy.deepcopy(teacher)
    one, other = run_with_outputs(Student(model, 12), batch), run_with_outputs(teacher, batch)
    terms = tinybert_losses(one, other, (1, 2), stage="task")
    terms |= {"soft": hinton_loss(one, other, alpha=1), "cosine": distilbert_loss(one, other, weights=(1, 0, 1))}
    terms |= {"pkd": pkd_loss(one, other, (1, 2), alpha=1)}
    assert {name: round(term.item(), 5) for name, term in terms.items()} == dict.fromkeys(terms, 0.0)


@each_method
def test_the_teacher_stays_bit_for_bit_and_the_student_learns(method):
    teacher, model = pretraining(n_layers=4, dropout=0.1).train(), pretraining(1)
    before = values(teacher)
    loss = Distiller(teacher, method, **METHODS[method])
    history = fit(
        model, [masked()], steps=15, learning_rate=1e-2, loss=loss, optimization=Optimization(weight_decay=0.0), **QUIET
    )
    assert history.loss[-1] < 0.7 * history.loss[0]
    assert all(torch.equal(p, before[name]) for name, p in teacher.named_parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert not teacher.training


def test_a_narrow_student_learns_through_projections_and_is_saved_alone(tmp_path):
    student = Student(pretraining(1, d_model=8, family="distilbert"), 12)
    before = values(student)
    loss = Distiller(pretraining(n_layers=4), tinybert_loss, layers=(2, 4))
    muon = Optimization("muon", weight_decay=0.0)
    history = fit(student, [masked()], steps=15, learning_rate=1e-2, loss=loss, optimization=muon, **QUIET)
    assert history.loss[-1] < history.loss[0]
    heads = ("model.decoder", "model.transform")  # of the scores, which the general stage leaves alone
    changed = {name for name, p in student.named_parameters() if not torch.equal(p, before[name])}
    assert {name for name in before if not name.startswith(heads)} <= changed
    student.save_pretrained(tmp_path)
    loaded, ids = BertForPreTraining.from_pretrained(tmp_path), masked().inputs
    torch.testing.assert_close(loaded(ids)[0], student(ids)[0])


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "distilbert"])
@pytest.mark.parametrize("method", INSIDE)
def test_classifiers_of_every_family_are_taught_and_padding_has_no_influence(method, family):
    teacher, student = (SequenceClassifier(tiny_bert(i, family, n_layers=n), NAMES) for i, n in enumerate((4, 2)))
    batch, loss = labelled(), Distiller(teacher, method, **INSIDE[method])
    other = batch._replace(inputs=torch.where(batch.attention_mask, batch.inputs, 7))
    torch.testing.assert_close(loss(student.eval(), batch), loss(student, other))


def test_a_tagger_is_taught_where_tags_are_asked():
    tagger, batch = TokenClassifier(tiny_bert(), NAMES).eval(), labelled()
    tags = torch.full_like(batch.inputs, IGNORED)
    tags[:, 2] = 1
    said = run_with_outputs(tagger, Tagged(*batch[:3], tags))
    expected = soft_target_loss(said.logits[:, 2], said.logits[:, 2].flip(0), 2.0)
    torch.testing.assert_close(hinton_loss(said, said._replace(logits=said.logits.flip(0)), alpha=1), expected)


def test_a_gpt_is_taught_next_tokens_and_padding_has_no_influence():
    teacher, student = tiny_gpt(n_layers=4), tiny_gpt(1)
    ids = random_ids(student, 2, 9)
    loss = Distiller(teacher, hinton_loss, alpha=1.0)
    torch.testing.assert_close(loss(student, ids), soft_target_loss(student(ids[:, :-1]), teacher(ids[:, :-1]), 2.0))
    filled = F.pad(ids, (0, 3), value=IGNORED)
    torch.testing.assert_close(loss(student, filled), loss(student, ids))
    torch.testing.assert_close(Distiller(teacher, hinton_loss, alpha=0.0)(student, ids), causal_loss(student, ids))
    batches, no_decay = [completions([[1, 2], [3]], [[4, 5], [6, 7]])], Optimization(weight_decay=0.0)
    history = fit(student, batches, steps=10, loss=loss, optimization=no_decay, **QUIET)
    assert history.loss[-1] < history.loss[0]


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("bound", [True, False])
def test_hidden_states_are_recorded_unless_the_loss_is_declared_to_read_logits_alone(declared, bound):
    def logits_and_layers(student, teacher, scale):
        layers.append((len(student.hidden), len(teacher.hidden)))
        return scale * student.logits.mean()

    layers, settings = [], {"scale": 2.0}
    loss = logits_only(logits_and_layers) if declared else logits_and_layers
    distiller = (
        Distiller(pretraining(), partial(loss, **settings)) if bound else Distiller(pretraining(), loss, **settings)
    )
    distiller(pretraining(1), masked())
    assert layers == [(0, 0) if declared else (3, 3)]


# What does not fit


def test_pairs_that_do_not_fit_are_refused():
    def teach(student, teacher, method=hinton_loss, batch=None, **options):
        return Distiller(teacher, method, **options)(student, masked() if batch is None else batch)

    with pytest.raises(ValueError, match="the same vocabulary; got 40 and 31 tokens"):
        teach(pretraining(), pretraining(vocab_size=40))
    with pytest.raises(ValueError, match="as many heads; got 3 and 2"):
        teach(pretraining(), pretraining(n_heads=3), tinybert_loss, layers=(1, 2))
    for names in (("a", "b"), ("a", "c", "b")):
        with pytest.raises(ValueError, match=r"same labels, in order; got \('a', .*\) and \('a', 'b', 'c'\)"):
            teach(*(SequenceClassifier(tiny_bert(), labels) for labels in (NAMES, names)), batch=labelled())
    teacher = tiny_bert()
    with pytest.raises(ValueError, match="two models, and both hold bert.token_embedding.weight; copy one"):
        teach(*(SequenceClassifier(teacher, NAMES) for _ in range(2)), batch=labelled())
    with pytest.raises(ValueError, match="does not in a causal model"):
        teach(tiny_gpt(), tiny_gpt(1), pkd_loss, random_ids(teacher, 2, 5), layers=(1, 2))
    with pytest.raises(TypeError, match="Tensor, Completions, .*; got dict"):
        teach(pretraining(), pretraining(1), batch={})
