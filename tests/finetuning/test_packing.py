"""Packing: texts in one row have the logits, the loss and the gradients that each has alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from companion.data.batch import IGNORED
from companion.finetuning.packing import pack, packed_logits
from companion.losses.causal import completion_loss, completions
from companion.models.gpt import GPT, GPTConfig

PROMPTS, ANSWERS = [[1, 2, 3], [4], [5, 6]], [[7], [8, 1, 2], [3, 0]]


@pytest.fixture
def model() -> GPT:
    torch.manual_seed(0)
    small = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=2, n_heads=2, d_model=8)).double().eval()
    for parameter in small.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return small


def gradients(model: GPT, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def test_each_text_has_the_logits_that_it_has_alone(model: GPT):
    together = packed_logits(model, pack(PROMPTS, ANSWERS))
    texts = [[*prompt, *answer[:-1]] for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]
    alone = torch.cat([model(torch.tensor([text]))[0] for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)


def test_loss_and_gradients_are_those_of_the_padded_batch(model: GPT):
    row = pack(PROMPTS, ANSWERS)
    packed = F.cross_entropy(packed_logits(model, row), row.targets)
    padded = completion_loss(model, completions(PROMPTS, ANSWERS))
    torch.testing.assert_close(packed, padded, atol=1e-12, rtol=0)
    for one, other in zip(gradients(model, packed), gradients(model, padded), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-9)


def test_without_the_block_diagonal_mask_later_texts_read_earlier_ones(model: GPT):
    row = pack(PROMPTS, ANSWERS)
    gap = packed_logits(model, row, torch.ones_like(row.visible)) - packed_logits(model, row)
    assert gap[row.texts == 0].abs().max() < 1e-12
    assert all(gap[row.texts == text].abs().max() > 0.01 for text in (1, 2))


def test_a_row_may_be_longer_than_the_context(model: GPT):
    row = pack(PROMPTS * 3, ANSWERS * 3)
    assert len(row.inputs) > model.config.context_length
    assert packed_logits(model, row).isfinite().all()


def test_every_token_of_an_answer_is_a_target_once():
    targets = pack(PROMPTS, ANSWERS).targets
    assert targets[targets != IGNORED].tolist() == [token for answer in ANSWERS for token in answer]


def test_an_empty_answer_is_refused():
    with pytest.raises(ValueError, match="none empty"):
        pack([[1]], [[]])
