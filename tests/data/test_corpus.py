"""Texts come from Python's prose, from files and from datasets in the hub's layout, or the error says why not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset, Features, Sequence, Value
from hub_copies import write_files

from companion.data import corpus, prose
from companion.data.tokenization import train_byte_bpe

STORIES = ["The cat sat on the mat.", "The dog ran home.\nIt was late.", "Anna found a key."]

pytestmark = pytest.mark.usefixtures("offline")


# Python's own prose


def test_pydoc_is_the_prose_of_the_package():
    assert corpus.read_documents("pydoc", sources=["primer"]) == prose.documents(["primer"])


# Files


def test_a_file_is_one_document(tmp_path):
    write_files(tmp_path, {"a.txt": STORIES[1]})
    assert corpus.read_documents(tmp_path / "a.txt") == [STORIES[1]]
    assert corpus.read_documents(str(tmp_path / "a.txt")) == [STORIES[1]]


def test_a_file_may_hold_many_documents(tmp_path):
    write_files(tmp_path, {"a.txt": "\n\n" + "\n\n".join(STORIES) + "\n\n\n"})
    assert corpus.read_documents(tmp_path / "a.txt", separator="\n\n") == STORIES


def test_a_folder_is_read_at_any_depth_in_the_order_of_names(tmp_path):
    write_files(tmp_path, {"b.txt": "second", "a/z.txt": "first", "c/d/e.txt": "third", "notes.md": "not this"})
    assert corpus.read_documents(tmp_path) == ["first", "second", "third"]


def test_a_pattern_picks_files(tmp_path):
    write_files(tmp_path, {"a.txt": "no", "b.md": "yes", "c/d.md": "deeper"})
    assert corpus.read_documents(tmp_path, pattern="*.md") == ["yes"]
    assert corpus.read_documents(tmp_path, pattern="**/*.md") == ["yes", "deeper"]


def test_chinese_a_byte_order_mark_and_line_ends_of_windows_are_read(tmp_path):
    write_files(tmp_path, {"a.txt": b"\xef\xbb\xbf" + "猫坐在垫子上。\r\n狗回家了。\r".encode()})
    assert corpus.read_documents(tmp_path) == ["猫坐在垫子上。\n狗回家了。\n"]


def test_empty_files_are_left_out(tmp_path):
    write_files(tmp_path, {"a.txt": "", "b.txt": " \n", "c.txt": "text"})
    assert corpus.read_documents(tmp_path) == ["text"]


@pytest.mark.parametrize(("files", "message"), [({"a.txt": ""}, "1 empty file"), ({"a.txt": "", "b.txt": "\n"}, "2 ")])
def test_files_without_any_text_are_refused(tmp_path, files, message):
    with pytest.raises(ValueError, match=f"holds {message}"):
        corpus.read_documents(write_files(tmp_path, files))


def test_a_binary_file_is_refused_by_name(tmp_path):
    write_files(tmp_path, {"a.txt": "fine", "b.txt": b"\x89PNG\x00\x01"})
    with pytest.raises(ValueError, match=r"b.txt' is not text: it has a zero byte at 4"):
        corpus.read_documents(tmp_path)


def test_another_encoding_is_refused_with_the_byte_and_a_cure(tmp_path):
    write_files(tmp_path, {"a.txt": "café".encode("latin1")})
    with pytest.raises(ValueError, match=r"a.txt' is not UTF-8: byte 0xe9 at 3; convert it first, with iconv"):
        corpus.read_documents(tmp_path)


def test_a_folder_without_fitting_files_is_told_what_there_is(tmp_path):
    write_files(tmp_path, {"a.md": "x", "b.csv": "y"})
    with pytest.raises(FileNotFoundError, match=r"fits the pattern '\*\*/\*.txt'; its files end in .csv, .md"):
        corpus.read_documents(tmp_path)


def test_an_empty_folder_is_told_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="it holds no files"):
        corpus.read_documents(tmp_path)


@pytest.mark.parametrize("source", ["no/such/folder", "pydocs", Path("nothing.txt")])
def test_a_source_that_is_not_there_is_told_what_is_allowed(source):
    with pytest.raises(FileNotFoundError, match="source must be 'pydoc', 'hub:' and a dataset, or a file or folder"):
        corpus.read_documents(source)


def test_a_missing_file_is_told_by_name():
    with pytest.raises(FileNotFoundError, match="there is no file or folder 'nothing.txt'"):
        corpus.text_files("nothing.txt")


def test_an_empty_separator_is_refused(tmp_path):
    with pytest.raises(ValueError, match="separator must not be empty"):
        corpus.read_documents(write_files(tmp_path, {"a.txt": "x"}), separator="")


def test_an_option_of_another_source_is_refused(tmp_path):
    with pytest.raises(TypeError, match="split"):
        corpus.read_documents(write_files(tmp_path, {"a.txt": "x"}), split="train")


# Datasets in the hub's layout


def hub(folder, **options):
    return corpus.read_documents(f"hub:{folder}", **options)


def rows(texts=STORIES):
    return Dataset.from_dict({"text": texts, "label": list(range(len(texts)))})


WRITERS = {
    "parquet": lambda data, path: data.to_parquet(path),
    "jsonl": lambda data, path: data.to_json(path),
    "csv": lambda data, path: data.to_csv(path),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_each_format_of_the_hub_is_read(tmp_path, kind):
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    WRITERS[kind](rows(), folder / "data" / f"train-00000-of-00001.{kind}")
    assert hub(folder) == STORIES


def test_a_txt_file_has_a_document_a_line(tmp_path):
    assert hub(write_files(tmp_path / "set", {"train.txt": "one\n\ntwo\n猫\n"})) == ["one", "two", "猫"]


def test_shards_come_in_order(tmp_path):
    (tmp_path / "set").mkdir()
    for number, text in enumerate(STORIES):
        rows([text]).to_parquet(tmp_path / "set" / f"train-{number:05}-of-00003.parquet")
    assert hub(tmp_path / "set") == STORIES


@pytest.fixture
def two_languages(tmp_path):
    """Two configurations that the README names, one of them with two splits."""
    readme = """\
