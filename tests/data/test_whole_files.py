"""A file is written whole or not at all, whatever the disk, the clock or another process does meanwhile."""

import os
import time

import pytest

from companion.data import whole_files
from companion.data.whole_files import ABANDONED, write_together, write_whole

YEAR = 365 * 86400.0


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def saying(text):
    return lambda part: part.write_text(text)


def failing(part):
    part.write_text("half")
    raise OSError("no space left")


def test_what_was_written_is_read_and_nothing_lies_beside_it(tmp_path):
    write_whole(tmp_path / "deep" / "note", saying("old"))
    write_whole(tmp_path / "deep" / "note", saying("new"))
    assert (tmp_path / "deep" / "note").read_text() == "new"
    assert names(tmp_path / "deep") == ["note"]


def test_a_write_that_fails_is_named_and_leaves_what_stood_there(tmp_path):
    write_whole(tmp_path / "note", saying("old"))
    with pytest.raises(OSError, match="note could not be saved: no space left"):
        write_whole(tmp_path / "note", failing)
    assert (tmp_path / "note").read_text() == "old"
    assert names(tmp_path) == ["note"]


@pytest.mark.parametrize("last", [failing, "a folder in its place"], ids=["full disk", "folder"])
def test_of_several_files_none_is_replaced_when_one_fails(tmp_path, last):
    write_together(tmp_path, {"a": saying("old")})
    if last != failing:
        (tmp_path / "b").mkdir()
        last = saying("new")
    with pytest.raises(OSError, match=r"no space left|b is a folder"):
        write_together(tmp_path, {"a": saying("new"), "b": last})
    assert (tmp_path / "a").read_text() == "old"
    assert not list(tmp_path.glob("*.part"))


def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: seen.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
    )
    write_together(tmp_path, {"a": saying("one"), "b": saying("two")})
    assert seen == [f"a.{os.getpid()}.part", f"b.{os.getpid()}.part", tmp_path.name]


def test_a_disk_that_is_full_when_its_buffers_are_written_is_no_save(tmp_path, monkeypatch):
    def full(handle):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="note could not be saved: no space left"):
        write_whole(tmp_path / "note", saying("new"))
    assert names(tmp_path) == []


# A clock that jumps


@pytest.mark.parametrize("jump", [-30 * YEAR, -YEAR, -1, 0, 1, YEAR, 30 * YEAR])
def test_a_save_does_not_ask_what_time_it_is(tmp_path, monkeypatch, jump):
    now = time.time()
    write_whole(tmp_path / "note", saying("old"))
    monkeypatch.setattr(time, "time", lambda: now + jump)
    write_whole(tmp_path / "note", saying("new"))
    assert (tmp_path / "note").read_text() == "new"


def test_what_another_process_is_writing_stays_and_what_a_killed_one_left_goes(tmp_path):
    for number, age in enumerate((0, -YEAR, ABANDONED / 2, 2 * ABANDONED, YEAR)):
        part = tmp_path / f"note.{number}.part"
        part.write_bytes(b"")
        os.utime(part, (time.time() - age,) * 2)
    write_whole(tmp_path / "note", saying("new"))
    assert names(tmp_path) == ["note", "note.0.part", "note.1.part", "note.2.part"]


@pytest.mark.parametrize("times", [1, 2])
def test_a_part_that_another_process_took_for_abandoned_is_written_once_more(tmp_path, monkeypatch, times):
    sync, left = whole_files._sync, [times]

    def removed(path, *flags):
        if path != tmp_path and left[0]:
            left[0] -= 1
            path.unlink()
        sync(path, *flags)

    monkeypatch.setattr(whole_files, "_sync", removed)
    if times == 1:
        write_whole(tmp_path / "note", saying("new"))
        assert (tmp_path / "note").read_text() == "new"
    else:  # nobody's clock jumps at each save
        with pytest.raises(OSError, match="note could not be saved"):
            write_whole(tmp_path / "note", saying("new"))
