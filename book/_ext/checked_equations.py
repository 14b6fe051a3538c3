"""Sphinx extension: a fold below each numbered equation that says which computations of it agree, and shows them.

Every labelled equation of the book must have an entry in ``companion.lessons``, and its forms must agree; every entry
must have its equation. What is missing or disagrees is a warning, and so fails the build. The directive
``symbol-index`` lists the symbols of all equations. Words that are added to the pages pass through the message
catalogue of :mod:`words`; :func:`messages` lists them for translators. On pages in HTML the symbols of an equation can
be pointed at (:mod:`symbol_hover`): the source is changed when it is written, and stays as it is everywhere else.
"""

import inspect
import math
import re
from collections.abc import Callable
from functools import cache
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

import mathematics
from companion.lessons import Checked, Equation, equation, labels
from companion.lessons.equation_check import BY_HAND, COMPANION
from symbol_hover import hoverable
from symbol_index import SymbolIndex, parts, shape
from words import word

KEYS = "Equation; the arrow keys lead through its symbols"
THREE = "Checked: by hand, {companion} and {library} agree to {size} on {inputs} random inputs"
TWO = "Checked: by hand and {library} agree to {size} on {inputs} random inputs"
WORDS = (THREE, TWO, "Symbol", "Meaning", "Shape", "Equations", "By hand", "In a notebook:", KEYS)
KIND = "checked_equations"  # of its warnings


logger = logging.getLogger(__name__)


class checked_equation(nodes.General, nodes.Element):
    """Fold below an equation that was checked. Pages in HTML show it, others leave it out."""


@cache
def results() -> dict[str, Checked | str]:
    """Result of the check of each equation, or the message of what went wrong, by label; computed once."""
    found: dict[str, Checked | str] = {}
    for label in labels():
        try:
            found[label] = equation(label).check()
        except Exception as error:  # whatever a form raises, the page is to blame, not the build
            found[label] = f"{type(error).__name__}: {error}"
    return found


def check_first(_app: Sphinx, _env: BuildEnvironment, docnames: list[str]) -> None:
    """Check all equations before the reading of pages is divided among processes, which then know the results."""
    if docnames:
        results()


def add_folds(app: Sphinx, doctree: nodes.document) -> None:
    """Put a fold below each labelled equation of a page; warn where there is no check, or its forms disagree."""
    for block in list(doctree.findall(nodes.math_block)):
        label = block.get("label")
        if not label:
            continue
        found = results().get(label)
        if isinstance(found, Checked) and found.agrees:
            fold = checked_equation(label=label, difference=found.difference, inputs=found.inputs)
            block.parent.insert(block.parent.index(block) + 1, fold)
            continue
        what = "has no check in companion.lessons" if found is None else f"is not as its check computes it: {found}"
        logger.warning("the equation %s %s", label, what, location=block, type=KIND)


