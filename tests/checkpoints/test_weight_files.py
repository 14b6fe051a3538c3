"""A folder with files of two saves, or with anything but a model's weights, is told from a whole checkpoint."""

import itertools
import json
import os
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import tiny_gpt

from companion.checkpoints.errors import CheckpointError
from companion.checkpoints.weight_files import INDEX, WEIGHTS, read_header, read_json, read_tensors
from companion.models.gpt import GPT


@pytest.fixture
def folder(tmp_path):
    tiny_gpt().save_pretrained(tmp_path / "gpt")
    return tmp_path / "gpt"


@pytest.fixture
def sharded(tmp_path):
    tiny_gpt().save_pretrained(tmp_path / "shards", shard_bytes=4000)
    return tmp_path / "shards"


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def edit(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def edit_index(folder, change):
    index = json.loads((folder / INDEX).read_text())
    change(index["weight_map"])
    (folder / INDEX).write_text(json.dumps(index))


# Saves that were stopped


class PowerCut(Exception):
    """The machine went off."""


@pytest.mark.parametrize("before", [None, 6000], ids=["one file", "shards"])
@pytest.mark.parametrize("after", [None, 9000], ids=["one file", "larger shards"])
@pytest.mark.parametrize("sizes", [{}, {"dropout": 0.5}], ids=["same settings", "other settings"])
def test_wherever_a_save_over_an_older_one_stops_a_whole_model_or_an_error_is_read(tmp_path, before, after, sizes):
    old, new = tiny_gpt(seed=1), tiny_gpt(seed=2, **sizes)
    for stop in itertools.count():
        folder, left = tmp_path / str(stop), itertools.count()
        old.save_pretrained(folder, shard_bytes=before)

        def cut(real, left=left, stop=stop):
            def change(path, *arguments, **options):
                if next(left) == stop:
                    raise PowerCut
                return real(path, *arguments, **options)

            return change

        with pytest.MonkeyPatch.context() as patched:
            for name in ("replace", "unlink"):
                patched.setattr(Path, name, cut(getattr(Path, name)))
            try:
                new.save_pretrained(folder, shard_bytes=after)
                break  # it was not stopped
            except PowerCut:
                pass
        try:
            found = GPT.from_pretrained(folder)
        except CheckpointError:
            continue
        assert any(found.config == one.config and same_weights(found, one) for one in (old, new)), stop
    assert stop > 2
    assert same_weights(GPT.from_pretrained(folder), new)


def test_a_folder_of_two_saves_is_named_as_such(tmp_path, folder):
    tiny_gpt(seed=1).save_pretrained(tmp_path / "other")
    (tmp_path / "other" / WEIGHTS).replace(folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"model.safetensors and .*config.json are of two saves; save the model"):
        GPT.from_pretrained(folder)


def test_the_same_model_is_saved_as_the_same_bytes(tmp_path, folder):
    tiny_gpt().save_pretrained(tmp_path / "again")
    for name in (WEIGHTS, "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_shards_of_an_earlier_save_do_not_stay(sharded):
    tiny_gpt().save_pretrained(sharded)
    assert sorted(os.listdir(sharded)) == ["config.json", WEIGHTS]


# Files


def test_a_header_is_read_without_the_tensors(folder):
    entry = read_header(folder)["transformer.wte.weight"]
    assert (entry.file.name, entry.shape, entry.dtype) == (WEIGHTS, (31, 12), "F32")


def test_the_tensors_of_a_header_are_those_of_the_files(sharded):
    found = dict(read_tensors(read_header(sharded)))
    wanted = {name: t for path in sharded.glob("*.safetensors") for name, t in load_file(path).items()}
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_tensor_in_two_shards_is_refused(sharded):
    one, other = sorted(sharded.glob("*.safetensors"))[:2]
    twice = next(iter(load_file(one)))
    save_file(load_file(other) | {twice: load_file(one)[twice]}, other)
    with pytest.raises(CheckpointError, match=f"{other.name} .* hold the tensor '{twice}'|says '{one.name}' of"):
        GPT.from_pretrained(sharded)


def test_an_index_that_sends_a_tensor_elsewhere_is_refused(sharded):
    def swap(places):
        first, last = next(iter(places)), list(places)[-1]
        places[first], places[last] = places[last], places[first]

    edit_index(sharded, swap)
    with pytest.raises(CheckpointError, match="says .* of the tensor .*; it is in"):
        GPT.from_pretrained(sharded)


def test_a_tensor_that_only_the_index_has_is_refused(sharded):
    edit_index(sharded, lambda places: places.update({"ghost": next(iter(places.values()))}))
    with pytest.raises(CheckpointError, match="names the tensor 'ghost', which is in none of its shards"):
        GPT.from_pretrained(sharded)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "\ud800", ""], ids=["zero byte", "long", "surrogate", "empty"])
