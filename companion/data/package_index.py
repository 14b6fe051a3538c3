"""Package indexes as pip is set up to use them: the addresses of one file of one project.

Pages are read as data, in HTML or JSON, and nothing is installed, built or run: pip itself runs the build script of a
source distribution that it only downloads. Chapter: ``book/concepts/transfer.ipynb``. Sources: PEP 503 and PEP 691.
"""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit
from urllib.request import OpenerDirector, url2pathname

from companion.data import downloads

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
PAGE_LIMIT = 2**25  # bytes of a page; a project has at most some thousand files
DEFAULT_INDEX = re.compile(r"\(default\s+(https?://\S+?)\)")
SECTIONS = ("global", "download")  # of pip's configuration, the latter before the former


@dataclass(frozen=True)
class PipSettings:
    """What pip's configuration files and the variables ``PIP_…`` say about where packages come from.

    Attributes:
        indexes: addresses of simple indexes, in the order in which they are asked.
        find_links: folders, or addresses of pages with links; they are asked first.
        certificate: file of trusted certificates; the system's when not given.
        proxy: address of a proxy; the environment's when not given.
        timeout: seconds of silence after which a place counts as out of reach.
    """

    indexes: tuple[str, ...]
    find_links: tuple[str, ...] = ()
    certificate: str | None = None
    proxy: str | None = None
    timeout: float = 15.0


def pip_settings(environment: Mapping[str, str] = os.environ) -> PipSettings:
    """The settings that ``pip download`` would have here; without pip, those of the environment alone."""
    told: dict[str, str] = {}
    for section in SECTIONS:
        told |= {key: value for (own, key), value in _configuration().items() if own == section}
    prefix = "PIP_"
    variables = {key.removeprefix(prefix): value for key, value in environment.items() if key.startswith(prefix)}
    told |= {key.lower().replace("_", "-"): value for key, value in variables.items()}
    without = told.get("no-index", "0").strip().lower() in ("1", "true", "yes", "on", "t", "y")
    first = [] if without else told.get("index-url", "").split() or _default_index()
    return PipSettings(
        indexes=tuple(first + ([] if without else told.get("extra-index-url", "").split())),
        find_links=tuple(told.get("find-links", "").split()),
        certificate=told.get("cert"),
        proxy=told.get("proxy"),
        timeout=float(told.get("timeout", told.get("default-timeout", PipSettings.timeout))),
    )


def _pip(*command: str) -> str:
    """What pip prints; nothing where it is not installed."""
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", *command]
    wide = {**os.environ, "COLUMNS": "300"}  # no address is cut at the end of a line
    return subprocess.run(words, check=False, capture_output=True, text=True, env=wide).stdout


def _configuration() -> dict[tuple[str, str], str]:
    """The entries of pip's configuration files: (section, key) -> value."""
    lines = (line.partition("=") for line in _pip("config", "list").splitlines())
    entries = ((name.rpartition("."), value) for name, _, value in lines if value)
    return {(section, key): str(ast.literal_eval(value)) for (section, _, key), value in entries}


def _default_index() -> list[str]:
    """The index that pip asks where nothing is configured, as its help names it."""
    return DEFAULT_INDEX.findall(_pip("download", "--help"))[:1]


class Finder:
    """Search for files in all places of the settings.

    Attributes:
        settings: see :func:`pip_settings`.
        using: opener of addresses that fits them.
        tried: what was found wanting so far, a remark for each place.
    """

    def __init__(self, settings: PipSettings) -> None:
        """Ask nobody yet."""
        self.settings = settings
        self.using = downloads.opener(settings.certificate, settings.proxy)
        self.tried: list[str] = []

    def addresses(self, project: str, file: str) -> Iterator[str]:
        """Addresses of a file, one place after the other; a place is asked only when the one before was not enough.

        Args:
            project: name in the index.
            file: whole name of a distribution, such as "example-1.0.tar.gz".
        """
        normal = re.sub(r"[-_.]+", "-", project).lower()
        pages = [*map(_as_address, self.settings.find_links)]
        pages += [f"{index.rstrip('/')}/{normal}/" for index in map(_as_address, self.settings.indexes)]
        for page in pages:
            try:
                links = _links(page, self.using, self.settings.timeout)
            except (OSError, HTTPException, ValueError) as error:
                self.tried.append(f"{downloads.shown(page)}: {error}")
                continue
            if file in links:
                yield links[file]
            else:
                self.tried.append(f"{downloads.shown(page)} has no {file}")


def _as_address(place: str) -> str:
    """An address as it is; a folder as an address, which ends in a slash."""
    if "://" in place or place.startswith("file:"):
        return place
    path = Path(place).expanduser().resolve()
    return path.as_uri() + ("/" if path.is_dir() else "")


def _links(page: str, using: OpenerDirector, timeout: float) -> dict[str, str]:
    """The links of a page, or the files of a folder: file name -> address."""
    folder = Path(url2pathname(urlsplit(page).path))
    if urlsplit(page).scheme == "file" and folder.is_dir():
        if not (folder / "index.html").is_file():
            return {path.name: path.absolute().as_uri() for path in folder.iterdir() if path.is_file()}
        page = page.rstrip("/") + "/index.html"
    with using.open(downloads.request(page, {"Accept": ACCEPT}), timeout=timeout) as answer:
        content = answer.read(PAGE_LIMIT + 1)
        kind, base = answer.headers.get_content_type(), answer.url
    if len(content) > PAGE_LIMIT:
        raise ValueError(f"the page is longer than {PAGE_LIMIT} bytes")
    targets = _targets_in_json(content) if kind.endswith("json") else _targets_in_html(content)
    found = (urldefrag(urljoin(base, target)).url for target in targets)
    return {unquote(urlsplit(link).path.rpartition("/")[2]): _with_credentials(link, page) for link in found}


def _targets_in_json(content: bytes) -> list[str]:
    told: Any = json.loads(content)
    files = told.get("files") if isinstance(told, dict) else None
    if not isinstance(files, list):
        raise ValueError("the page is no index of a project: it has no list of files")
    return [file["url"] for file in files if isinstance(file, dict) and isinstance(file.get("url"), str)]


def _targets_in_html(content: bytes) -> list[str]:
    anchors = _Anchors()
    anchors.feed(content.decode("utf-8", "replace"))
    return anchors.targets


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _with_credentials(link: str, page: str) -> str:
    """A link to the page's own host, with the user and the password by which the page was reached."""
    parts, own = urlsplit(link), urlsplit(page)
    same = (parts.scheme, parts.hostname, parts.port) == (own.scheme, own.hostname, own.port)
    return urlunsplit(parts._replace(netloc=own.netloc)) if same and own.username else link
