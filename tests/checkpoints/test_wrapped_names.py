"""A file whose names carry what a trainer wrapped around the model holds the weights of the plain one."""

import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_heads import sequence
from small_models import tiny_bert, tiny_gpt, tiny_t5, tiny_xlnet
from torch import nn

from companion.checkpoints import WEIGHTS, CheckpointError
from companion.finetuning.gpt_classifier import GPTClassifier
from companion.models.modern_decoder import ModernConfig, ModernDecoder


def tiny_decoder():
    torch.manual_seed(0)
    return ModernDecoder(ModernConfig(vocab_size=31, context_length=16, n_layers=2, n_heads=2, d_model=8)).eval()


MODELS = {
    "gpt2": tiny_gpt,
    "bert": tiny_bert,
    "albert": lambda: tiny_bert(family="albert"),
    "t5": tiny_t5,
    "xlnet": tiny_xlnet,
    "llama": tiny_decoder,
    "a classifier": sequence,
    "a GPT that classifies": lambda: GPTClassifier(tiny_gpt(), ["no", "yes"]),
}


def before(prefix):
    return lambda name: prefix + name


def in_each_layer(part):
    return lambda name: re.sub(r"\.(\d+)\.", rf".\1.{part}.", name)


WRAPPED = {
    "compiled": before("_orig_mod."),
    "on several devices": before("module."),
    "compiled on several devices": before("module._orig_mod."),
    "divided among devices": before("_fsdp_wrapped_module."),
    "by Fabric": before("_forward_module."),
    "layer by layer compiled": in_each_layer("_orig_mod"),
    "layer by layer divided": in_each_layer("_fsdp_wrapped_module"),
    "layer by layer computed again": in_each_layer("_checkpoint_wrapped_module"),
}


def rename(folder, rule):
    file = folder / WEIGHTS
    save_file({rule(name): tensor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})


@pytest.mark.parametrize("rule", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_what_is_wrapped_is_read_as_it_was(tmp_path, make, rule):
    model = make()
    model.save_pretrained(tmp_path)
    rename(tmp_path, rule)
    again = type(model).from_pretrained(tmp_path)
    assert all(map(torch.equal, model.parameters(), again.parameters()))


def test_so_are_shards(tmp_path):
    model = nn.Module()
    model.gpt = tiny_gpt()
    torch.compile(model.gpt, backend="eager").save_pretrained(tmp_path, shard_bytes=4000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert all(map(torch.equal, model.gpt.parameters(), type(model.gpt).from_pretrained(tmp_path).parameters()))


def test_another_prefix_is_refused_with_a_name(tmp_path):
    tiny_gpt().save_pretrained(tmp_path)
    rename(tmp_path, before("student."))
    with pytest.raises(CheckpointError, match=r"lacks the tensor 'wte\.weight'"):
        type(tiny_gpt()).from_pretrained(tmp_path)


def test_a_tensor_that_is_there_wrapped_and_plain_is_refused(tmp_path):
    tiny_gpt().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    twice = {f"_orig_mod.{name}": tensor + 1 for name, tensor in tensors.items()}
    save_file(tensors | twice, tmp_path / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="one tensor under two names"):
        type(tiny_gpt()).from_pretrained(tmp_path)
