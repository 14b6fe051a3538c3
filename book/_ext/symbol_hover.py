"""Symbols of an equation that can be pointed at: each occurrence of them in its source is wrapped in a class.

``hoverable(r"a_i = x^2", [Symbol("x", "…")])`` is ``a_i = \\class{llm-symbol llm-symbol-0}{x}^2``, where 0 is the place
of the symbol in the list. It is drawn as it was; ``symbol_hover.js`` finds the class. A symbol of the list
stands for what is written so, and for its relatives: ``s_t`` for ``s_{t-1}``, ``p(x)`` for ``p(x_i)``, ``E`` for the letter
of ``E_{x_t}``. What is written so itself comes first.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from companion.lessons import Symbol
from latex_items import BARRIERS, Item, Items, parse

NAME = "llm-symbol"
OPEN, CLOSE = {"(", "[", "\\{", "\\langle", "\\lfloor"}, {")", "]", "\\}", "\\rangle", "\\rfloor"}
DOTS = {"\\dots", "\\cdots"}
SEPARATORS = {",", ";", "\\mid"}
RELATIONS = {"<", ">", "\\le", "\\ge", "="}
SIGNS = {"+", "-", ":", "/", "|", "(", ")", ","} | RELATIONS
INDEX = re.compile(r"[A-Za-z\d]+|\\ell|\\pi")  # what counts, and no name: neither \theta nor \top nor a word
COUNTING, LETTER = re.compile(r"[a-z\d]+|\\ell"), re.compile(r"[a-z]|\\ell")


@dataclass(frozen=True)
class Pattern:
    """One spelling of the symbol at a place of the list: ``Q, K`` has two."""

    symbol: int
    items: tuple[Item, ...]


class Found(NamedTuple):
    """A pattern that was found: the first ``last`` items, of which ``source[start:end]`` is wrapped."""

    pattern: Pattern
    last: int
    start: int
    end: int
    exact: bool = True


class Wrap(NamedTuple):
    """A part of the source that gets a class; ``bare`` if it is an argument without braces."""

    start: int
    end: int
    symbol: int
    bare: bool


def hoverable(source: str, symbols: Sequence[Symbol]) -> str:
    """Return the source with its symbols wrapped; what cannot be read comes back as it is."""
    opening: dict[int, str] = {}
    closing: dict[int, str] = {}
    for wrap in wraps(source, symbols):  # outer ones come before inner ones
        name, end = (r"{\class ", "}}") if wrap.bare else (r"\class", "}")  # the space tells whose the brace is
        opening[wrap.start] = opening.get(wrap.start, "") + f"{name}{{{NAME} {NAME}-{wrap.symbol}}}{{"
        closing[wrap.end] = end + closing.get(wrap.end, "")
    places = sorted({0, len(source), *opening, *closing})
    pieces = (source[a:b] for a, b in zip(places, [*places[1:], len(source)], strict=True))
    return "".join(
        closing.get(place, "") + opening.get(place, "") + piece for place, piece in zip(places, pieces, strict=True)
    )


def wraps(source: str, symbols: Sequence[Symbol]) -> list[Wrap]:
    """Return what is wrapped in a source, in its order, outer ones before inner ones; nothing if it cannot be read."""
    try:
        items = parse(source)
    except ValueError:
        return []
    return list(_wraps(items, list(patterns(symbols))))


def patterns(symbols: Sequence[Symbol]) -> Iterator[Pattern]:
    """Yield the spellings of the symbols: what stands between commas, outside of brackets, and is not dots."""
    for number, symbol in enumerate(symbols):
        spellings: list[list[Item]] = [[]]
        depth = 0
        for item in parse(symbol.tex).items:
            depth += (item.core in OPEN) - (item.core in CLOSE)
            if item.core == "," and not depth:
                spellings.append([])
            else:
                spellings[-1].append(item)
        yield from (Pattern(number, tuple(one)) for one in spellings if one and one[0].core not in DOTS)


def _wraps(line: Items, known: Sequence[Pattern]) -> Iterator[Wrap]:
    """Yield the wraps of a list of items, and of what is inside them."""
    place, items = 0, line.items
    while place < len(items):
        found = find(items[place:], known)
        if found is None:
            yield from _inside(items[place], known)
            place += 1
            continue
        yield Wrap(found.start, found.end, found.pattern.symbol, not line.braced)
        if found.last > 1:
            others = [pattern for pattern in known if pattern.symbol != found.pattern.symbol]
            yield from _wraps(Items(items[place : place + 1]), [one for one in others if len(one.items) == 1])
            yield from _wraps(Items(items[place + 1 : place + found.last]), others)
        else:  # in the scripts of what is itself a symbol, letters are a part of its name, and functions are not
            yield from _inside(items[place], [one for one in known if len(one.items) > 1] if found.exact else known)
        place += found.last


def _inside(item: Item, known: Sequence[Pattern]) -> Iterator[Wrap]:
    for part in item.parts:
        yield from _wraps(part, known)


def find(items: Sequence[Item], known: Sequence[Pattern]) -> Found | None:
    """Return the pattern that stands at the beginning of the items: the longest one, and itself before a relative."""
    for rule in (_sequence, _applied, _with_more, _relative, _letter):
        found = [one for pattern in known if (one := rule(items, pattern))]
        if found:
            return max(found, key=lambda one: (one.last, len(str(one.pattern.items[0]))))
    return None


def _sequence(items: Sequence[Item], pattern: Pattern) -> Found | None:
    """Itself: as many items, each the same."""
    count = len(pattern.items)
    if list(map(str, items[:count])) != list(map(str, pattern.items)):
        return None
    return Found(pattern, count, items[0].start, items[count - 1].end)


def _applied(items: Sequence[Item], pattern: Pattern) -> Found | None:
    """The same function of something else, or the same brackets around something else."""
    head = pattern.items[0]
    if str(items[0]) != str(head) or len(pattern.items) < 3:
        return None
    first = 0 if head.core in OPEN and pattern.items[1].core == "\\cdot" else 1
    last, expected = _closed(items, first), _closed(pattern.items, first)
    if last is None or expected != len(pattern.items) or items[last - 1].end > items[last - 1].core_end:
        return None
    theirs, own = items[first:last], pattern.items[first:expected]
    if _separators(theirs) != _separators(own):
        return None
    if first and len(str(head)) == 1 and _letter_of(theirs) != _letter_of(own):
        return None  # p of something else may be another function; p with an index, or a word, is itself
    return Found(pattern, last, items[0].start, items[last - 1].end)


def _closed(items: Sequence[Item], first: int) -> int | None:
    """Return the place behind the bracket that closes the one at ``first``, if there is one, and both on a line."""
    if first >= len(items) or items[first].core not in OPEN:
        return None
    depth = 0
    for place, item in enumerate(items[first:], first):
        depth += (item.core in OPEN) - (item.core in CLOSE)
        if not depth or item.core in BARRIERS:
            return place + 1 if item.core in CLOSE else None
    return None


def _separators(items: Sequence[Item]) -> list[str]:
    return [item.core for item in items if item.core in SEPARATORS]


def _letter_of(argument: Sequence[Item]) -> str:
    """Return the letter of a first argument: ``p(x)`` stands for ``p(x')`` and ``p(x_i)``, and not for ``p(w)``."""
    return argument[1].core.rstrip("'")


def _with_more(items: Sequence[Item], pattern: Pattern) -> Found | None:
    """Itself, and a script more: a power, say."""
    return _scripted(items[0], pattern, lambda one, other, _: str(one) == str(other))


def _relative(items: Sequence[Item], pattern: Pattern) -> Found | None:
    """The same letter with other indices in the same places."""
    return _scripted(items[0], pattern, alike)


def _scripted(item: Item, pattern: Pattern, agree: Callable[[Items, Items, bool], bool]) -> Found | None:
    """The same letter with at least the scripts of the pattern, and these as ``agree`` wants them."""
    own = pattern.items[0]
    if len(pattern.items) > 1 or own.core != item.core or own.end == own.core_end:
        return None
    for ours, theirs, below in ((own.sub, item.sub, True), (own.sup, item.sup, False)):
        if ours is not None and (theirs is None or not agree(ours, theirs, below)):
            return None
        if ours is None and theirs is not None and own.core.endswith("'"):
            return None  # MathML joins the prime and the script, and would not if the prime were in a class
    return Found(pattern, 1, item.start, item.end, exact=False)


def _letter(items: Sequence[Item], pattern: Pattern) -> Found | None:
    """The letter alone, of an item with scripts: these are left out."""
    item, first = items[0], pattern.items[0]
    if len(pattern.items) > 1 or str(first) != item.core or item.core.endswith("'"):
        return None
    return Found(pattern, 1, item.start, item.core_end, exact=False)


def alike(one: Items, other: Items, below: bool) -> bool:
    """Whether two scripts are indices of one kind: as many, and after the same relation. A power is no index."""
    counting = COUNTING if below else LETTER
    return (
        all(INDEX.fullmatch(item.core) or item.core in SIGNS for item in (*one.items, *other.items))
        and any(counting.fullmatch(item.core) for item in one.items)
        and _relation(one) == _relation(other)
        and _indices(one) == _indices(other)
    )


def _relation(script: Items) -> str:
    core = script.items[0].core if script.items else ""
    return core if core in RELATIONS else ""


def _indices(script: Items) -> int:
    """Return how many indices stand in a script: ``ij`` and ``i,j`` are two, ``t-1`` and ``2i`` are one."""
    parts: list[list[str]] = [[]]
    for item in script.items:
        parts = [*parts, []] if item.core == "," else [*parts[:-1], [*parts[-1], item.core]]
    return sum(1 if any(core in SIGNS or core.isdigit() for core in part) else len(part) for part in parts)