def test_an_index_with_an_impossible_name_is_refused(sharded, name):
    edit_index(sharded, lambda places: places.update({next(iter(places)): name}))
    with pytest.raises(CheckpointError, match=r"names the shard .*, which is not in"):
        GPT.from_pretrained(sharded)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000], ids=["lists", "objects"])
def test_json_without_end_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="config.json is not valid JSON"):
        read_json(folder / "config.json")


def test_a_file_that_may_not_be_read_is_said_to_be_so(folder, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError("Permission denied")

    monkeypatch.setattr("companion.checkpoints.weight_files.safe_open", forbidden)
    with pytest.raises(CheckpointError, match="model.safetensors cannot be read: Permission denied"):
        GPT.from_pretrained(folder)


# Tensors


NO_FLOATS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.bool, torch.complex64]
EIGHT_BITS = [torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", [*NO_FLOATS, *EIGHT_BITS])
def test_weights_that_are_no_floats_are_refused(folder, dtype):
    edit(folder, lambda t: t.update({"transformer.wte.weight": t["transformer.wte.weight"].to(dtype)}))
    with pytest.raises(CheckpointError, match=r"'wte.weight' .* is of dtype \w+; weights are F64, F32, F16, BF16"):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_said(folder, value):
    edit(folder, lambda t: t["transformer.wte.weight"].__setitem__((0, 0), value))
    with pytest.warns(UserWarning, match="token_embedding.weight holds numbers that are not finite"):
        GPT.from_pretrained(folder)


def test_a_sound_checkpoint_is_read_without_a_word(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GPT.from_pretrained(folder)


def test_names_of_unexpected_tensors_cannot_write_on_the_terminal(folder):
    edit(folder, lambda t: t.update({"evil\n\x1b[31m": torch.ones(1)}))
    with pytest.raises(CheckpointError) as caught:
        GPT.from_pretrained(folder)
    assert r"'evil\n\x1b[31m'" in str(caught.value)
    assert "\x1b" not in str(caught.value)


# Saves that fail


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_full_disk_is_said_and_leaves_the_older_save(folder, monkeypatch, after):
    written = []

    def full(path, content):
        written.append(path)
        if len(written) > after:
            path.open("wb").close()
            raise OSError(28, "No space left on device")
        with path.open("wb") as file:
            return file.write(content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=f"the checkpoint could not be saved to {folder}: .*No space left"):
        tiny_gpt(1).save_pretrained(folder, shard_bytes=4000)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", WEIGHTS]
    assert same_weights(GPT.from_pretrained(folder), tiny_gpt())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="the checkpoint could not be saved to .*model"):
        tiny_gpt().save_pretrained(tmp_path / "file" / "model")
    assert (tmp_path / "file").read_text() == "mine"


def test_what_a_killed_save_left_half_written_goes_with_the_next(folder):
    (folder / "model-00001-of-00003.safetensors.part").write_bytes(b"half")
    tiny_gpt().save_pretrained(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", WEIGHTS]