def check_completeness(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of checks whose equation is not in the book."""
    if app.config.checked_equations_complete:
        for label in sorted(set(labels()) - set(env.get_domain("math").equations)):  # type: ignore[attr-defined]
            logger.warning("companion.lessons checks %s, and no page has that equation", label, type=KIND)


def visit_equation(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation, and if it has a fold, with its symbols in classes, so that they can be pointed at."""
    fold = node.next_node(checked_equation, descend=False, siblings=True)
    if fold and fold["label"] == node.get("label") and self.builder.math_renderer_name == "mathml":
        source, node = node.astext(), node.copy()
        node += nodes.Text(hoverable(source, equation(fold["label"]).symbols))
    HTML5Translator.visit_math_block(self, node)


def visit_fold(self: HTML5Translator, node: checked_equation) -> None:
    """Write the fold: its line, the table of symbols, and the code of each form."""
    one = equation(node["label"])
    titles = {BY_HAND: escape(word("By hand")), COMPANION: "<code>companion</code>"}
    self.body.append(f'<details class="checked-equation" data-keys="{escape(word(KEYS))}">')
    self.body.append(f"<summary>{summary(node, one)}</summary>\n{table(one)}")
    for name, form in one.forms.items():
        title = titles.get(name) or escape(word(name))
        self.body.append(f'<p class="checked-form">{title}</p>\n')
        self.body.append(self.highlighter.highlight_block(source(form), "python", location=node))
    call = f'from companion.lessons import equation\n\nequation("{one.label}").check()'
    self.body.append(f'<p class="checked-form">{escape(word("In a notebook:"))}</p>\n')
    self.body.append(self.highlighter.highlight_block(call, "python", location=node) + "</details>\n")
    raise nodes.SkipNode


def skip_fold(_self: Any, _node: checked_equation) -> None:
    """Leave the fold out, where there is nothing to unfold."""
    raise nodes.SkipNode


def summary(node: checked_equation, one: Equation) -> str:
    """Line that is seen before the fold is opened, as HTML: which forms agree, how closely, on how many inputs."""
    values = {"library": escape(word(one.library_name)), "companion": "<code>companion</code>"}
    values |= {"size": power(node["difference"]), "inputs": str(node["inputs"])}
    return escape(word(THREE if one.companion else TWO), quote=False).format(**values)


def power(difference: float) -> str:
    """Difference rounded up to a power of ten, 10⁻¹⁵ at least, so that it is the same on every machine."""
    exponent = max(-15, math.ceil(math.log10(difference))) if difference else -15
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def table(one: Equation) -> str:
    """Table of an equation's symbols, as HTML that scrolls inside itself."""
    head = "".join(f"<th>{escape(word(title))}</th>" for title in ("Symbol", "Meaning", "Shape"))
    rows = "".join(
        f"<tr><td>{inline(f'${s.tex}$')}</td><td>{inline(word(s.meaning))}</td><td>{inline(shape(s))}</td></tr>\n"
        for s in one.symbols
    )
    return (
        '<div class="checked-symbols" tabindex="0">'
        f'<table class="table"><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n'
    )


def inline(text: str) -> str:
    """Text with ``$mathematics$`` and `` `code` `` as HTML."""
    written: dict[str, Callable[[str], str]] = {
        "math": mathematics.inline,
        "code": lambda code: f"<code>{escape(code)}</code>",
    }
    return "".join(written.get(kind, escape)(part) for kind, part in parts(text))


def source(form: Any) -> str:
    """Code of a form, and before it that of the functions of its module that it calls."""
    names, codes = dict[str, None](), [form.__code__]
    while codes:  # those of a comprehension are in a code of its own
        code = codes.pop(0)
        names |= dict.fromkeys(code.co_names)
        codes += [constant for constant in code.co_consts if inspect.iscode(constant)]
    called = (form.__globals__.get(name) for name in names)
    helpers = [f for f in called if inspect.isfunction(f) and f.__module__ == form.__module__]
    return "\n\n".join(re.sub(r"\b_(?=[a-z])", "", inspect.getsource(f).rstrip()) for f in [*helpers, form])


def messages() -> list[str]:
    """Everything that a translator of the book finds in the catalogue of this extension."""
    equations = [equation(label) for label in labels()]
    meanings = (symbol.meaning for one in equations for symbol in one.symbols)
    return list(dict.fromkeys((*WORDS, *(one.library_name for one in equations), *meanings)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension; a book that is not whole sets ``checked_equations_complete`` to false."""
    app.setup_extension("words")
    app.setup_extension("mathematics")
    app.add_config_value("checked_equations_complete", True, "env", [bool])
    skip = (skip_fold, None)
    app.add_node(checked_equation, html=(visit_fold, None), latex=skip, text=skip, man=skip, texinfo=skip)
    app.add_node(nodes.math_block, override=True, html=(visit_equation, None))
    app.add_directive("symbol-index", SymbolIndex)
    app.add_css_file("checked_equations.css")
    app.add_js_file("symbol_hover.js", loading_method="defer")
    app.connect("env-before-read-docs", check_first)
    app.connect("doctree-read", add_folds)
    app.connect("env-check-consistency", check_completeness)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
