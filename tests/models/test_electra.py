"""ELECTRA judges every token, and its two models have one table of token embeddings."""

import pytest
import torch

from companion.checkpoints import CheckpointError
from companion.losses.masked import mask_tokens
from companion.losses.replaced import electra_loss
from companion.models.bert import Bert, BertConfig, BertForPreTraining
from companion.models.electra import Electra, ElectraDiscriminator

SIZES = {"vocab_size": 12, "context_length": 8, "n_layers": 1, "n_heads": 2, "d_model": 8}
CONFIG = BertConfig.electra(**SIZES)
IDS = torch.tensor([[1, 5, 6, 7, 2]])


def test_another_family_has_no_discriminator():
    with pytest.raises(ValueError, match="'bert'"):
        ElectraDiscriminator(BertConfig(**SIZES))


def test_embeddings_may_be_narrower_and_are_then_widened():
    narrow = Bert(BertConfig.electra(**SIZES, d_embedding=3))
    assert narrow.token_embedding.weight.shape == (12, 3)
    assert narrow(IDS).shape == (1, 5, 8)
    assert isinstance(Bert(CONFIG).widen, torch.nn.Identity)


def test_both_losses_reach_the_one_table_of_embeddings():
    torch.manual_seed(0)
    pair = Electra(CONFIG, narrower=2)
    table = pair.discriminator.bert.token_embedding.weight
    assert pair.generator.bert.token_embedding.weight is table
    assert pair.generator.decoder.weight is table
    electra_loss(pair, mask_tokens(IDS, None, mask_id=3, vocab_size=12)).backward()
    assert all(parameter.grad is not None for parameter in pair.discriminator.parameters())
    assert pair.generator.transform.weight.grad.abs().sum() > 0


def test_the_discriminators_loss_sends_the_generator_no_gradient():
    torch.manual_seed(0)
    pair = Electra(CONFIG, narrower=2)
    batch = mask_tokens(IDS, None, mask_id=3, vocab_size=12)

    def gradient(weight: float, monkey: pytest.MonkeyPatch) -> torch.Tensor:
        monkey.setattr("companion.losses.replaced.DISCRIMINATOR_WEIGHT", weight)
        pair.zero_grad()
        electra_loss(pair, batch).backward()
        return pair.generator.transform.weight.grad.clone()

    with pytest.MonkeyPatch.context() as monkey:
        assert torch.equal(gradient(0.0, monkey), gradient(50.0, monkey))


def test_a_generators_file_is_no_discriminators(tmp_path):
    BertForPreTraining(CONFIG).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="discriminator_predictions"):
        ElectraDiscriminator.from_pretrained(tmp_path)


def test_the_body_of_a_discriminator_is_loaded_alone(tmp_path):
    whole = ElectraDiscriminator(CONFIG).eval()
    whole.save_pretrained(tmp_path)
    assert torch.equal(Bert.from_pretrained(tmp_path)(IDS), whole.bert(IDS))
