"""A file is read from its bytes as the library reads it; names lead to parameters; the first difference is found."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save

from companion import zoo
from companion.checkpoints import CheckpointError
from companion.checkpoints.huggingface import first_difference, stored_tensors, tensor_names

FILE = save({"b": torch.arange(3.0), "a": torch.zeros(2, 2, dtype=torch.float16)}, metadata={"format": "pt"})


def test_names_dtypes_and_shapes_are_those_that_the_library_reads(tmp_path: Path):
    model = zoo.load("storyworld-en")[0]
    model.save_pretrained(tmp_path)
    found = stored_tensors((tmp_path / "model.safetensors").read_bytes())
    with safe_open(tmp_path / "model.safetensors", "pt") as opened:
        expected = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    assert {tensor.name: tensor.shape for tensor in found} == expected


def test_the_bytes_between_start_and_end_are_the_tensor():
    (tensor,) = [one for one in stored_tensors(FILE) if one.name == "b"]
    assert torch.frombuffer(bytearray(FILE[tensor.start : tensor.end]), dtype=torch.float32).tolist() == [0, 1, 2]


def test_tensors_follow_each_other_and_the_last_ends_with_the_file():
    found = stored_tensors(FILE)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    assert found[-1].end == len(FILE)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        FILE[:20],
        (2).to_bytes(8, "little") + b"[]",
        (9).to_bytes(8, "little") + b'{"a": {}}',
        (3).to_bytes(8, "little") + b"\xff\xff\xff",
        b"\xff" * 8,
    ],
    ids=["nothing", "cut off", "a list", "no offsets", "no text", "a length of many bytes"],
)
def test_what_has_no_header_is_refused(raw: bytes):
    with pytest.raises(CheckpointError, match="header"):
        stored_tensors(raw)


def test_every_parameter_is_named_once_and_a_fused_tensor_names_three():
    model = zoo.load("storyworld-en")[0]
    rows = tensor_names(model)
    assert sorted(name for row in rows for name in row.ours) == sorted(name for name, _ in model.named_parameters())
    (fused,) = [row for row in rows if row.theirs == "transformer.h.2.attn.c_attn.weight"]
    assert (len(fused.ours), fused.shape, fused.transposed) == (3, (64, 192), True)


def test_the_names_are_those_of_the_file(tmp_path: Path):
    model = zoo.load("storyworld-bert")[0]
    model.save_pretrained(tmp_path)
    found = {tensor.name: tensor.shape for tensor in stored_tensors((tmp_path / "model.safetensors").read_bytes())}
    assert {row.theirs: row.shape for row in tensor_names(model)} == found
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "bert"


@given(st.integers(0, 200), st.data())
def test_the_first_difference_is_found_with_as_few_comparisons_as_halving_takes(n: int, data: st.DataObject):
    fault, asked = data.draw(st.integers(0, n)), []

    def differ(state: int) -> bool:
        asked.append(state)
        return state >= fault

    assert first_difference(differ, n) == fault
    assert len(asked) <= n.bit_length()


def test_a_negative_number_of_states_is_refused():
    with pytest.raises(ValueError, match="n must be at least 0; got -1"):
        first_difference(lambda state: True, -1)
