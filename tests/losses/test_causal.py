"""The causal loss asks each position for the token that comes next."""

import math

import pytest
import torch
from small_models import random_ids, tiny_gpt
from torch import nn

from companion.data.batch import IGNORED
from companion.losses import causal
from companion.losses.causal import answer_log_probs, causal_loss, completion_loss, completions
from companion.nn.capture import capture


class Fixed(nn.Module):
    """A model whose logits do not depend on what it reads, but which remembers what that was."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, ids):
        self.seen = ids
        return self.logits.expand(*ids.shape, -1)


def test_two_tokens_by_hand():
    probabilities = torch.tensor([0.7, 0.2, 0.1])
    loss = causal_loss(Fixed(probabilities.log()), torch.tensor([[0, 1, 2]]))
    assert loss.item() == pytest.approx(-(math.log(0.2) + math.log(0.1)) / 2)


def test_the_model_never_reads_the_last_token():
    model = Fixed(torch.zeros(5))
    causal_loss(model, torch.tensor([[1, 2, 3], [4, 0, 1]]))
    assert model.seen.tolist() == [[1, 2], [4, 0]]


def test_a_uniform_guess_costs_the_logarithm_of_the_vocabulary():
    assert causal_loss(Fixed(torch.zeros(32)), torch.randint(32, (4, 9))).item() == pytest.approx(math.log(32))


def test_the_mean_is_over_all_rows_and_positions():
    model = tiny_gpt()
    ids = random_ids(model, 4, 9)
    rows = torch.stack([causal_loss(model, row[None]) for row in ids])
    torch.testing.assert_close(causal_loss(model, ids), rows.mean())


def test_half_precision_logits_are_scored_in_single_precision():
    assert causal_loss(Fixed(torch.zeros(8, dtype=torch.bfloat16)), torch.zeros(1, 3).long()).dtype == torch.float32


@pytest.mark.parametrize("shape", [(5,), (2, 1), (2, 0), (1, 2, 3)])
def test_nothing_to_predict_is_refused_with_the_shape(shape):
    with pytest.raises(ValueError, match=r"ids must be \(batch, length >= 2\)") as refusal:
        causal_loss(Fixed(torch.zeros(4)), torch.zeros(shape, dtype=torch.long))
    assert str(shape) in str(refusal.value)


# Rows of different lengths


def padded(rows):
    ids = torch.full((len(rows), max(map(len, rows))), IGNORED)
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = row
    return ids


def test_padding_is_no_target_and_changes_no_score():
    model = tiny_gpt()
    rows = [random_ids(model, 1, length, seed=length)[0] for length in (3, 9, 6)]
    nats = sum(causal_loss(model, row[None]) * (len(row) - 1) for row in rows)
    torch.testing.assert_close(causal_loss(model, padded(rows)), nats / (2 + 8 + 5))


def test_padding_pulls_at_no_weight():
    model = tiny_gpt()
    row = random_ids(model, 1, 5)[0]
    gradients = []
    for ids in (row[None], padded([row, row[:1]]), padded([row, random_ids(model, 1, 9)[0]])[:1]):
        model.zero_grad()
        causal_loss(model, ids).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0])


def test_the_model_reads_token_0_where_padding_stands():
    model = Fixed(torch.zeros(5))
    causal_loss(model, torch.tensor([[1, 2, IGNORED, IGNORED], [3, 4, 1, IGNORED]]))
    assert model.seen.tolist() == [[1, 2, 0], [3, 4, 1]]


def test_a_batch_of_padding_is_refused():
    ids = torch.tensor([[1, IGNORED, IGNORED], [2, IGNORED, IGNORED]])
    with pytest.raises(ValueError, match="each of the 4 targets is -100, padding; there is nothing to predict"):
        causal_loss(Fixed(torch.zeros(5)), ids)


# Prompts and their answers


def test_only_the_answer_is_asked():
    batch = completions([[5, 6, 7], [8]], [[1, 2], [3, 4, 9]])
    assert batch.inputs.tolist() == [[5, 6, 7, 1], [8, 3, 4, 0]]
    assert batch.targets.tolist() == [[IGNORED, IGNORED, 1, 2], [3, 4, 9, IGNORED]]
    assert batch.visible[1].equal(torch.ones(4, 4).tril().bool())


def test_its_loss_is_the_answers_surprisal_given_the_prompt():
    model = tiny_gpt()
    log_probs = model(torch.tensor([[5, 6, 7, 1]])).log_softmax(-1)
    loss = completion_loss(model, completions([[5, 6, 7]], [[1, 2]]))
    torch.testing.assert_close(loss, -(log_probs[0, 2, 1] + log_probs[0, 3, 2]) / 2)


def test_after_a_prompt_of_one_token_it_is_the_causal_loss():
    model, ids = tiny_gpt(), random_ids(tiny_gpt(), 3, 7)
    batch = completions([row[:1] for row in ids.tolist()], [row[1:] for row in ids.tolist()])
    torch.testing.assert_close(completion_loss(model, batch), causal_loss(model, ids))


@pytest.mark.parametrize(("prompts", "answers"), [([[1]], []), ([[1]], [[]]), ([[]], [[1]])])
def test_a_prompt_without_an_answer_is_refused(prompts, answers):
    with pytest.raises(ValueError, match="each prompt must have an answer, none empty"):
        completions(prompts, answers)


def test_the_log_probabilities_of_an_answer_add_up_to_the_loss_and_the_prompt_has_none():
    model = tiny_gpt()
    batch = completions([[1, 2, 3], [4]], [[0], [2, 3, 1]])
    found = answer_log_probs(model, batch)
    assert found[batch.targets == IGNORED].abs().sum() == 0
    torch.testing.assert_close(-found.sum() / 4, completion_loss(model, batch))


def test_the_log_probability_of_an_answer_is_that_of_its_tokens_in_turn():
    probabilities = torch.tensor([0.7, 0.2, 0.1])
    found = answer_log_probs(Fixed(probabilities.log()), completions([[0, 0]], [[1, 2]]))
    torch.testing.assert_close(found.sum(1).exp(), torch.tensor([0.2 * 0.1]))


# A vocabulary so wide that the logits are not kept


def without_logits(model, loss, batch, monkeypatch):
    """The loss and the gradients, where logits would be an error."""
    monkeypatch.setattr(causal, "cross_entropy", lambda *_: pytest.fail("the logits were computed"))
    value = loss(model, batch)
    monkeypatch.undo()
    return value, torch.autograd.grad(value, list(model.parameters()))


@pytest.mark.parametrize(
    ("loss", "batch"),
    [
        (causal_loss, torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, IGNORED, IGNORED]])),
        (completion_loss, completions([[3, 1], [9]], [[4, 1, 5], [2, 6]])),
    ],
)
def test_loss_and_gradients_are_those_of_the_logits(monkeypatch, loss, batch):
    model = tiny_gpt(vocab_size=64, d_model=12)
    found = without_logits(model, loss, batch, monkeypatch)
    monkeypatch.setattr(causal, "WIDE", 10)
    value = loss(model, batch)
    torch.testing.assert_close(found, (value, torch.autograd.grad(value, list(model.parameters()))))


def watched(model):
    model.register_forward_hook(lambda *_: None)


def watched_backwards(model):
    model.unembedding.register_full_backward_hook(lambda *_: None)


def replaced(model):
    model.unembedding = nn.Sequential(model.unembedding)


@pytest.mark.parametrize("change", [watched, watched_backwards, replaced], ids=lambda f: f.__name__)
def test_a_model_that_is_watched_or_changed_gives_its_logits(monkeypatch, change):
    model = tiny_gpt(vocab_size=64, d_model=12)
    change(model)
    monkeypatch.setattr(causal, "linear_cross_entropy", lambda *_: pytest.fail("the logits were left out"))
    causal_loss(model, random_ids(model, 2, 5))


def test_what_is_captured_in_training_is_all_there():
    model = tiny_gpt(vocab_size=64, d_model=12)
    with capture(model, detach=False) as record:
        causal_loss(model, random_ids(model, 2, 5))
    assert record.hidden[-1].requires_grad


def test_padding_before_a_token_is_refused():
    ids = torch.tensor([[1, 2, 3, 4], [IGNORED, IGNORED, 7, 8]])
    with pytest.raises(ValueError, match="must stand at the end of a row; row 1 has a token after it"):
        causal_loss(tiny_gpt(), ids)
