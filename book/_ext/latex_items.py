"""LaTeX mathematics cut into items with places: a letter, a command with its arguments, a group, each with its scripts.

It reads what equations are written in, and no macros: :mod:`symbol_hover` wraps items, and needs to know where each
begins and ends, what is an argument, and what must be left alone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

MATHEMATICS = {"\\frac": 2, "\\dfrac": 2, "\\tfrac": 2, "\\sqrt": 1, "\\underbrace": 1, "\\substack": 1}
ACCENTS = {"\\hat", "\\tilde", "\\bar"}
WORDS = {"\\mathrm", "\\text", "\\operatorname", "\\mathcal", "\\mathbb", "\\begin", "\\end"}
SIZES = {f"\\{size}{side}" for size in ("big", "Big", "bigg", "Bigg") for side in ("l", "r", "m", "")}
SIZES |= {"\\left", "\\right", "\\middle"}
SPACES = {"\\,", "\\;", "\\:", "\\!", "\\ ", "~", "\\quad", "\\qquad"}
SAME = {"\\lvert": "|", "\\rvert": "|", "\\vert": "|", "\\lVert": "\\|", "\\rVert": "\\|", "\\leq": "\\le"}
NO_ITEM = {"_", "^", "'", "}", "%", "#", "$"}
BARRIERS = {"&", "\\\\", "\\begin", "\\end"}

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\S", re.DOTALL)
ARGUMENT = re.compile(r"\\[A-Za-z]+|\\.|\S", re.DOTALL)
SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Items:
    """A list of items: a whole equation, a group, an argument or a script; ``braced`` if it stands in braces."""

    items: tuple["Item", ...]
    braced: bool = True

    def __str__(self) -> str:
        """Return how it would be written without spaces, sizes of brackets and braces that nobody needs."""
        return " ".join(map(str, self.items))


@dataclass(frozen=True)
class Item:
    """One thing on the line: ``source[start:end]`` with its scripts, ``source[start:core_end]`` without.

    Attributes:
        core: its name, in one spelling: ``x``, ``x'``, ``\\hat{g}``, ``\\mathrm{KL}``, ``(`` for every size of it.
        sub, sup: its scripts.
        inside: the arguments that hold mathematics of their own, and the content of a group.
    """

    start: int
    core_end: int
    end: int
    core: str
    sub: Items | None = None
    sup: Items | None = None
    inside: tuple[Items, ...] = ()

    def __str__(self) -> str:
        """Return how it would be written, as :class:`Items` does."""
        scripts = (f"{mark}{{{script}}}" for mark, script in (("_", self.sub), ("^", self.sup)) if script is not None)
        return self.core + "".join(scripts)

    @property
    def parts(self) -> Iterator[Items]:
        """Everything in it that holds items of its own."""
        yield from self.inside
        yield from (script for script in (self.sub, self.sup) if script is not None)


def parse(source: str) -> Items:
    """Return the items of a source.

    Raises:
        ValueError: when its braces do not match, an argument is missing, or an item has two scripts of a kind.
    """
    return Items(_Reader(source).items())


class _Reader:
    """Reads a source from left to right."""

    def __init__(self, source: str) -> None:
        self.source, self.place = source, 0

    def peek(self, pattern: re.Pattern[str] = TOKEN) -> str:
        """Return the token that comes next, after spaces, or nothing at the end."""
        blank = SPACE.match(self.source, self.place)
        found = pattern.match(self.source, blank.end() if blank else self.place)
        return found[0] if found else ""

    def take(self, pattern: re.Pattern[str] = TOKEN) -> str:
        """Return that token and step behind it."""
        token = self.peek(pattern)
        if not token:
            raise ValueError(f"something is missing at the end of {self.source!r}")
        self.place = self.source.index(token, self.place) + len(token)
        return token

    def single(self, pattern: re.Pattern[str]) -> str:
        """Return the next token, which a command takes and which may not be a brace or a mark."""
        token = self.take(pattern)
        if token in NO_ITEM | {"{"}:
            raise ValueError(f"{token!r} is not read where it stands in {self.source!r}")
        return token

    def items(self, closing: str = "") -> tuple[Item, ...]:
        """Return the items up to the closing token, which is taken, or up to the end."""
        found: list[Item] = []
        while (token := self.peek()) != closing:
            if token in ("}", ""):
                raise ValueError(f"the braces of {self.source!r} do not match")
            if token in SPACES:
                self.take()
                continue
            found.append(self.item())
        if closing:
            self.take()
        return tuple(found)

    def item(self) -> Item:
        """Return the next item with the primes and scripts that follow it."""
        item = self.core(TOKEN)
        while item.core not in BARRIERS and (mark := self.peek()) in ("_", "^", "'"):
            self.take()
            if mark == "'":
                if item.sub or item.sup:
                    raise ValueError(f"a prime after a script is not read: {self.source!r}")
                item = replace(item, core=item.core + "'", core_end=self.place, end=self.place)
                continue
            if (item.sub if mark == "_" else item.sup) is not None:
                raise ValueError(f"two scripts of a kind in {self.source!r}")
            script = self.argument()
            item = replace(item, sub=script) if mark == "_" else replace(item, sup=script)
            item = replace(item, end=self.place)
        return item

    def argument(self) -> Items:
        """Return an argument: what stands in braces, or one token with what it takes itself."""
        if self.peek() == "{":
            self.take()
            return Items(self.items("}"))
        return Items((self.core(ARGUMENT),), braced=False)

    def core(self, pattern: re.Pattern[str]) -> Item:
        """Return the next item without its scripts."""
        token = self.take(pattern) if self.peek() == "{" else self.single(pattern)
        start, inside = self.place - len(token), []
        name = SAME.get(token, token)
        if token == "{":
            inside.append(Items(self.items("}")))
        elif token in SIZES:
            delimiter = self.single(TOKEN)
            name = SAME.get(delimiter, delimiter)
        elif token in ACCENTS:
            name = f"{token}{{{self.argument()}}}"
        elif token in MATHEMATICS:
            self.option("\\sqrt", token)
            inside += [self.argument() for _ in range(MATHEMATICS[token])]
        elif token.startswith("\\") and token not in BARRIERS | SPACES:
            name += self.words(token)
        elif token in BARRIERS:
            if token in WORDS:
                self.words(token)
            self.option("\\\\", token)
        if inside:
            name = token.strip("{") + "".join(f"{{{part}}}" for part in inside)
        return Item(start, self.place, self.place, name, inside=tuple(inside))

    def option(self, of: str, token: str) -> None:
        """Step over an option in square brackets, where a command takes one."""
        if token == of and (found := re.compile(r"\s*\[[^\][{}\\]*\]").match(self.source, self.place)):
            self.place = found.end()

    def words(self, token: str) -> str:
        """Step over arguments that hold words, or what is not known, and return them as they are written."""
        start = self.place
        if token == "\\operatorname" and self.peek() == "*":
            self.take()
        if token == "\\not" or (token in WORDS and self.peek() != "{"):
            self.single(ARGUMENT)
        while self.peek() == "{":
            self.take()
            self.skip()
        return self.source[start : self.place].replace(" ", "")

    def skip(self) -> None:
        """Step behind the brace that closes what was opened."""
        depth = 1
        while depth:
            depth += {"{": 1, "}": -1}.get(self.take(), 0)
