"""Whatever the package saves: a full disk, a folder that is none and a killed process leave what stood there, whole."""

import resource
import signal

import onnx
import pytest
import torch
from small_heads import sequence
from small_models import tiny_bert, tiny_gpt, tiny_t5, tiny_xlnet
from torch import nn

from companion.finetuning.heads import SequenceClassifier
from companion.finetuning.lora import adapters, add_lora, load_adapters, save_adapters
from companion.finetuning.run import _read_settings, _record_settings
from companion.models.bert import Bert
from companion.models.gpt import GPT
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.models.t5 import T5
from companion.models.xlnet import XLNet
from companion.training import Checkpoint, fit, run_file
from companion.widgets.browser.onnx import save as save_onnx


def digest(model):
    return float(sum(parameter.detach().double().sum() for parameter in model.parameters()))


def modern(seed):
    torch.manual_seed(seed)
    return ModernDecoder(ModernConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=64))


def model_saver(make, load, **options):
    """(folder, seed) saves a model; (folder) tells which one is there."""
    return (
        lambda folder, seed: make(seed).save_pretrained(folder / "model", **options),
        lambda folder: digest(load(folder / "model")),
    )


def trained(folder, seed):
    torch.manual_seed(seed)
    fit(
        nn.Linear(40, 40),
        [torch.ones(2, 40)],
        steps=1,
        loss=lambda model, batch: model(batch).square().mean(),
        checkpoint=Checkpoint(folder / "run"),
        progress=False,
    )


def with_adapters(folder, seed):
    torch.manual_seed(seed)
    model = nn.ModuleDict({"query": nn.Linear(64, 64)})
    add_lora(model, "query", rank=8)
    save_adapters(model, folder / "adapters")


def read_adapters(folder):
    model = nn.ModuleDict({"query": nn.Linear(64, 64)})
    load_adapters(model, folder / "adapters")
    return float(next(iter(adapters(model).values())).lora_a.sum())


def graph(folder, seed):
    nothing = onnx.helper.make_graph([], "g" * (4000 + seed), [], [])
    save_onnx(onnx.helper.make_model(nothing), folder / "model.onnx")


# name -> (save something that depends on a seed, tell what is there)
SAVERS = {
    "GPT": model_saver(lambda seed: tiny_gpt(seed), GPT.from_pretrained),
    "GPT in shards": model_saver(lambda seed: tiny_gpt(seed), GPT.from_pretrained, shard_bytes=4096),
    "GPT in half": model_saver(lambda seed: tiny_gpt(seed), GPT.from_pretrained, dtype=torch.float16),
    "BERT": model_saver(lambda seed: tiny_bert(seed), Bert.from_pretrained),
    "T5": model_saver(lambda seed: tiny_t5(seed), T5.from_pretrained),
    "XLNet": model_saver(lambda seed: tiny_xlnet(d_model=12 + 4 * seed), XLNet.from_pretrained),
    "decoder": model_saver(modern, ModernDecoder.from_pretrained),
    "classifier": model_saver(lambda seed: sequence(seed=seed), SequenceClassifier.from_pretrained),
    "run": (trained, lambda folder: float(run_file.read_tensors(folder / "run")["model.weight"].sum())),
    "adapters": (with_adapters, read_adapters),
    "settings": (
        lambda folder, seed: _record_settings(folder, {"seed": seed, "text": "x" * 4096}),
        lambda folder: _read_settings(folder / "settings.json")["seed"],
    ),
    "page model": (graph, lambda folder: len(onnx.load(folder / "model.onnx").graph.name)),
}


@pytest.fixture(params=SAVERS)
def saver(request):
    return SAVERS[request.param]


@pytest.fixture
def full_disk():
    """No file may grow beyond 2 KB: what a write meets on a full disk, but for the number of the error."""
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))

    def clear():
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    yield fill, clear
    clear()
    signal.signal(signal.SIGXFSZ, handler)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_full_disk_leaves_what_stood_there(saver, tmp_path, full_disk):
    save, there = saver
    fill, clear = full_disk
    save(tmp_path, 0)
    before, names = there(tmp_path), files(tmp_path)
    run = tmp_path / "run"
    if run.exists():
        run.rename(tmp_path / "other")  # or it would be read, and nothing saved
    fill()
    with pytest.raises(OSError, match="could not be saved"):
        save(tmp_path, 1)
    clear()
    if (tmp_path / "other").exists():
        (tmp_path / "other").rename(run)
    assert there(tmp_path) == before
    assert files(tmp_path) == names


def test_a_file_in_the_place_of_the_folder_is_named_and_stays(saver, tmp_path):
    save, _ = saver
    place = tmp_path / "place"
    place.write_text("mine")
    with pytest.raises(OSError, match=r"could not be saved.*place"):
        save(place, 0)
    assert place.read_text() == "mine"
    assert files(tmp_path) == ["place"]


@pytest.mark.parametrize("name", sorted(SAVERS.keys() - {"run"}))  # a run would be read back
def test_a_save_over_another_leaves_no_file_beside_it(name, tmp_path):
    save, there = SAVERS[name]
    save(tmp_path, 0)
    names, before = files(tmp_path), there(tmp_path)
    save(tmp_path, 1)
    assert files(tmp_path) == names
    assert there(tmp_path) != before
