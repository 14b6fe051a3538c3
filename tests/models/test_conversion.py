"""Models of ``transformers`` read into this package compute what they computed."""

import pytest
import torch
import transformers
from test_parity import CASES, worst

from companion.checkpoints import CheckpointError
from companion.models.bert import Bert
from companion.models.conversion import from_transformers, is_of_transformers
from companion.models.gpt import GPT, GPTConfig

FIRST_SHAPES = [name for name in CASES if name.endswith(", shape 1") and "head" not in name]


@pytest.mark.parametrize("name", FIRST_SHAPES)
def test_a_model_that_is_read_says_what_it_said(name, tmp_path):
    case = CASES[name](tmp_path)
    assert is_of_transformers(case.theirs)
    assert not is_of_transformers(case.ours)
    read = from_transformers(case.theirs)
    assert type(read) is type(case.ours)
    assert worst(case.run_ours(read).scores, case.run_theirs(case.theirs).scores) <= 1e-5


def test_of_a_bert_with_a_head_for_a_task_it_is_the_body_in_the_same_precision():
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=16
    )
    theirs = transformers.BertForSequenceClassification(config).double().eval()
    ids = torch.tensor([[1, 2, 3]])
    read = from_transformers(theirs)
    assert isinstance(read, Bert)
    assert read(ids).dtype == torch.float64
    torch.testing.assert_close(read(ids), theirs.bert(ids).last_hidden_state)


def test_a_family_that_is_not_here_is_refused_with_those_that_are():
    opt = transformers.OPTConfig(
        vocab_size=20, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, ffn_dim=16, word_embed_proj_dim=12
    )
    with pytest.raises(CheckpointError, match="OPTForCausalLM is of the family 'opt'; this package reads albert, bert"):
        from_transformers(transformers.OPTForCausalLM(opt))


def test_a_copy_has_weights_of_its_own():
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=9, n_positions=8, n_embd=12, n_layer=2, n_head=3)
    )
    read = from_transformers(theirs)
    assert isinstance(read, GPT)
    assert read.config == GPTConfig(vocab_size=9, context_length=8, n_layers=2, n_heads=3, d_model=12, dropout=0.1)
    before = read.token_embedding.weight.clone()
    with torch.no_grad():
        theirs.transformer.wte.weight.zero_()
    assert torch.equal(read.token_embedding.weight, before)


def test_of_a_gpt2_with_a_head_for_a_task_it_is_the_body():
    config = transformers.GPT2Config(vocab_size=9, n_positions=8, n_embd=12, n_layer=2, n_head=3, pad_token_id=0)
    theirs = transformers.GPT2ForSequenceClassification(config).eval()
    ids = torch.tensor([[1, 2, 3]])
    scores = theirs.transformer(ids).last_hidden_state @ theirs.transformer.wte.weight.T
    torch.testing.assert_close(from_transformers(theirs)(ids), scores)


def test_a_variant_that_is_not_here_is_refused_by_its_name():
    config = transformers.LlamaConfig(
        vocab_size=9, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4
    )
    with pytest.raises(CheckpointError, match=r"as a ModernDecoder, LlamaModel lacks the tensor 'lm_head.weight'"):
        from_transformers(transformers.LlamaModel(config))
