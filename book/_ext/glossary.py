"""The glossary's page out of its source: ``glossary-terms``, ``glossary-pinyin``, and a box that filters both.

``glossary-terms`` writes real entries of Sphinx's glossary, so that ``{term}`` leads to them from any chapter, by any
of their names in either language, and a name that nobody has explained is a warning. Definitions are ordinary
paragraphs, which a translator gets one by one; what the page adds passes through the catalogue of :mod:`words`.
"""

from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import make_glossary_term
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import clean_astext, make_refnode
from sphinx.writers.html5 import HTML5Translator

from glossary_terms import HAN, Term, by_letter, by_pinyin, load
from words import word

LABEL = "Find a term, in English or Chinese"
COUNT = "{shown} of {all} terms"
UNTAUGHT = "No chapter teaches it yet."
WHERE = "See"
WORDS = (LABEL, COUNT, UNTAUGHT, WHERE)
CHAPTER = "glossary-chapter"  # the type of reference that leads to a section of a chapter
CHINESE, PINYIN = "language-zh-CN", "language-zh-Latn"  # docutils makes the attribute `lang` of such a class

logger = logging.getLogger(__name__)


class glossary_filter(nodes.General, nodes.Element):  # in lower case, as docutils has it
    """The box that shortens the lists of the page; hidden until its script runs."""


class TermsDirective(SphinxDirective):
    """What both directives share: their one argument is the source, beside the page."""

    required_arguments = 1

    def terms(self) -> tuple[Term, ...]:
        """Return the terms of the source; one that cannot be read is an error of the page."""
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        try:
            return load(Path(path))
        except (OSError, ValueError) as error:
            raise self.error(str(error)) from error


class GlossaryTerms(TermsDirective):
    """``glossary-terms``: all terms by their English names, a section for each letter, below the box."""

    def run(self) -> list[nodes.Node]:
        """Return the box and the sections."""
        groups = by_letter(self.terms())
        return [glossary_filter(), *(self.section(letter, group) for letter, group in groups)]

    def section(self, letter: str, group: list[Term]) -> nodes.section:
        """Return the section of one letter."""
        title = nodes.title("", letter, translatable=False)
        listed = nodes.definition_list("", *map(self.item, group), classes=["glossary"])
        return nodes.section("", title, addnodes.glossary("", listed, sorted=False), ids=[f"glossary-{letter.lower()}"])

    def item(self, term: Term) -> nodes.definition_list_item:
        """Return an entry: its names, what it means, and where the book teaches it."""
        source, line = self.get_source_info()
        name = make_glossary_term(
            self.env, [nodes.Text(term.term)], None, source, line, term.anchor, self.state.document
        )
        reading = nodes.inline("", term.pinyin, classes=["glossary-reading", PINYIN])
        chinese = nodes.term("", nodes.Text(term.chinese), nodes.Text(" "), reading, classes=[CHINESE])
        others = [nodes.term("", other, classes=["glossary-also", *language(other)]) for other in term.also]
        for other in (term.chinese, *term.also):
            self.env.get_domain("std").note_object("term", other, term.anchor, location=name)  # type: ignore[attr-defined]
        for each in (name, chinese, *others):
            each["translatable"] = False  # its translation is in the source
        meaning = nodes.definition()
        self.state.nested_parse(StringList([term.definition], source), self.content_offset, meaning)
        meaning += place(term)
        return nodes.definition_list_item("", name, chinese, *others, meaning)


class GlossaryPinyin(TermsDirective):
    """``glossary-pinyin``: all terms by the pinyin of their Chinese names, each with its English one."""

    def run(self) -> list[nodes.Node]:
        """Return a list for each letter."""
        return [self.group(letter, group) for letter, group in by_pinyin(self.terms())]

    def group(self, letter: str, group: list[Term]) -> nodes.container:
        """Return the list of one letter."""
        head = nodes.rubric("", letter, translatable=False)
        return nodes.container("", head, nodes.bullet_list("", *map(entry, group)), classes=["glossary-pinyin"])


def language(name: str) -> list[str]:
    """Return the class of a name's language: none for one that is not Chinese."""
    return [CHINESE] if HAN.search(name) else []


def entry(term: Term) -> nodes.list_item:
    """Return a line of the index by pinyin."""
    chinese = nodes.inline("", term.chinese, classes=[CHINESE])
    link = nodes.reference("", "", chinese, internal=True, refid=term.anchor)
    reading = nodes.inline("", term.pinyin, classes=["glossary-reading", PINYIN])
    return nodes.list_item("", nodes.paragraph("", "", link, nodes.Text(" "), reading, nodes.Text(f" {term.term}")))


def place(term: Term) -> nodes.paragraph:
    """Return the line that leads to the chapter."""
    line = nodes.paragraph("", classes=["glossary-place"])
    if term.chapter is None:
        line += nodes.Text(word(UNTAUGHT))
        return line
    options = {"refdomain": "", "reftype": CHAPTER, "reftarget": term.chapter, "refwarn": True}
    line += [nodes.Text(f"{word(WHERE)} "), addnodes.pending_xref("", nodes.inline(), **options)]
    return line


def resolve_chapter(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element
) -> nodes.reference | None:
    """Return the link to a section of a chapter, which shows the chapter's title; nothing where it is not there."""
    if node.get("reftype") != CHAPTER:
        return None
    name, _, anchor = node["reftarget"].partition("#")
    docname = f"book/{name}"
    if docname not in env.titles or (anchor and anchor not in anchors(env, docname)):
        return None
    content = nodes.inline("", clean_astext(env.titles[docname]))
    return make_refnode(app.builder, node["refdoc"], docname, anchor, content)


def anchors(env: BuildEnvironment, docname: str) -> set[str]:
    """Return the anchors of a page's sections."""
    return {link["anchorname"].lstrip("#") for link in env.tocs[docname].findall(nodes.reference)}


def visit_filter(self: HTML5Translator, _node: glossary_filter) -> None:
    """Write the box."""
    self.body.append(
        f'<div class="glossary-filter" data-count="{escape(word(COUNT))}" hidden>\n'
        f'<label for="glossary-query">{escape(word(LABEL))}</label>\n'
        '<input id="glossary-query" type="search" autocomplete="off" spellcheck="false">\n'
        '<p role="status" aria-live="polite"></p>\n</div>\n'
    )
    raise nodes.SkipNode


def skip_filter(_self: Any, _node: nodes.Node) -> None:
    """Leave out the box, in a format where nothing can be typed."""
    raise nodes.SkipNode


def add_files(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.Node) -> None:
    """Give the script and the style to the page that has the box, and to no other."""
    if doctree is not None and any(doctree.findall(glossary_filter)):
        app.add_js_file("glossary.js", loading_method="defer")
        app.add_css_file("glossary.css")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.setup_extension("words")
    skip = (skip_filter, None)
    app.add_node(glossary_filter, html=(visit_filter, None), latex=skip, text=skip, man=skip, texinfo=skip)
    app.add_directive("glossary-terms", GlossaryTerms)
    app.add_directive("glossary-pinyin", GlossaryPinyin)
    app.connect("missing-reference", resolve_chapter)
    app.connect("html-page-context", add_files)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
