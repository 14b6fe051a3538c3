"""Outputs from elsewhere, so that a reader's first build runs nothing: one zip file with the files of a store.

What lies in such a file is data from outside. Only entries whose names this book computed by itself are looked at, so
that none can lead out of the folder or replace what another state of the book made; each must be a notebook with the
code of the page. What it shows is trusted as the address is, for an output may be a script.
"""

import io
import zipfile
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import nbformat
from nbformat import NotebookNode

from stored_outputs import Chapter, code, save

FETCHED = 300_000_000  # bytes of a whole file; the book's own is a tenth of it
ENTRY = 100_000_000  # bytes of one notebook: ten cells that each write as much as they may
TIMEOUT = 30  # seconds without a byte
STAMP = (1980, 1, 1, 0, 0, 0)  # the same outputs make the same file


class NotFetched(Exception):
    """There is nothing to unpack; the message says why."""


def unpack(address: str, folder: Path, wanted: Iterable[Chapter]) -> int:
    """Store what a file at a path or an https address holds of the wanted outputs, and return how many these are.

    Raises:
        NotFetched: when the file cannot be had, is too large or is no zip file.
    """
    content = fetched(address)
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except Exception as error:  # whatever is wrong with it, the chapters are executed instead
        raise NotFetched(f"it is no zip file: {error}") from None
    found = 0
    with archive:
        for chapter in wanted:
            if (executed := entry(archive, chapter)) is not None:
                save(folder, chapter.name, executed)
                found += 1
    return found


def fetched(address: str) -> bytes:
    """Return the bytes at a path or an https address; raise NotFetched when they cannot be had or are too many."""
    try:
        if "://" not in address:
            with Path(address).expanduser().open("rb") as file:
                content = file.read(FETCHED + 1)
        else:
            with urlopen(secure(address), timeout=TIMEOUT) as answer:
                secure(answer.url)  # where it was led to
                content = answer.read(FETCHED + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise NotFetched(str(error)) from None
    if len(content) > FETCHED:
        raise NotFetched(f"it has more than {FETCHED:,} bytes")
    return content


def secure(address: str) -> str:
    """Return an address; raise NotFetched for one that is not https."""
    if not address.startswith("https://"):
        raise NotFetched(f"an address must begin with https://, not {address!r}")
    return address


def entry(archive: zipfile.ZipFile, chapter: Chapter) -> NotebookNode | None:
    """Return the outputs of a chapter out of a file; None when they are not there or not what they should be."""
    try:
        with archive.open(chapter.name) as file:
            content = file.read(ENTRY + 1)  # the size in the file's index is a claim
        if len(content) > ENTRY:
            return None
        executed = nbformat.reads(content.decode("utf-8"), as_version=4)
        nbformat.validate(executed)
    except Exception:  # whatever is wrong with it, the chapter is executed instead
        return None
    executed.metadata.pop("seconds", None)  # of another machine
    same = [cell.source for cell in code(executed)] == [cell.source for cell in code(chapter.notebook)]
    return executed if same else None


def pack(folder: Path, names: Iterable[str], target: Path) -> None:
    """Write stored outputs into one zip file: the same outputs make the same bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(names):
            archive.writestr(zipfile.ZipInfo(name, STAMP), (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
