"""Scripts and styles without what only their authors read: comments, and room that separates no words.

It is made for the house format of the front end: a statement that is no block ends in a semicolon, operators stand
between spaces, and a template holds at most one other. Chapter: ``book/concepts/attention.ipynb``.
"""

import re

QUOTED = r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
TEMPLATE = r"`(?:\\.|\$\{(?:[^`{}]|`[^`]*`|\{[^{}]*\})*\}|[^`\\])*`"
PATTERN = r"(?:(?<=[(\[!])|(?<=[=,:?&|(;{}>] )|(?<=return ))/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+/"
LITERAL = f"(?P<literal>{QUOTED}|{TEMPLATE}|{PATTERN})"
COMMENT = re.compile(rf"{LITERAL}|[ \t]*//[^\n]*|/\*(?:(?!\*/).)*\*/[ \t]?", re.S)
ROOM = re.compile(rf"{LITERAL}|\s+")
WORD = re.compile(r"[\w$]")
STYLE_COMMENT = re.compile(r"/\*(?:(?!\*/).)*\*/", re.S)
STYLE_ROOM = re.compile(rf"(?P<literal>{QUOTED})|\s*([{{}};,])\s*|(:)\s+|(\s)\s*")


def script(code: str) -> str:
    """JavaScript without comments and without room, but between words.

    >>> script('const a = (x) => x; // one\\n\\n  return "a  b // c";\\n')
    'const a=(x)=>x;return"a  b // c";'

    Args:
        code: in the house format.
    """
    return ROOM.sub(_squeezed, COMMENT.sub(lambda found: found["literal"] or "", code))


def _squeezed(found: re.Match[str]) -> str:
    if found["literal"]:
        return found["literal"]
    before, after = found.string[max(0, found.start() - 1) : found.start()], found.string[found.end() : found.end() + 1]
    needed = (WORD.match(before) and WORD.match(after)) or (before == after and before in ("+", "-"))
    return " " if needed else ""


def style(code: str) -> str:
    """CSS without comments and without room, but where it separates.

    >>> style('.a :hover { content: "a  b"; margin: 0 1px; } /* a */')
    '.a :hover{content:"a  b";margin:0 1px;}'

    Args:
        code: a style sheet.
    """
    kept = STYLE_ROOM.sub(lambda m: m["literal"] or m[2] or m[3] or " ", STYLE_COMMENT.sub("", code))
    return kept.strip()
