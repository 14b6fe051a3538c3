"""Checks of texts before anything is computed from them: that they are lists, and of whole characters.

Chapter: ``book/concepts/tokenization.ipynb``.
"""

from collections.abc import Iterable, Iterator


def check_list(what: str, *values: object) -> None:
    """Check that values are lists: a string would be taken for the list of its characters.

    Raises:
        ValueError: on a string, naming what it was given for.
    """
    for value in values:
        if isinstance(value, str | bytes):
            raise ValueError(f"{what} must be a list, not a string, which is a list of characters; got {value!r:.60}")


def check_names(what: str, names: Iterable[str]) -> None:
    """Check that of several names, such as those of labels, none comes twice.

    Raises:
        ValueError: naming one that does, or that is no string.
    """
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{what} must be strings; got {name!r:.60}")
        if name in seen:
            raise ValueError(f"{what} must be different names; {name!r} comes twice")
        seen.add(name)


def check_string(text: object) -> None:
    """Check that a text is a string, and not None or NaN in the place of one that is missing.

    Raises:
        TypeError: naming what it is.
    """
    if not isinstance(text, str):
        raise TypeError(f"a text must be a string; got {text!r:.60}")


def check_characters(text: str) -> None:
    """Check that a text is one of whole characters, so that it can be written in UTF-8.

    Raises:
        TypeError: as :func:`check_string`.
        ValueError: on an unpaired surrogate, half of a character.
    """
    check_string(text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ord(text[error.start])
        raise ValueError(
            f"the text has an unpaired surrogate, half of a character, U+{half:04X} at {error.start}; "
            f"text.encode('utf-8', 'replace').decode() puts a ? in its place"
        ) from None


def whole(texts: Iterable[str]) -> Iterator[str]:
    """The same texts, each checked as it is read; errors as :func:`check_list` and :func:`check_characters`."""
    check_list("texts", texts)
    for text in texts:
        check_characters(text)
        yield text
