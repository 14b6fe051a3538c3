"""Mathematics set when the book is built: LaTeX becomes MathML, which browsers draw without a script.

A page with a script for it weighs a megabyte more, has four times as many nodes, and moves while it is read. Temml sets
it, which npm brings; a formula that it does not know fails the build.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

SETTER = Path(__file__).with_suffix(".mjs")
INLINE = "math notranslate nohighlight"
# A group around one letter or number is nothing but an element more; around one operator it changes its spaces.
LONE = re.compile(r"<mrow>(<(m[in])(?: [^>]*)?>[^<]*</\2>)</mrow>")

logger = logging.getLogger(__name__)


def node() -> str:
    """The program `node`: the environment's, or the machine's.

    Raises:
        FileNotFoundError: when there is none.
    """
    folders = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    program = shutil.which("node", path=folders)
    if program is None:
        raise FileNotFoundError("there is no program `node`, which sets the mathematics: `make assets` brings one")
    return program


@cache
def setter(_process: int) -> "subprocess.Popen[str]":
    """The program that sets formulas for a process, started once; it ends with that one, when its input does."""
    return subprocess.Popen(
        [node(), str(SETTER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", bufsize=1
    )


@cache
def mathml(source: str, display: bool = False) -> str:
    """Formula in LaTeX as MathML, in a line of text or on lines of its own.

    Raises:
        ValueError: when it cannot be set; the message says where it stops.
    """
    source = source.replace(r"\!\left", r"\left")  # TeX needs less room in front of a bracket, MathML does not
    process = setter(os.getpid())
    assert process.stdin is not None and process.stdout is not None  # both are pipes
    process.stdin.write(json.dumps([source, display]) + "\n")
    answer = json.loads(process.stdout.readline() or '{"error": "the program that sets formulas ended: `make assets`"}')
    if "error" in answer:
        raise ValueError(f"{source!r} cannot be set: {answer['error']}")
    return LONE.sub(r"\1", answer["mathml"])


def in_line(formula: str) -> str:
    """MathML with the classes of a formula in a line of text."""
    tag, rest = formula.split(">", 1)
    with_class = tag.replace('class="', f'class="{INLINE} ', 1) if 'class="' in tag else f'{tag} class="{INLINE}"'
    return f"{with_class}>{rest}"


def inline(source: str) -> str:
    """Formula of a line of text, as HTML."""
    return in_line(mathml(source))


def lines(source: str) -> str:
    r"""LaTeX of a formula as Sphinx has it written: parts between empty lines are aligned, ``\\`` ends a line."""
    parts = [part for part in source.split("\n\n") if part.strip()]
    parts = [rf"\begin{{split}}{part}\end{{split}}" if r"\\" in part else part for part in parts]
    return parts[0] if len(parts) == 1 else r"\begin{aligned}" + r"\\".join(parts) + r"\end{aligned}"


def checked(self: HTML5Translator, node: nodes.Node, source: str, display: bool) -> str:
    """Formula as MathML; where it cannot be set, its source, and a warning."""
    try:
        return mathml(source, display)
    except ValueError as error:
        logger.warning("%s", error, location=node)
        return str(self.encode(source))


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula of a line of text."""
    formula = checked(self, node, node.astext(), False)
    self.body.append(in_line(formula) if formula.startswith("<math") else formula)
    raise nodes.SkipNode


def visit_display(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, with its number where it has one, in a box that scrolls by keyboard too."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({escape(str(number))})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    source = node.astext() if node["nowrap"] else lines(node.astext())
    self.body.append(checked(self, node, source, True) + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension: Sphinx takes what sets mathematics and is not its own."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    app.add_css_file("mathematics.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
