"""Regular expressions as automata: what may still follow a text, by derivatives.

The state of the automaton after a text is an expression itself: of what may follow. Chapter:
``book/algorithms/inference.ipynb``. Source: Brzozowski 1964, "Derivatives of Regular Expressions".
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce


class Expression(ABC):
    """Set of texts; the subclasses are the ways to make one."""

    @property
    @abstractmethod
    def accepts_end(self) -> bool:
        """Whether the empty text is in the set: a text may end here."""

    @abstractmethod
    def after(self, character: str) -> "Expression":
        """Set of what may follow this character at the beginning of a text of the set; ``NOTHING`` if it cannot."""

    def accepts(self, text: str) -> bool:
        """Whether a text is in the set.

        >>> many("01").accepts("0110"), many("01").accepts("012")
        (True, False)
        """
        return reduce(lambda state, character: state.after(character), text, self).accepts_end


@dataclass(frozen=True)
class _Nothing(Expression):
    """No text at all."""

    accepts_end = False

    def after(self, character: str) -> Expression:
        return self


@dataclass(frozen=True)
class _End(Expression):
    """The empty text alone."""

    accepts_end = True

    def after(self, character: str) -> Expression:
        return NOTHING


NOTHING, END = _Nothing(), _End()


@dataclass(frozen=True)
class _OneOf(Expression):
    characters: frozenset[str]
    accepts_end = False

    def after(self, character: str) -> Expression:
        return END if character in self.characters else NOTHING


@dataclass(frozen=True)
class _Sequence(Expression):
    first: Expression
    second: Expression

    @property
    def accepts_end(self) -> bool:
        return self.first.accepts_end and self.second.accepts_end

    def after(self, character: str) -> Expression:
        going_on = sequence(self.first.after(character), self.second)
        return choice(going_on, self.second.after(character)) if self.first.accepts_end else going_on


@dataclass(frozen=True)
class _Choice(Expression):
    options: frozenset[Expression]

    @property
    def accepts_end(self) -> bool:
        return any(option.accepts_end for option in self.options)

    def after(self, character: str) -> Expression:
        return choice(*(option.after(character) for option in self.options))


@dataclass(frozen=True)
class _Many(Expression):
    part: Expression
    accepts_end = True

    def after(self, character: str) -> Expression:
        return sequence(self.part.after(character), self)


def one_of(characters: Iterable[str]) -> Expression:
    """One character of these.

    >>> one_of("ab").accepts("b")
    True
    """
    return _OneOf(frozenset(characters))


def words(*texts: str) -> Expression:
    """One of these texts.

    >>> words("yes", "no").accepts("no")
    True
    """
    return choice(*(sequence(*(one_of(character) for character in text)) for text in texts))


def sequence(*parts: Expression) -> Expression:
    """One text of each part, one after the other.

    >>> sequence(words("a"), words("b", "c")).accepts("ac")
    True
    """

    def joined(first: Expression, second: Expression) -> Expression:
        if NOTHING in (first, second):
            return NOTHING
        if END in (first, second):
            return second if first == END else first
        return _Sequence(first, second)

    end: Expression = END
    return reduce(lambda so_far, part: joined(part, so_far), reversed(parts), end)


def choice(*options: Expression) -> Expression:
    """A text of one of the options.

    >>> choice(words("a"), many("b")).accepts("bb")
    True
    """
    flat = frozenset(
        inner
        for option in options
        for inner in (option.options if isinstance(option, _Choice) else (option,))
        if inner != NOTHING
    )
    return _Choice(flat) if len(flat) > 1 else next(iter(flat), NOTHING)


def many(characters: Iterable[str], least: int = 0) -> Expression:
    """Any number of these characters, at least ``least``.

    >>> many("0123456789", least=1).accepts("")
    False
    """
    part = one_of(characters)
    return sequence(*[part] * least, _Many(part))


def up_to(most: int, characters: Iterable[str], least: int = 1) -> Expression:
    """From ``least`` to ``most`` of these characters.

    >>> up_to(2, "0123456789").accepts("123")
    False
    """
    part = one_of(characters)
    optional: Expression = END
    for _ in range(most - least):
        optional = choice(END, sequence(part, optional))
    return sequence(*[part] * least, optional)


def json_object(fields: Mapping[str, Expression]) -> Expression:
    """A JSON object with exactly these fields, in this order, one space after each colon and comma.

    >>> json_object({"age": many("0123456789", least=1)}).accepts('{"age": 41}')
    True
    """
    members = [sequence(words(f'"{name}": '), value) for name, value in fields.items()]
    inner = [part for member in members for part in (words(", "), member)][1:]
    return sequence(words("{"), *inner, words("}"))
