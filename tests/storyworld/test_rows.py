"""Stories as rows of ids: padded, kept on disk, and dealt out in batches."""

import sys

import pytest
import torch
from safetensors import SafetensorError

from companion import storyworld
from companion.data.batch import IGNORED
from companion.storyworld import World, corpus, rows, story_batches


def test_rows_begin_with_the_end_of_a_text_and_are_padded_after_it():
    stories = World().stories(5)
    laid = rows(stories)
    words = stories[0].world.vocabulary
    assert (laid[:, 0] == 0).all()
    for row, story in zip(laid.tolist(), stories, strict=True):
        kept = [i for i in row if i != IGNORED]
        assert [words[i] for i in kept[1:]] == story.tokens
        assert row[len(kept) :] == [IGNORED] * (len(row) - len(kept))


def test_rows_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no story"):
        rows([])


def test_a_corpus_is_kept_on_disk_and_a_damaged_file_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path))
    first = corpus(World(), 20, seed=9)
    (file,) = tmp_path.iterdir()
    assert file.name == f"storyworld-{storyworld.VERSION}-small-en-20-9.safetensors"
    monkeypatch.setattr(World, "stories", lambda *_: pytest.fail("told again"))
    assert torch.equal(corpus(World(), 20, seed=9), first)
    monkeypatch.undo()
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path))
    file.write_bytes(b"damaged")
    assert torch.equal(corpus(World(), 20, seed=9), first)


def test_a_corpus_needs_no_disk(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("COMPANION_CACHE", str(blocked))
    assert torch.equal(corpus(World(), 5), rows(World().stories(5)))


def test_a_corpus_that_does_not_fit_on_the_disk_is_made_and_not_kept(tmp_path, monkeypatch):
    def full(tensors, path):
        path.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path))
    monkeypatch.setattr(sys.modules["companion.storyworld.rows"], "save_file", full)
    assert torch.equal(corpus(World(), 5), rows(World().stories(5)))
    assert not list(tmp_path.iterdir())


def test_batches_are_stories_of_the_world_and_the_same_for_the_same_seed():
    first, again = story_batches(World(), 4, seed=1), story_batches(World(), 4, seed=1)
    for _ in range(20):
        batch = next(first)
        assert torch.equal(batch, next(again))
        assert len(batch) == 4
    words = World().vocabulary
    World().read([words[i] for i in batch[0].tolist()[1:] if i != IGNORED])


def test_batches_of_nothing_are_refused():
    with pytest.raises(ValueError, match="at least 1; got 0"):
        next(story_batches(World(), 0))
