"""Requests to a service: what a body may hold, and the reason for which any other is refused.

A body is a JSON object with one key, ``{"texts": ["…", "…"]}``. It comes from anybody, so nothing of it is taken on
trust. Chapter: ``book/practice/train_save_serve.ipynb``. Source: RFC 8259, "JSON", and RFC 9110, "HTTP Semantics".
"""

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from companion.nn.checks import check_integer
from companion.nn.field_types import check_field_types

KEY = "texts"
SHOWN = 60  # characters of a value that a reason repeats


@dataclass(frozen=True)
class Limits:
    """The most that a service takes of one request, and of all of them at once.

    Attributes:
        body_bytes: of a request's body.
        texts: in one request.
        characters: in one text.
        read_seconds: until the whole request has arrived.
        wait_seconds: that a request waits for the model, which answers one at a time.
        connections: served at once; more wait in the operating system's queue.

    >>> Limits(texts=8).texts
    8
    """

    body_bytes: int = 65_536
    texts: int = 32
    characters: int = 2_000
    read_seconds: float = 5.0
    wait_seconds: float = 5.0
    connections: int = 32

    def __post_init__(self) -> None:
        """Raise ValueError on a limit that lets nothing through."""
        check_field_types(self)
        for name in ("body_bytes", "texts", "characters", "connections"):
            check_integer(name, getattr(self, name))
        for name in ("read_seconds", "wait_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and above 0; got {getattr(self, name)}")


class RefusedError(ValueError):
    """A request that is not answered, with the status of HTTP that says so.

    Attributes:
        status: 4xx where the request is wrong, 503 where the service is busy.
    """

    def __init__(self, status: int, reason: str) -> None:
        """Keep the status and the reason, which names what was given and what is allowed."""
        super().__init__(reason)
        self.status = status


def texts_of(body: bytes, limits: Limits) -> list[str]:
    """The texts of a request's body.

    >>> texts_of(b'{"texts": ["Anna gives Tom the ball."]}', Limits())
    ['Anna gives Tom the ball.']
    >>> texts_of(b'{"texts": "Anna"}', Limits())
    Traceback (most recent call last):
    companion.serving.requests.RefusedError: "texts" must be a list of 1 to 32 strings; got "Anna"

    Args:
        body: as it came.
        limits: of the service.

    Raises:
        RefusedError: 400 when it is not JSON in UTF-8, 422 when it is and holds something else than such texts.
    """
    content = _parsed(body)
    allowed = f'"{KEY}" must be a list of 1 to {limits.texts} strings'
    if not isinstance(content, dict) or set(content) != {KEY}:
        found = f"the keys {shown(list(content))}" if isinstance(content, dict) else shown(content)
        raise RefusedError(422, f'the body must be an object with the one key "{KEY}"; got {found}')
    texts = content[KEY]
    if not isinstance(texts, list):
        raise RefusedError(422, f"{allowed}; got {shown(texts)}")
    if not 1 <= len(texts) <= limits.texts:
        raise RefusedError(422, f"{allowed}; got {len(texts)} of them")
    for number, text in enumerate(texts):
        _check(number, text, limits.characters)
    return texts


def shown(value: Any) -> str:
    """A value as JSON in ASCII, cut where it is long, so that a reason can name it whatever it holds.

    >>> shown("Zo\\u00eb"), shown([1] * 50)
    ('"Zo\\\\u00eb"', '[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 …')
    """
    try:
        text = json.dumps(value)
    except RecursionError:
        return "a value of very many levels"
    return text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip(', ')} …"


def _parsed(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        byte, place = body[error.start], error.start
        raise RefusedError(400, f"the body must be UTF-8; got the byte 0x{byte:02x} at {place}") from None
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        got = shown(text[error.pos : error.pos + 20]) if error.pos < len(text) else "its end"
        raise RefusedError(400, f"the body must be JSON; {error.msg}, at character {error.pos}: got {got}") from None
    except RecursionError:
        raise RefusedError(400, f"the body must be JSON of a few levels; got {shown(text)}") from None
    except RefusedError:
        raise
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise RefusedError(400, "the body must be JSON; got a number of thousands of digits") from None


def _no_number(name: str) -> NoReturn:
    raise RefusedError(400, f"the body must be JSON, which has no {name}")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise RefusedError(400, f"an object must have each key once; got {shown([key for key, _ in pairs])}")
    return content


def _check(number: int, text: Any, characters: int) -> None:
    if not isinstance(text, str):
        raise RefusedError(422, f"text {number} must be a string; got {shown(text)}")
    if not text.strip():
        raise RefusedError(422, f"text {number} must have a character that can be seen; got {shown(text)}")
    if len(text) > characters:
        raise RefusedError(422, f"text {number} must have at most {characters} characters; got {len(text)}")
    half = next((c for c in text if "\ud800" <= c <= "\udfff"), None)
    if half is not None:
        place = text.index(half)
        raise RefusedError(
            422, f"text {number} must have whole characters; got half of one, U+{ord(half):04X}, at {place}"
        )
