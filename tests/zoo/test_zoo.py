"""What ships is small, whole, trained, and made by the recipe that its card names."""

import math
import re
import socket

import pytest
import torch
from safetensors.torch import load_file
from small_registry import Registry, published, running

from companion import zoo
from companion.data import fetched, prose
from companion.data.package_index import PipSettings
from companion.data.published import CATALOGUE
from companion.data.tokenization import load_tokenizer
from companion.metrics.language_model import cross_entropy
from companion.models.bert import Bert
from companion.models.gpt import GPT, GPTConfig
from companion.zoo.__main__ import main
from companion.zoo.recipes import (
    prose as recipes,
)
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


NAMES = ["prose", "storyworld-bert", "storyworld-bert-small", "storyworld-en", "storyworld-zh"]


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
    with pytest.raises(ValueError, match="the zoo has no model 'gpt5'; it has prose"):
        zoo.load("gpt5")


def test_the_folder_holds_these_files_and_nothing_else(name):
    assert {path.name for path in zoo.folder(name).iterdir()} == FILES


def test_the_weights_are_at_most_four_megabytes(name):
    assert (zoo.folder(name) / "model.safetensors").stat().st_size <= 4_000_000


def test_weights_are_half_precision_and_finite(name):
    tensors = load_file(zoo.folder(name) / "model.safetensors").values()
    assert {tensor.dtype for tensor in tensors} == {torch.float16}
    assert all(tensor.isfinite().all() for tensor in tensors)


@pytest.mark.parametrize("name", ["prose", "storyworld-bert", "storyworld-en", "storyworld-zh"])
def test_the_sizes_are_those_of_the_recipe(name):
    made = {**recipes.RECIPES, **story_recipes.RECIPES, **bert_recipes.RECIPES}
    assert zoo.load(name)[0].config == made[name].config


def held_out(source):
    return prose.split(prose.documents([source]))


def test_it_beats_a_unigram_on_held_out_text_by_far():
    model, tokenizer = zoo.load("prose")
    seen, unseen = (prose.token_stream(tokenizer, texts) for texts in held_out("primer"))
    counts = torch.bincount(seen, minlength=model.config.vocab_size) + 1.0
    unigram = -(counts / counts.sum()).log()[unseen[1:]].mean().item()
    assert cross_entropy(model, unseen) < unigram - math.log(3)  # a third as many equally likely tokens, or fewer
    assert unigram < math.log(model.config.vocab_size)


def test_the_card_tells_what_the_shipped_weights_score():
    model, tokenizer = zoo.load("prose")
    card = (zoo.folder("prose") / "README.md").read_text(encoding="utf8")
    documents, nats = re.search(r"^\| primer \| (\d+) \| ([\d.]+) \|", card, re.MULTILINE).groups()
    _, unseen = held_out("primer")
    assert int(documents) == len(unseen)
    assert cross_entropy(model, prose.token_stream(tokenizer, unseen)) == pytest.approx(float(nats), abs=0.005)


def test_the_card_names_the_command_that_makes_it(name):
    assert f"`python -m companion.zoo train {name}`" in (zoo.folder(name) / "README.md").read_text(encoding="utf8")


# Making one

SMALL = recipes.Recipe(
    config=GPTConfig(vocab_size=300, context_length=8, n_layers=1, n_heads=1, d_model=4, dropout=0.1),
    steps=60,
    batch_size=2,
    learning_rate=1e-2,
    weight_decay=0.1,
    vocabulary_from=("primer",),
    seed=1,
)


@pytest.fixture
def small(monkeypatch):
    """A recipe of seconds, on the primer alone."""
    monkeypatch.setitem(recipes.RECIPES, "small", SMALL)
    monkeypatch.setattr(prose, "SOURCES", ("primer",))


def test_a_recipe_makes_a_whole_folder_and_a_card(small, tmp_path, capsys):
    history = recipes.train("small", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"run.safetensors"}
    assert len(history.loss) == 60
    assert history.loss[-1] < history.loss[0]
    model, tokenizer = GPT.from_pretrained(tmp_path), load_tokenizer(tmp_path)
    assert model.config == SMALL.config
    assert tokenizer.get_vocab_size() == 300
    card = (tmp_path / "README.md").read_text(encoding="utf8")
    assert "1 layers × 1 heads" in card
    assert re.search(r"^\| primer \| \d+ \| \d\.\d{3} \| \d+\.\d \| \d\.\d{3} \|$", card, re.MULTILINE)
    assert prose.fingerprint(recipes._corpus(SMALL).training) in card
    assert "60/60" in capsys.readouterr().out


def test_an_interrupted_recipe_ends_with_the_same_weights(small, tmp_path, monkeypatch):
    recipes.train("small", tmp_path / "whole")
    with monkeypatch.context() as patch:
        evaluations = iter([1.0])  # the second one, after the last step, ends the run
        patch.setattr(recipes, "cross_entropy", lambda *_: next(evaluations))
        with pytest.raises(StopIteration):
            recipes.train("small", tmp_path / "halves")
    assert not (tmp_path / "halves" / "model.safetensors").exists()
    recipes.train("small", tmp_path / "halves")
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "halves" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_held_out_documents_are_never_trained_on(small):
    corpus = recipes._corpus(SMALL)
    assert not set(corpus.training) & set(corpus.validation["primer"])


def test_an_unknown_recipe_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no recipe 'gpt5'; choose from prose"):
        recipes.train("gpt5", tmp_path)


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
    with pytest.raises(ValueError, match="prose is no chat model: it has no model.gguf"):
        zoo.chat_text("prose", [])


def test_every_published_model_is_in_the_catalogue():
    assert set(zoo.FETCHED) <= set(CATALOGUE)


def test_the_command_line_trains(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["zoo", "train", "small", "--to", str(tmp_path)])
    main()
    assert re.search(r"60 steps, \d\.\d{3} nats a token on held-out text", capsys.readouterr().out)


def test_the_command_line_refuses_an_unknown_name(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["zoo", "train", "gpt5"])
    with pytest.raises(SystemExit):
        main()
    assert "invalid choice: 'gpt5'" in capsys.readouterr().err
