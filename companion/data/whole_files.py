"""Files that are written whole or not at all: aside first, then on the disk, then in their place.

A process that is killed, a disk that is full and a power cut leave the old file or the new one. Chapter:
``book/practice/train_save_serve.ipynb``. Source: POSIX.1-2017, ``rename`` and ``fsync``.
"""

import glob
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

ABANDONED = 3600.0  # seconds after which a file that a killed process left half-written is removed

Writer = Callable[[Path], object]


def write_whole(path: Path, write: Writer) -> None:
    """Write a file whole or not at all.

    Args:
        path: of the file; its folder is made.
        write: writes its content to the path that it is called with.

    Raises:
        OSError: when it cannot be written, with its name; what stood there stays.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder, "note"), lambda part: part.write_text("read me"))
    ...     Path(folder, "note").read_text()
    'read me'
    """
    try:
        write_together(path.parent, {path.name: write})
    except OSError as error:
        raise OSError(f"{path} could not be saved: {error}") from error


def write_together(folder: Path, writers: Mapping[str, Writer]) -> None:
    """Write several files of a folder: none is put in its place before all are on the disk.

    Each process writes aside under names of its own, so that two of them do not write into one another.

    Args:
        folder: made when missing.
        writers: name of a file -> a function that writes its content to the path that it is called with.

    Raises:
        OSError: when one cannot be written; what stood there stays.
    """
    parts = {name: folder / f"{name}.{os.getpid()}.part" for name in writers}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, write in writers.items():
            _remove_abandoned(folder / name)
            if (folder / name).is_dir():
                raise IsADirectoryError(f"{folder / name} is a folder")
            _write(parts[name], write)
        for name, part in parts.items():
            if not part.exists():  # a clock that jumped let another process take it for an abandoned one
                _write(part, writers[name])
            part.replace(folder / name)
        with suppress(OSError):  # the names in a folder, where the system knows such a thing
            _sync(folder, os.O_RDONLY)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    finally:
        for part in parts.values():
            with suppress(OSError):  # it was moved to its place, or never made
                part.unlink()


def _write(part: Path, write: Writer) -> None:
    write(part)
    with suppress(FileNotFoundError):  # as above
        _sync(part)


def _sync(path: Path, flags: int = os.O_RDWR) -> None:
    """Wait until a file is on the disk."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed left half-written of this file."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        with suppress(OSError):  # another process may remove it, too
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
