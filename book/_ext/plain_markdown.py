"""A page in the Markdown that every notebook front end reads: GitHub's, with ``$mathematics$`` and ``<details>``.

The nodes are those of a page that is about to be written: its links and numbers are known. What JupyterLab, the
classic notebook, Colab and VS Code read in different ways is not used: a paragraph is one line, an equation inside a
list or a quote is one line, no line of an equation begins as a list does, a ``<`` that could open a tag is ``\\lt``, and
what one clicks to unfold more holds no mathematics. A kind of node that has no form here is an error, so that nothing
is lost in silence.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape

from docutils import nodes

from api_links import CODE
from self_check import ANSWER, RIGHT, WRONG, check_answer
from words import word

TEXT, TABLE, HTML = "text", "table", "html"  # where a run of text stands
MARKS = {"emphasis": ("*", "em"), "strong": ("**", "strong")}
MARKUP = re.compile(r"[\\`*~$]|(?<![^\W_])_|_(?![^\W_])|\](?=\()")
START = re.compile(r"^(?:#|[-+](?=[\s-]|$)|>|\d+(?=[.)](?:\s|$)))")
ENTITY = re.compile(r"&(?=#?\w+;)")
TAG = re.compile(r"<(?=[A-Za-z/!?])")
LISTED = re.compile(r"\n\s*(?=[-+*]\s|[#>]|=+\s*$)", re.MULTILINE)  # before what begins a list or marks a heading
LEFT_OUT = {"target", "comment", "checked_equation"}
ALIGNED = {"text-left": ":--", "text-center": ":-:", "text-right": "--:"}


class Unwritable(Exception):
    """A page holds something that has no form in plain Markdown."""


class Writer:
    """Writes nodes as Markdown, with the number of each heading, equation and figure by its anchor.

    ``link`` returns the address that a reference leads to, ``image`` the one of a picture.
    """

    def __init__(
        self,
        numbers: Mapping[str, str],
        link: Callable[[nodes.Element], str],
        image: Callable[[nodes.Element], str],
    ) -> None:
        """Keep what nodes do not know by themselves."""
        self.numbers, self.link, self.image = numbers, link, image

    def blocks(self, found: Sequence[nodes.Node]) -> str:
        """Write blocks, a blank line between any two; raise Unwritable for one that has no form."""
        return "\n\n".join(text for text in map(self.block, found) if text)

    def block(self, node: nodes.Node) -> str:
        """Write a block; raise Unwritable for one that has no form."""
        name = type(node).__name__
        if name in LEFT_OUT:
            return ""
        write = getattr(self, f"write_{name}", None)
        if write is None:
            raise Unwritable(f"a notebook has no form for {name}: {node.astext()[:60]!r}")
        return str(write(node))

    def write_title(self, node: nodes.title) -> str:
        """Write a heading behind its number, one level for each section around it."""
        return f"{'#' * depth(node)} {self.numbers.get(node.parent['ids'][0], '')}{self.inline(node)}"

    def write_paragraph(self, node: nodes.Element) -> str:
        """Write a paragraph on one line, which nothing can take for a list or a heading."""
        return START.sub(lambda start: escaped_start(start[0]), self.inline(node).strip())

    def write_math_block(self, node: nodes.math_block) -> str:
        """Write an equation with its number."""
        source = tag_free("\n".join(line for line in node.astext().splitlines() if line.strip()))
        source = LISTED.sub(" ", source)
        if r"\\" in source and r"\begin{" not in source:
            source = f"\\begin{{split}}\n{source}\n\\end{{split}}"
        number = self.numbers.get(node["ids"][0]) if node["ids"] else None
        lines = ["$$", source, *([f"\\tag{{{number}}}"] if number else []), "$$"]
        return "\n".join(lines) if isinstance(node.parent, nodes.section) else " ".join("\n".join(lines).split())

    def write_literal_block(self, node: nodes.literal_block) -> str:
        """Write code that is only shown."""
        fence = "`" * max(3, longest_run(node.astext()) + 1)
        language = node.get("language", "")
        return f"{fence}{'' if language in ('default', 'none') else language}\n{node.astext().rstrip()}\n{fence}"

    def write_block_quote(self, node: nodes.Element) -> str:
        """Write a quotation."""
        return quoted(self.blocks(node.children))

    def write_admonition(self, node: nodes.Element) -> str:
        """Write a box as a quotation below its title, or as a fold where the page folds it."""
        title, *rest = node.children
        if "dropdown" in node["classes"]:
            return fold(self.inline(title, HTML), self.blocks(rest))
        return quoted(f"**{self.inline(title)}**\n\n{self.blocks(rest)}")

    def write_sidebar(self, node: nodes.Element) -> str:
        """Write a note of the margin as a quotation that begins with its title."""
        title, first, *rest = node.children
        return quoted(f"**{self.inline(title)}.** {self.blocks([first, *rest])}")

    def write_bullet_list(self, node: nodes.Element) -> str:
        """Write a list."""
        return self.items(node, ["- "] * len(node))

    def write_enumerated_list(self, node: nodes.Element) -> str:
        """Write a list with numbers."""
        first = node.get("start", 1)
        return self.items(node, [f"{first + place}. " for place in range(len(node))])

    def items(self, node: nodes.Element, marks: Sequence[str]) -> str:
        """Write the items of a list behind their marks; one that is not a single line sets all apart."""
        texts = [self.blocks(item.children) for item in node]
        lines = [mark + indented(text, len(mark)) for mark, text in zip(marks, texts, strict=True)]
        return ("\n\n" if any("\n\n" in text for text in texts) else "\n").join(lines)

    def write_table(self, node: nodes.Element) -> str:
        """Write a table; raise Unwritable for cells that span others."""
        if any("morecols" in entry or "morerows" in entry for entry in node.findall(nodes.entry)):
            raise Unwritable(f"a notebook has no form for a table with joined cells: {node.astext()[:60]!r}")
        rows = [[self.entry(entry) for entry in row] for row in node.findall(nodes.row)]
        aligned = next(node.findall(nodes.row))
        rule = [next((ALIGNED[name] for name in entry["classes"] if name in ALIGNED), "---") for entry in aligned]
        rows.insert(1 if any(node.findall(nodes.thead)) else 0, rule)
        if rows[0] is rule:
            rows.insert(0, [""] * len(rule))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def entry(self, node: nodes.Element) -> str:
        """Write a cell of a table, which has one line."""
        return "<br>".join(self.inline(paragraph, TABLE).strip() for paragraph in node)

    def write_figure(self, node: nodes.Element) -> str:
        """Write a picture above its caption."""
        (picture,) = node.findall(nodes.image)
        alt = escape(picture.get("alt", ""), quote=False).replace("[", "(").replace("]", ")")
        return f"![{alt}]({self.image(picture)})\n\n{self.blocks(list(node.findall(nodes.caption)))}"

    def write_caption(self, node: nodes.Element) -> str:
        """Write the caption of a figure behind its number."""
        number = next((f"**{self.numbers[name]}** " for name in node.parent["ids"] if name in self.numbers), "")
        return number + self.inline(node).strip()

    def write_self_check(self, node: nodes.Element) -> str:
        """Write a question, boldly, and its answers, each of which unfolds what is said of it.

        Answers with mathematics are numbered in a list, and their numbers are what unfolds.
        """
        first, *more = [part for part in node if not isinstance(part, check_answer)]
        choices, folds = [], []
        numbered = any(choice.next_node(nodes.math) for choice, *_ in node.findall(check_answer))
        for number, answer in enumerate(node.findall(check_answer), 1):
            choice, *why = answer.children
            choices.append(self.inline(choice, TEXT if numbered else HTML).strip())
            verdict = word(RIGHT if answer["right"] else WRONG)
            summary = f"{escape(word(ANSWER), quote=False)} {number}" if numbered else choices[-1]
            folds.append(fold(summary, f"**{verdict}** {self.blocks(why)}"))
        listed = ["\n".join(f"{number}. {choice}" for number, choice in enumerate(choices, 1))] if numbered else []
        return "\n\n".join([f"**{self.inline(first).strip()}**", *map(self.block, more), *listed, *folds])

    def write_chapter_code(self, node: nodes.Element) -> str:
        """Write what a chapter imports as a fold."""
        return fold(escape(word(CODE), quote=False), self.blocks(node.children))

    def inline(self, node: nodes.Node, place: str = TEXT) -> str:
        """Write what stands in a line."""
        return "".join(self.run(child, place) for child in node.children)

    def run(self, node: nodes.Node, place: str) -> str:
        """Write one piece of a line; raise Unwritable for one that has no form."""
        name = type(node).__name__
        match name:
            case "Text":
                return plain(node.astext(), place)
            case "math" if place != HTML:
                return mathematics(node.astext(), place)
            case "literal":
                return code(node.astext(), place)
            case "inline":
                return self.inline(node, place)
            case "reference" | "number_reference":
                return linked(self.inline(node, place), self.link(node), place)
            case "target":
                return ""
            case _ if name in MARKS:
                mark, tag = MARKS[name]
                text = self.inline(node, place)
                return f"<{tag}>{text}</{tag}>" if place == HTML else f"{mark}{text}{mark}"
        raise Unwritable(f"a notebook has no form for {name} in a line: {node.astext()[:60]!r}")


def depth(node: nodes.Node) -> int:
    """Return how many sections stand around a node."""
    return 0 if node is None else isinstance(node, nodes.section) + depth(node.parent)


def plain(text: str, place: str) -> str:
    """Return text that means nothing but itself."""
    text = re.sub(r"[ \t\r\n]+", " ", text)
    if place == HTML:
        return escape(text, quote=False)
    text = MARKUP.sub(r"\\\g<0>", text)
    text = ENTITY.sub("&amp;", text).replace("<", "&lt;")
    return text.replace("|", "\\|") if place == TABLE else text


def escaped_start(start: str) -> str:
    """Return the first characters of a line so that they begin no list, heading or quotation."""
    return f"{start}\\" if start.isdigit() else f"\\{start}"


def tag_free(source: str) -> str:
    """Return mathematics in which no ``<`` begins a tag where a front end reads it as HTML."""
    return TAG.sub(r"\\lt ", source)


def mathematics(source: str, place: str) -> str:
    """Return mathematics that stands in a line."""
    source = tag_free(" ".join(source.split()))
    if place == TABLE:
        source = source.replace("\\|", "\\Vert ").replace("|", "\\vert ")
    return f"${source}$"


def code(text: str, place: str) -> str:
    """Return code that stands in a line."""
    if place == HTML:
        return f"<code>{escape(text, quote=False)}</code>"
    text = " ".join(text.split("\n"))
    fence = "`" * (longest_run(text) + 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text.replace('|', chr(92) + '|') if place == TABLE else text}{room}{fence}"


def linked(text: str, address: str, place: str) -> str:
    """Return a link."""
    if place == HTML:
        return f'<a href="{escape(address)}">{text}</a>'
    return f"[{text}]({address.replace('(', '%28').replace(')', '%29').replace(' ', '%20')})"


def longest_run(text: str) -> int:
    """Return the length of the longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)


def indented(text: str, width: int) -> str:
    """Return lines of which all but the first and the empty ones begin further right."""
    return re.sub(r"\n(?!\n)", f"\n{' ' * width}", text)


def quoted(text: str) -> str:
    """Return lines as a quotation."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def fold(summary: str, body: str) -> str:
    """Return a part that unfolds; its line is HTML, and blank lines make Markdown of its body."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"
