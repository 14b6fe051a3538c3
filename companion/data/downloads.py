"""Downloads of files whose size and SHA-256 are known: they go on after an interruption, and a wrong byte is refused.

Chapter: ``book/concepts/transfer.ipynb``. Source: RFC 9110, section 14 (range requests).
"""

import base64
import hashlib
import ssl
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from tqdm import tqdm

CHUNK = 2**18
TRIES = 5  # of a transfer that breaks off, each from where the last one came to
SCHEMES = ("http", "https", "file")


class WrongBytesError(ValueError):
    """A file that is not the one that was asked for; the message names it, its hash and the right one."""


def opener(certificate: str | None = None, proxy: str | None = None) -> OpenerDirector:
    """Opener of addresses; the environment's proxies and certificates count where none is given.

    Args:
        certificate: file of certificates that are trusted.
        proxy: address of the proxy for http and https.
    """
    proxies = {"http": proxy, "https": proxy} if proxy else None
    context = ssl.create_default_context(cafile=certificate)
    return build_opener(ProxyHandler(proxies), HTTPSHandler(context=context))


def request(address: str, headers: Mapping[str, str] | None = None) -> Request:
    """Request of an address; a user and a password in it become a header that no redirection passes on.

    >>> made = request("https://me:secret@example.org/simple/")
    >>> made.full_url, made.unredirected_hdrs
    ('https://example.org/simple/', {'Authorization': 'Basic bWU6c2VjcmV0'})

    Raises:
        ValueError: on another scheme than http, https and file.
    """
    parts = urlsplit(address)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"an address must begin with {', '.join(SCHEMES)}; got {shown(address)!r}")
    made = Request(shown(address), headers=dict(headers or {}))
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        made.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    return made


def shown(address: str) -> str:
    """An address without the user and the password that it may hold.

    >>> shown("https://me:secret@example.org/simple/")
    'https://example.org/simple/'
    """
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, size: int, sha256: str, what: str) -> None:
    """Check of a file against what is known of it.

    Args:
        path: of the file.
        size: in bytes.
        sha256: in hexadecimal digits.
        what: beginning of an error, such as "model.safetensors from example.org".

    Raises:
        WrongBytesError: when size or hash is another.
    """
    found = path.stat().st_size
    if found != size:
        raise WrongBytesError(f"{what} has {found} bytes, not {size}; it is not used")
    if (digest := sha256_of(path)) != sha256:
        raise WrongBytesError(f"{what} has the SHA-256 {digest}, not {sha256}; it is not used")


def download(address: str, target: Path, size: int, sha256: str, using: OpenerDirector, timeout: float = 30) -> None:
    """Download a file; it stands under its name only when every byte is right.

    What has arrived is kept as ``<target>.part``, and the next call goes on behind it.

    Args:
        address: http, https or file.
        target: file to write; its folder exists.
        size: in bytes.
        sha256: in hexadecimal digits.
        using: see :func:`opener`.
        timeout: seconds of silence after which a transfer counts as broken off.

    Raises:
        WrongBytesError: when another file arrives; it is removed.
        OSError: when the address cannot be reached, or the transfer breaks off again and again.
    """
    part = target.with_name(target.name + ".part")
    _transfer(address, part, size, using, timeout)
    try:
        check(part, size, sha256, f"{target.name} from {shown(address)}")
    except WrongBytesError:
        part.unlink()
        raise
    part.replace(target)


def _transfer(address: str, part: Path, size: int, using: OpenerDirector, timeout: float) -> None:
    """Fill ``part`` up; a transfer that breaks off goes on at once, while each try brings something."""
    for tries in range(TRIES, 0, -1):
        before = _length(part)
        if before == size:
            return
        try:
            _go_on(address, part, size, using, timeout)
            if _length(part) >= size:
                return
            raise ConnectionError(f"{shown(address)} ended after {_length(part)} of {size} bytes")
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError) and error.code == 416:  # there is no such rest: begin anew
                part.unlink(missing_ok=True)
            elif tries == 1 or _length(part) <= before:
                raise error if isinstance(error, OSError) else ConnectionError(str(error)) from error


def _go_on(address: str, part: Path, size: int, using: OpenerDirector, timeout: float) -> None:
    """One transfer, behind what is there already where the other side can do that, else from the beginning."""
    have = _length(part) if _length(part) < size else 0
    with using.open(request(address, {"Range": f"bytes={have}-"} if have else {}), timeout=timeout) as answer:
        follows = answer.status == 206 and str(answer.headers["Content-Range"]).startswith(f"bytes {have}-")
        with part.open("ab" if follows else "wb") as file:
            _copy(answer, file, have if follows else 0, size, part.name.removesuffix(".part"))


def _copy(answer: IO[bytes], file: IO[bytes], have: int, size: int, name: str) -> None:
    """Copy with a progress bar, at most one byte more than there should be."""
    form = {"unit": "B", "unit_scale": True, "unit_divisor": 1000, "mininterval": 0.5}
    with tqdm(total=size, initial=have, desc=name, file=sys.stdout, **form) as bar:
        while have <= size and (chunk := answer.read(min(CHUNK, size + 1 - have))):
            file.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
