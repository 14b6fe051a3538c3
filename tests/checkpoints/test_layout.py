"""How names and shapes of a checkpoint become ours, and back."""

import dataclasses

import pytest
import torch

from companion.checkpoints import CheckpointError
from companion.checkpoints.bert_names import BLOCK, FIELDS, NAMES
from companion.checkpoints.layout import Layout, Rule
from companion.checkpoints.pretrained import Pretrained
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        (Rule("w", ("a",)), (6, 4)),
        (Rule("w", ("a", "b", "c")), (6, 4)),
        (Rule("w", ("a", "b"), transposed=True), (4, 6)),
        (Rule("w", ("a",), transposed=True, shape=(4, 2, 3)), (4, 2, 3)),
    ],
    ids=["as it is", "thirds", "halves, transposed", "heads split"],
)
def test_what_is_split_is_joined_to_the_same_tensor(rule, theirs):
    tensor = torch.randn(theirs)
    ours = dict(rule.split(tensor))
    assert list(ours) == list(rule.ours)
    assert {part.shape for part in ours.values()} == {(6 // len(rule.ours), 4)}
    torch.testing.assert_close(rule.join(ours), tensor, rtol=0, atol=0)


def test_a_name_loses_its_prefix_and_its_older_spelling_and_a_head_never_had_one():
    layout = Layout([], prefix="bert.", heads=("cls.",), renamed={r"\.gamma$": ".weight"})
    assert layout.short("bert.norm.gamma") == "norm.weight"
    assert layout.short("norm.weight") == "norm.weight"
    assert layout.full("norm.weight") == "bert.norm.weight"
    assert layout.full("cls.bias") == "cls.bias"


@pytest.mark.parametrize("family", NAMES)
def test_each_family_names_each_part_of_a_block_once(family):
    parts = NAMES[family].block_parts
    assert len(parts) == len(set(parts)) == len(BLOCK)
    assert NAMES[family].block.format(3, 3).endswith(".3")  # ALBERT's have two numbers


@pytest.mark.parametrize("family", NAMES)
def test_each_field_of_a_familys_config_is_one_of_ours(family):
    ours = {field.name for field in dataclasses.fields(BertConfig)}
    assert set(FIELDS[family].values()) <= ours


def test_a_pretrained_model_comes_back_from_its_folder_and_no_other_family_reads_it(tmp_path):
    model = GPT(GPTConfig(vocab_size=7, context_length=5, n_layers=1, n_heads=2, d_model=4)).eval()
    assert isinstance(model, Pretrained)
    model.save_pretrained(tmp_path)
    ids = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(GPT.from_pretrained(tmp_path).eval()(ids), model(ids))
    with pytest.raises(CheckpointError, match="gpt2"):
        Bert.from_pretrained(tmp_path)
