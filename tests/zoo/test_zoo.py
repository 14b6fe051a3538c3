"""What ships is small, whole, trained, and made by the recipe that its card names."""

import socket

import pytest
import torch
from safetensors.torch import load_file
from small_registry import Registry, published, running
from torch import nn

from companion import zoo
from companion.data import fetched
from companion.data.package_index import PipSettings
from companion.data.published import CATALOGUE
from companion.data.tokenization import load_tokenizer
from companion.models.bert import Bert
from companion.nn.capture import ablate
from companion.zoo.__main__ import main
from companion.zoo.recipes import (
    storyworld_bert as bert_recipes,
)
from companion.zoo.recipes import (
    storyworld_gpt as story_recipes,
)

FILES = {"config.json", "model.safetensors", "tokenizer.json", "README.md"}


@pytest.fixture(scope="module", params=zoo.names())
def name(request):
    return request.param


@pytest.fixture(scope="module")
def shipped(name):
    return zoo.load(name)


NAMES = ["storyworld-bert", "storyworld-bert-small", "storyworld-en", "storyworld-zh"]


def test_these_models_ship():
    assert zoo.names() == NAMES


def test_a_model_is_loaded_without_a_network(name, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    model, tokenizer = zoo.load(name)
    assert not model.training
    assert tokenizer.get_vocab_size() == model.config.vocab_size


def test_a_shipped_model_is_known_by_its_weights_until_one_changes(name):
    model, _ = zoo.load(name)
    assert zoo.name_of(model) == name
    with torch.no_grad():
        next(model.parameters())[3, 0] += 1e-3
    assert zoo.name_of(model) is None


def test_each_load_gives_a_model_of_its_own(name, shipped):
    again, _ = zoo.load(name)
    assert again is not shipped[0]


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="the zoo has no model 'gpt5'; it has storyworld-bert"):
        zoo.load("gpt5")


def test_the_folder_holds_these_files_and_nothing_else(name):
    assert {path.name for path in zoo.folder(name).iterdir()} == FILES


def test_the_weights_are_at_most_one_megabyte(name):
    assert (zoo.folder(name) / "model.safetensors").stat().st_size <= 1_000_000


def test_weights_are_half_precision_and_finite(name):
    tensors = load_file(zoo.folder(name) / "model.safetensors").values()
    assert {tensor.dtype for tensor in tensors} == {torch.float16}
    assert all(tensor.isfinite().all() for tensor in tensors)


@pytest.mark.parametrize("name", ["storyworld-bert", "storyworld-en", "storyworld-zh"])
def test_the_sizes_are_those_of_the_recipe(name):
    made = {**story_recipes.RECIPES, **bert_recipes.RECIPES}
    assert zoo.load(name)[0].config == made[name].config


def test_the_card_names_the_command_that_makes_it(name):
    assert f"`python -m companion.zoo train {name}`" in (zoo.folder(name) / "README.md").read_text(encoding="utf8")


def test_the_command_line_lists_what_ships(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["zoo", "list"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[: len(NAMES)] == NAMES
    assert [line.split()[0] for line in lines[len(NAMES) :]] == list(CATALOGUE)


# Published models


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A small registry as the only one, an empty cache, and a catalogue of one entry."""
    with running(Registry()) as made:
        made.add()
        monkeypatch.setenv("LLM_LIVE_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("LLM_LIVE_OFFLINE", raising=False)
        monkeypatch.setattr(fetched, "pip_settings", lambda: PipSettings((f"{made.url}/simple",), timeout=5))
        for name in list(CATALOGUE):
            monkeypatch.delitem(CATALOGUE, name)
        monkeypatch.setitem(CATALOGUE, "tiny", published())
        yield made


def command_line(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["zoo", *words])
    main()


def test_the_command_line_fetches_lists_and_removes(registry, monkeypatch, capsys):
    command_line(monkeypatch, "fetch")
    assert capsys.readouterr().out.splitlines()[-1] == f"tiny: {fetched.cache() / 'tiny'}"
    command_line(monkeypatch, "list")
    assert f"tiny (a tiny model; MIT; in {fetched.cache()})" in capsys.readouterr().out
    command_line(monkeypatch, "remove", "tiny")
    assert capsys.readouterr().out == "tiny: removed\n"
    command_line(monkeypatch, "list")
    assert "tiny (a tiny model; MIT; to fetch, 0.0 MB)" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("fetch", "gpt5"), ("remove", "gpt5")])
def test_the_command_line_ends_with_a_sentence_and_an_error_code(registry, monkeypatch, capsys, words):
    with pytest.raises(SystemExit) as end:
        command_line(monkeypatch, *words)
    assert end.value.code == 1
    assert capsys.readouterr().err == "nothing that can be fetched is called 'gpt5'; there is tiny\n"


def test_a_published_model_is_loaded_from_the_cache_and_known_by_its_name(registry, monkeypatch):
    shipped = zoo.folder("storyworld-bert")
    monkeypatch.setattr(fetched, "folder", lambda name: shipped)
    monkeypatch.setattr(zoo, "FETCHED", {"tiny": lambda path: (Bert.from_pretrained(path), load_tokenizer(path))})
    model, tokenizer = zoo.load("tiny")
    assert not model.training
    assert tokenizer.get_vocab_size() == model.config.vocab_size
    assert "tiny" not in zoo.names()
    assert zoo.name_of(model) == "tiny"


def test_a_model_that_is_no_chat_model_writes_no_chat():
    with pytest.raises(ValueError, match="storyworld-en is no chat model: it has no model.gguf"):
        zoo.chat_text("storyworld-en", [])


def test_every_published_model_is_in_the_catalogue():
    assert set(zoo.FETCHED) <= set(CATALOGUE)


def test_the_command_line_refuses_an_unknown_name(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["zoo", "train", "gpt5"])
    with pytest.raises(SystemExit):
        main()
    assert "invalid choice: 'gpt5'" in capsys.readouterr().err


def test_a_shipped_model_that_computes_something_else_has_no_name(name):
    model, _ = zoo.load(name)
    with ablate(model, [(0, 0)]):
        assert zoo.name_of(model) is None
    assert zoo.name_of(model) == name
    norm = next(part for part in model.modules() if isinstance(part, nn.LayerNorm))
    norm.eps = 1.0
    assert zoo.name_of(model) is None


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--threads", "0"], "threads must be at least 1; got 0"), (["--to", __file__], "exists")]
)
def test_training_that_cannot_begin_is_told_in_a_line(monkeypatch, capsys, tmp_path, arguments, said):
    monkeypatch.setattr("sys.argv", ["zoo", "train", "storyworld-en", "--to", str(tmp_path / "to"), *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert said in capsys.readouterr().err
