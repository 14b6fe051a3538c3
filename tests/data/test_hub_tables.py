"""Splits are loaded without a network, without running code and without a word, or the error says why not."""

import shutil
import sys

import datasets
import pytest
from hub_copies import SST2_CARD, reviews, write, write_files

from companion.data import hub, hub_tables
from companion.data.hub_tables import load_rows

pytestmark = pytest.mark.usefixtures("offline")


def test_a_folder_is_read_as_it_is_and_not_as_another_of_its_name_was(tmp_path):
    folders = [write(tmp_path / number / "set", reviews(), SST2_CARD) for number in "ab"]
    train = [folder / "data" / "train-00000-of-00001.parquet" for folder in folders]
    shutil.copyfile(folders[1] / "data" / "validation-00000-of-00001.parquet", train[1])
    assert [hub.labelled_texts(folder).texts[0] for folder in folders] == [
        "well , the film bores",
        "but the film bores",
    ]
    shutil.copyfile(train[1], train[0])
    assert hub.labelled_texts(folders[0]).texts[0] == "but the film bores"


def test_a_datasets_own_code_is_never_run(tmp_path):
    """Neither beside data nor alone."""
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')"
    for files in ({"set.py": trap}, {"set.py": trap, "train.jsonl": '{"text": "x"}\n'}):
        with pytest.raises(ValueError, match="Dataset scripts are no longer supported"):
            load_rows(write_files(tmp_path / "set", files))
    assert not (tmp_path / "ran").exists()


def test_a_dataset_that_the_hub_cannot_give_is_told_so():
    with pytest.raises(FileNotFoundError, match="dataset 'nobody/nothing' cannot be loaded: .*nobody/nothing"):
        load_rows("nobody/nothing")


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match="pip install 'datasets>=4'"):
        load_rows("nobody/nothing")


def test_a_version_that_may_run_code_is_refused(monkeypatch):
    monkeypatch.setattr(datasets, "__version__", "3.6.0")
    with pytest.raises(ModuleNotFoundError, match="`datasets` 3.6.0 may run a dataset's own code: pip install"):
        load_rows("nobody/nothing")


@pytest.mark.parametrize("shown", [True, False])
def test_nothing_is_printed_and_bars_are_left_as_they_were(tmp_path, capfd, monkeypatch, shown):
    (datasets.enable_progress_bars if shown else datasets.disable_progress_bars)()
    try:
        load_rows(write_files(tmp_path / "set", {"train.jsonl": '{"text": "x"}\n'}))
        assert datasets.are_progress_bars_disabled() is not shown
    finally:
        datasets.enable_progress_bars()
    assert capfd.readouterr() == ("", "")


def test_a_folder_with_a_bracket_in_its_path_is_refused_by_name(tmp_path):
    (tmp_path / "a[1]").mkdir()
    with pytest.raises(ValueError, match="has a .* in its path, which the library takes for a pattern"):
        load_rows(tmp_path / "a[1]")


def test_a_folder_of_too_many_files_is_no_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_tables, "MOST_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text("a")
    with pytest.raises(ValueError, match="holds more than 3 files"):
        load_rows(tmp_path)