---
language: [en, zh]
configs:
- config_name: en
  default: true
  data_files:
  - split: train
    path: english/train.jsonl
  - split: validation
    path: english/held_out.jsonl
- config_name: zh
  data_files: chinese/*.jsonl
---
# Two languages
"""
    files = {
        "README.md": readme,
        "english/train.jsonl": '{"text": "hello", "story": "a hello"}\n{"text": "again", "story": null}\n',
        "english/held_out.jsonl": '{"text": "unseen", "story": " "}\n',
        "chinese/a.jsonl": '{"text": "你好"}\n',
    }
    return write_files(tmp_path / "languages", files)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["hello", "again"]),
        ({"config": "en", "split": "validation"}, ["unseen"]),
        ({"config": "zh"}, ["你好"]),
        ({"column": "story"}, ["a hello"]),
        ({"split": "train[:1]"}, ["hello"]),
    ],
    ids=str,
)
def test_configuration_split_and_column_are_chosen(two_languages, options, expected):
    assert hub(two_languages, **options) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "txt"}, "has no column 'txt'; choose from text, story"),
        ({"config": "fr"}, r"cannot be loaded: BuilderConfig 'fr' not found. Available: \['en', 'zh'\]"),
        ({"split": "test"}, r"""cannot be loaded: Unknown split "test". Should be one of \['train', 'validation'\]"""),
        ({"split": "validation", "column": "story"}, "column 'story' of split 'validation' has no text in any row"),
    ],
    ids=str,
)
def test_what_is_not_there_is_told_with_what_is(two_languages, options, message):
    with pytest.raises(ValueError, match=message):
        hub(two_languages, **options)


@pytest.mark.parametrize(
    ("column", "kind", "held"),
    [("label", Value("int64"), "int64"), ("words", Sequence(Value("string")), "not text")],
)
def test_a_column_that_is_no_text_is_refused(tmp_path, column, kind, held):
    (tmp_path / "set").mkdir()
    value = 1 if column == "label" else ["a"]
    data = Dataset.from_list([{"text": "a", column: value}], Features({"text": Value("string"), column: kind}))
    data.to_parquet(tmp_path / "set" / "train.parquet")
    with pytest.raises(ValueError, match=f"column '{column}' holds .*{held}"):
        hub(tmp_path / "set", column=column)


@pytest.mark.parametrize("files", [{"train.jsonl": ""}, {"train.csv": "text,label\n"}, {"train.txt": ""}], ids=str)
def test_an_empty_split_is_refused(tmp_path, files):
    with pytest.raises(ValueError, match="split 'train' has no rows|corresponds to no data"):
        hub(write_files(tmp_path / "set", files))


@pytest.mark.parametrize("files", [{"README.md": "# Nothing yet\n"}, {"weights.bin": b"\x00"}], ids=str)
def test_a_folder_without_data_files_is_refused(tmp_path, files):
    with pytest.raises(FileNotFoundError, match="cannot be loaded: .*data files"):
        hub(write_files(tmp_path / "set", files))


def test_a_damaged_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be loaded: .*Parquet"):
        hub(write_files(tmp_path / "set", {"train.parquet": b"PAR1 half a file"}))


@pytest.mark.slow
def test_a_fresh_process_needs_neither_network_nor_the_library_for_files(tmp_path):
    """The whole package is imported with the hub switched off and `datasets` hidden."""
    write_files(tmp_path, {"a.txt": "text"})
    program = (
        "import sys; sys.modules['datasets'] = None\n"
        "from companion.data import corpus\n"
        f"assert corpus.read_documents({str(tmp_path)!r}) == ['text']"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


# What comes back fits the rest of the package


def test_documents_can_be_split_encoded_and_cut_into_windows(tmp_path):
    texts = [f"Story {n}: the cat sat on mat {n}." for n in range(60)]
    write_files(tmp_path, {"a.txt": "\n\n".join(texts)})
    training, validation = prose.split(corpus.read_documents(tmp_path / "a.txt", separator="\n\n"), held_out=0.2)
    assert sorted(training + validation) == sorted(texts)
    stream = prose.token_stream(train_byte_bpe(training, 300), training)
    batch = next(prose.random_windows(stream, batch_size=2, length=8))
    assert batch.shape == torch.Size([2, 9])


def test_what_tools_keep_for_themselves_is_no_document(tmp_path):
    for name in ("story.txt", ".ipynb_checkpoints/story-checkpoint.txt", ".venv/lib/licence.txt", ".notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert corpus.text_files(tmp_path) == ["story.txt"]


def test_a_folder_that_is_hidden_itself_is_read(tmp_path):
    (tmp_path / ".texts").mkdir()
    (tmp_path / ".texts" / "a.txt").write_text("a")
    assert corpus.text_files(tmp_path / ".texts") == ["a"]


def test_a_dataset_without_a_name_is_refused():
    with pytest.raises(ValueError, match="a dataset must have a name, owner/name, or be a folder; got an empty one"):
        corpus.read_documents("hub:")


COPIES = [
    *("__MACOSX/story.txt", "__pycache__/story.txt", "story.txt~", "x.egg-info/SOURCES.txt", "._story.txt"),
    *("node_modules/pack/LICENSE.txt", "venv/lib/site-packages/LICENSE.txt", "env/LICENSE.txt"),
]


@pytest.mark.parametrize("copy", COPIES)
def test_what_tools_keep_for_themselves_or_copy_is_no_document(tmp_path, copy):
    for name, text in {"story.txt": "new", copy: "old", "env/pyvenv.cfg": "", "deep/tale.txt": "deep"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert corpus.text_files(tmp_path, "**/*[t~]") == ["deep", "new"]


def test_a_hidden_folder_that_is_asked_for_is_read(tmp_path):
    (tmp_path / ".mine").mkdir()
    (tmp_path / ".mine" / "story.txt").write_text("mine")
    assert corpus.text_files(tmp_path / ".mine") == ["mine"]
