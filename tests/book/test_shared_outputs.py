"""Outputs from elsewhere are data: what is not a notebook of this book's own making is left where it lies."""

import json
import zipfile
from pathlib import Path

import pytest
import shared_outputs
from nbformat import writes
from nbformat.v4 import new_code_cell, new_notebook, new_output
from shared_outputs import NotFetched, pack, unpack
from stored_outputs import Chapter, save

NAME = "gpt-0123456789abcdef.ipynb"


def notebook(code: str = "6 * 7", outputs: tuple = ()):
    return new_notebook(cells=[new_code_cell(code, outputs=list(outputs))], metadata={"seconds": 3.5})


EXECUTED = writes(notebook(outputs=(new_output("stream", text="42\n"),)))


@pytest.fixture
def chapter() -> Chapter:
    return Chapter(Path("gpt.ipynb"), notebook(), NAME, {})


def archive(path: Path, entries: dict[str, str | bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return str(path)


def stored(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_was_packed_is_found_again(tmp_path: Path, chapter: Chapter):
    executed = notebook(outputs=(new_output("stream", text="42\n"),))
    save(tmp_path / "here", NAME, executed)
    pack(tmp_path / "here", [NAME], tmp_path / "dist" / "outputs.zip")
    assert unpack(str(tmp_path / "dist" / "outputs.zip"), tmp_path / "there", [chapter]) == 1
    assert "42" in (tmp_path / "there" / NAME).read_text()


def test_the_same_outputs_make_the_same_bytes(tmp_path: Path):
    names = [NAME, "bert-0123456789abcdef.ipynb"]
    for name in names:
        save(tmp_path, name, notebook())
    pack(tmp_path, names, tmp_path / "one.zip")
    pack(tmp_path, reversed(names), tmp_path / "other.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()


def test_how_long_it_took_elsewhere_is_not_taken(tmp_path: Path, chapter: Chapter):
    unpack(archive(tmp_path / "a.zip", {NAME: EXECUTED}), tmp_path / "store", [chapter])
    assert "seconds" not in json.loads((tmp_path / "store" / NAME).read_text())["metadata"]


def test_entries_with_other_names_are_not_looked_at(tmp_path: Path, chapter: Chapter):
    names = [f"../{NAME}", f"/tmp/{NAME}", f"a/{NAME}", "gpt-ffffffffffffffff.ipynb", "..", f"C:\\{NAME}"]
    address = archive(tmp_path / "a.zip", dict.fromkeys(names, EXECUTED))
    assert unpack(address, tmp_path / "store", [chapter]) == 0
    assert stored(tmp_path) == ["a.zip"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        "no JSON",
        "[]",
        "{}",
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 7}',
        '{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [7]}',
        "[" * 100_000,
        writes(notebook("import os")),
        writes(new_notebook()),
        EXECUTED.replace('"stream"', '"strange"'),
    ],
    ids=["bytes", "text", "a list", "empty", "cells", "version 3", "deep", "other code", "no code", "an output"],
)
def test_an_entry_that_is_no_notebook_of_this_code_is_left(tmp_path: Path, chapter: Chapter, content: str | bytes):
    assert unpack(archive(tmp_path / "a.zip", {NAME: content}), tmp_path / "store", [chapter]) == 0
    assert stored(tmp_path) == ["a.zip"]


def test_an_entry_that_unpacks_without_end_is_left(tmp_path: Path, chapter: Chapter, monkeypatch):
    monkeypatch.setattr(shared_outputs, "ENTRY", 1000)
    address = archive(tmp_path / "a.zip", {NAME: EXECUTED + " " * 1_000_000})
    assert unpack(address, tmp_path / "store", [chapter]) == 0


def test_a_broken_entry_does_not_spoil_the_others(tmp_path: Path, chapter: Chapter):
    other = chapter._replace(name="bert-0123456789abcdef.ipynb")
    address = archive(tmp_path / "a.zip", {NAME: EXECUTED, other.name: EXECUTED})
    content = bytearray(Path(address).read_bytes())
    content[len(NAME) + 40] ^= 0xFF  # in the data of the first
    Path(address).write_bytes(content)
    assert unpack(address, tmp_path / "store", [chapter, other]) == 1
    assert stored(tmp_path / "store") == [other.name]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("nowhere.zip", "No such file"),
        (".", "Is a directory"),
        ("http://127.0.0.1/outputs.zip", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https://127.0.0.1:1/outputs.zip", "refused"),
        ("https://[", "Invalid IPv6"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(tmp_path: Path, chapter: Chapter, address: str, reason: str):
    with pytest.raises(NotFetched, match=reason):
        unpack(address, tmp_path, [chapter])


def test_a_file_that_is_no_zip_is_said(tmp_path: Path, chapter: Chapter):
    (tmp_path / "a.zip").write_text("<html>Not found</html>")
    with pytest.raises(NotFetched, match="no zip file"):
        unpack(str(tmp_path / "a.zip"), tmp_path, [chapter])


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, chapter: Chapter, monkeypatch):
    monkeypatch.setattr(shared_outputs, "FETCHED", 100)
    with pytest.raises(NotFetched, match="more than 100 bytes"):
        unpack(archive(tmp_path / "a.zip", {NAME: EXECUTED}), tmp_path, [chapter])
