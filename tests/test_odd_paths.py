"""A folder of any name is written to and read from: a path is no pattern, no address and no setting."""

import pytest
import torch
from small_models import random_ids, tiny_bert, tiny_gpt

from companion.checkpoints import CheckpointError
from companion.data import corpus
from companion.data.tokenization import load_tokenizer, train_byte_bpe
from companion.finetuning.lora import add_lora, load_adapters, save_adapters
from companion.models.bert import Bert
from companion.models.gpt import GPT
from companion.training import Checkpoint, Optimization, Runtime, fit

pytestmark = pytest.mark.usefixtures("offline")

NAMES = [
    "feature%2Fx",
    "a%20b",
    "100%",
    "%s%d",
    "a b ünïcode 书",
    "a#b",
    "a[b]",
    "a?b",
    "a*b",
    "it's",
    'a "b"',
    "a\\b",
    "$HOME",
    "~nobody",
    "-rf",
    "C:x",
    "{a}",
    " a ",
    "a\nb",
    "x" * 200,
]
AS_PATTERNS = ["a[b]", "$HOME", "a\nb"]  # what the library of datasets reads as more than a name
each_name = pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:20]))


@pytest.fixture
def folder(tmp_path, name):
    (tmp_path / name).mkdir()
    return tmp_path / name


def same(one, other):
    return all(map(torch.equal, one.parameters(), other.parameters()))


@each_name
@pytest.mark.parametrize("form", [str, lambda path: path], ids=["string", "path"])
@pytest.mark.parametrize("shard_bytes", [None, 4000])
def test_a_model_is_saved_there_and_loaded(folder, form, shard_bytes):
    model, other = tiny_gpt(), tiny_bert()
    model.save_pretrained(form(folder / "gpt"), shard_bytes=shard_bytes)
    other.save_pretrained(form(folder / "bert"), shard_bytes=shard_bytes)
    assert same(GPT.from_pretrained(form(folder / "gpt")), model)
    assert same(Bert.from_pretrained(form(folder / "bert")), other)


@each_name
def test_a_run_is_saved_there_and_resumed(folder):
    constant = Optimization(schedule="constant")
    for steps in (1, 2):
        model = tiny_gpt()
        options = {"optimization": constant, "runtime": Runtime(device="cpu"), "progress": False}
        history = fit(model, [random_ids(model, 1, 5)], steps=steps, checkpoint=Checkpoint(folder / "run"), **options)
    assert len(history.loss) == 2
    assert [path.name for path in folder.iterdir()] == ["run"]


@each_name
def test_adapters_and_a_tokenizer_are_saved_there_and_loaded(folder):
    model, other = tiny_gpt(), tiny_gpt()
    add_lora(model, "query")
    save_adapters(model, folder / "adapters")
    load_adapters(other, folder / "adapters")
    assert same(model, other)
    train_byte_bpe([""], 257).save(str(folder / "tokenizer.json"))
    assert load_tokenizer(folder).get_vocab_size() == 257


@each_name
@pytest.mark.parametrize("form", [str, lambda path: path], ids=["string", "path"])
def test_texts_are_read_there(folder, form):
    (folder / "deep").mkdir()
    (folder / "deep" / "a.txt").write_text("one")
    (folder / "b.txt").write_text("two")
    assert corpus.read_documents(form(folder)) == ["two", "one"]
    assert corpus.read_documents(form(folder / "b.txt")) == ["two"]


@each_name
def test_a_dataset_is_read_there_or_its_folder_is_refused_by_name(folder, name):
    (folder / "train.jsonl").write_text('{"text": "one"}\n')
    if name in AS_PATTERNS:
        with pytest.raises(ValueError, match="in its path, which the library takes for a pattern; move it"):
            corpus.hub_dataset(folder)
    else:
        assert corpus.hub_dataset(folder) == ["one"]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "a\ud83d"], ids=["zero byte", "long", "half of a character"])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="the checkpoint could not be saved to"):
        tiny_gpt().save_pretrained(name)
    with pytest.raises(CheckpointError, match="is no folder|there is no folder"):
        GPT.from_pretrained(name)
    with pytest.raises(ValueError, match="path must be that of a file"):
        Checkpoint(name)
    assert not list(tmp_path.iterdir())
