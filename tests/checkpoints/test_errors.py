"""What a file holds reaches a terminal as text that can be seen, and never as a command to it."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_heads import HEADS
from small_models import tiny_gpt

from companion.checkpoints.errors import CheckpointError
from companion.finetuning.heads import SequenceClassifier
from companion.models.gpt import GPT

RED = "\x1b[31mevil\u202e\r\n"
WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"


def edit_config(folder, **fields):
    content = json.loads((folder / CONFIG).read_text()) | fields
    (folder / CONFIG).write_text(json.dumps(content))


def edit_weights(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def shard(folder, places):
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))


SPOILT = {
    "family": lambda folder: edit_config(folder, model_type=RED),
    "activation": lambda folder: edit_config(folder, activation_function=RED),
    "flag": lambda folder: edit_config(folder, tie_word_embeddings=RED),
    "flag in quotes": lambda folder: edit_config(folder, **{RED: "true"}),
    "size": lambda folder: edit_config(folder, n_layer=RED),
    "unexpected tensor": lambda folder: edit_weights(folder, lambda them: them.update({RED: torch.zeros(1)})),
    "no JSON": lambda folder: (folder / CONFIG).write_text('{"a": ' + RED),
    "shard": lambda folder: shard(folder, {"wte.weight": RED}),
    "tensor of the index": lambda folder: shard(folder, {RED: "nowhere"}),
    "pickle": lambda folder: (folder / WEIGHTS).rename(folder / f"{RED}.bin"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_hostile_name_or_value_is_shown_and_not_obeyed(tmp_path, spoil):
    tiny_gpt().save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        GPT.from_pretrained(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("field", ["architectures", "problem_type", "pooling", "id2label"])
def test_so_is_what_a_head_is_called(tmp_path, field):
    HEADS["pooled"]().save_pretrained(tmp_path)
    value = {"architectures": [RED], "id2label": {"0": RED, RED: RED}}.get(field, RED)
    edit_config(tmp_path, **{field: value})
    with pytest.raises(CheckpointError) as caught:
        SequenceClassifier.from_pretrained(tmp_path)
    assert str(caught.value).isprintable()


def test_other_letters_stay_as_they_are():
    message = "模型 has no tensor 'é'; see model.safetensors"
    assert str(CheckpointError(message)) == message
