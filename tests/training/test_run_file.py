"""The file of a run is written whole or not at all, and what is not such a file is refused before it is read."""

import os

import pytest
import torch
from safetensors.torch import save_file

from companion.training import run_file

TENSORS = {"a": torch.arange(6.0).view(2, 3)}


def test_what_was_written_is_read(tmp_path):
    run_file.write(tmp_path / "deep" / "run", TENSORS, {"who": "me"})
    assert run_file.read_header(tmp_path / "deep" / "run") == ({"a": (2, 3)}, {"who": "me"})
    assert torch.equal(run_file.read_tensors(tmp_path / "deep" / "run")["a"], TENSORS["a"])


def test_a_tensor_without_a_block_of_memory_of_its_own_is_written(tmp_path):
    run_file.write(tmp_path / "run", {"a": TENSORS["a"].T}, {})
    assert torch.equal(run_file.read_tensors(tmp_path / "run")["a"], TENSORS["a"].T)


def test_nothing_is_left_beside_the_file(tmp_path):
    run_file.write(tmp_path / "run", TENSORS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("place", ["a folder", "below a file"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" if place == "a folder" else tmp_path / "file" / "run"
    with pytest.raises(OSError, match=f"{path.name} could not be saved"):
        run_file.write(path, TENSORS, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    run_file.write(tmp_path / "run", TENSORS, {"who": "old"})

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half a file")
        raise OSError("no space left")

    monkeypatch.setattr(run_file, "save_file", full_disk)
    with pytest.raises(OSError, match="run could not be saved: no space left"):
        run_file.write(tmp_path / "run", TENSORS, {"who": "new"})
    assert run_file.read_header(tmp_path / "run")[1] == {"who": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "nothing"])
def test_only_a_file_is_read(tmp_path, kind):
    path = tmp_path / "run"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(ValueError, match="run is no file"):
        run_file.read_header(path)


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"text" * 9], ids=["empty", "bare", "text"])
def test_a_damaged_file_is_refused_or_has_no_tensors(tmp_path, content):
    (tmp_path / "run").write_bytes(content)
    try:
        assert run_file.read_header(tmp_path / "run") == ({}, {})
    except ValueError as error:
        assert "run is truncated, or no checkpoint of a training run" in str(error)  # noqa: PT017 - or it is refused


MEMORY = torch.zeros(8)
SHARED = {
    "one tensor twice": {"a": MEMORY, "b": MEMORY},
    "views that overlap": {"a": MEMORY[:5], "b": MEMORY[3:]},
    "a part of a larger one": {"a": MEMORY[2:4]},
    "every second number": {"a": MEMORY[::2]},
    "empty": {"a": MEMORY[:0]},
    "a single number": {"a": MEMORY[0]},
    "half a float": {"a": MEMORY.bfloat16(), "b": MEMORY.half()},
    "no float": {"a": MEMORY.bool(), "b": MEMORY.int(), "c": MEMORY.to(torch.uint16)},
    "complex": {"a": MEMORY.to(torch.complex64)},
    "eight bits": {"a": MEMORY.to(torch.float8_e4m3fn)},
}


@pytest.mark.parametrize("tensors", SHARED.values(), ids=SHARED)
def test_whatever_memory_a_tensor_lies_in_it_is_read_as_it_was(tmp_path, tensors):
    run_file.write(tmp_path / "run", tensors, {})
    found = run_file.read_tensors(tmp_path / "run")
    assert found.keys() == tensors.keys()
    assert all(found[name].dtype == one.dtype for name, one in tensors.items())
    assert all(found[name].tolist() == one.tolist() for name, one in tensors.items())


@pytest.mark.parametrize(
    "tensor",
    [
        *(torch.eye(2).to_sparse(), torch.zeros(2, device="meta"), torch.zeros(2, dtype=torch.complex128)),
        torch.zeros(2, 1).expand(2, 3),
    ],
    ids=["sparse", "meta", "complex128", "expanded"],
)
def test_a_tensor_that_cannot_be_saved_is_named(tmp_path, tensor):
    with pytest.raises(ValueError, match="model.extra cannot be saved: "):
        run_file.write(tmp_path / "run", {"model.extra": tensor}, {})
    assert not list(tmp_path.iterdir())


def test_a_file_that_a_clock_that_jumped_took_away_is_written_again(tmp_path, monkeypatch):
    saves = []

    def robbed(tensors, path, metadata):
        save_file(tensors, path, metadata=metadata)
        saves.append(path)
        if len(saves) == 1:
            path.unlink()

    monkeypatch.setattr(run_file, "save_file", robbed)
    run_file.write(tmp_path / "run", TENSORS, {})
    assert torch.equal(run_file.read_tensors(tmp_path / "run")["a"], TENSORS["a"])
