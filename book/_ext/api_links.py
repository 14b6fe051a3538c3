"""Links between the chapters and the reference of the package; part of :mod:`api_reference`."""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.writers.html5 import HTML5Translator

from package_map import PACKAGE, defined, imported_by, modules, pages
from words import word

OVERVIEW = "book/appendix/api"
CODE = "Code of this chapter"
FILE = re.compile(r"(book/[\w/]+)\.(?:ipynb|md)")
NAME = re.compile(r"([A-Za-z_][\w.]*)(?:\(\))?")
WITHIN = (nodes.reference, nodes.title, nodes.rubric, addnodes.pending_xref, nodes.target)


class chapter_code(nodes.General, nodes.Element):  # in lower case, as docutils has it
    """What a chapter imports of the package, each thing a link to its entry."""


def reference(target: str, shown: str | None = None) -> addnodes.pending_xref:
    """Return a link to the entry of a module, a function, a class or a member, or of what passes it on."""
    options = {"refdomain": "py", "reftype": "obj", "reftarget": target, "refexplicit": True, "refwarn": True}
    return addnodes.pending_xref("", nodes.literal("", shown or target), **options)


def page_link(env: BuildEnvironment, page: str) -> nodes.Node:
    """Return a link to a page by its title; its name alone in a book that lacks it."""
    if page not in env.found_docs:
        return nodes.literal("", page)
    options = {"refdomain": "std", "reftype": "doc", "reftarget": f"/{page}", "refexplicit": False, "refwarn": True}
    return addnodes.pending_xref("", nodes.inline("", page), refdoc=env.docname, **options)


def link_pages(env: BuildEnvironment, node: nodes.Element) -> None:
    """Make links of the files of chapters that docstrings name."""
    for literal in list(node.findall(nodes.literal)):
        found = FILE.fullmatch(literal.astext())
        if found and not isinstance(literal.parent, WITHIN):
            literal.replace_self(page_link(env, found[1]))


def joined(items: Iterable[nodes.Node], between: str) -> list[nodes.Node]:
    """Return nodes with a text between each two."""
    found: list[nodes.Node] = []
    for item in items:
        found += [nodes.Text(between), item] if found else [item]
    return found


def add_links(app: Sphinx, doctree: nodes.document) -> None:
    """Link the code that a chapter's prose names, and put below the chapter what its cells import."""
    root, page = Path(app.srcdir), app.env.docname
    if OVERVIEW not in app.env.found_docs or page not in pages(root):
        return
    link_names(root, page, doctree)
    used = imported_by(root, pages(root)[page].imports)
    used |= {name: [] for name in sorted(pages(root)[page].shown) if not modules(root)[name].gathered}
    last = next(doctree.findall(nodes.section), None)
    if used and last is not None:
        last += fold(root, used)


def fold(root: Path, used: dict[str, list[str]]) -> chapter_code:
    """Return the list of modules that a chapter uses, each with what it takes from there."""
    rows = nodes.bullet_list()
    for name, taken in used.items():
        public = modules(root)[name].public
        names = [reference(f"{name}.{one}", one) if one in public else nodes.literal("", one) for one in taken]
        line = nodes.paragraph("", "", reference(name), *([nodes.Text(": "), *joined(names, ", ")] if names else []))
        rows += nodes.list_item("", line)
    return chapter_code("", rows)


def link_names(root: Path, page: str, doctree: nodes.document) -> None:
    """Make a link of the first code in each section that names an imported function or class, or a whole module."""
    aliases = {one.alias: defined(root, one.module, one.name) for one in pages(root)[page].imports}
    linked: set[tuple[int, str]] = set()
    for literal in list(doctree.findall(nodes.literal)):
        if in_link(literal):
            continue
        found = NAME.fullmatch(literal.astext())
        target = entry(root, aliases, found[1]) if found else None
        place = (id(section_of(literal)), target or "")
        if target and place not in linked:
            linked.add(place)
            literal.replace_self(reference(target, literal.astext()))


def in_link(node: nodes.Node) -> bool:
    """Return whether a node stands in a link or in a heading."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, WITHIN):
            return True
    return False


def section_of(node: nodes.Node) -> nodes.Node:
    """Return the innermost section that a node stands in."""
    while node.parent is not None and not isinstance(node, nodes.section):
        node = node.parent
    return node


def entry(root: Path, aliases: dict[str, tuple[str, str]], text: str) -> str | None:
    """Return the full name of what a text names, if it is imported and the reference has an entry for it."""
    first, _, rest = text.partition(".")
    if first != PACKAGE and first in aliases:
        text = ".".join(part for part in (*aliases[first], rest) if part)
    return whole_name(root, text)


def whole_name(root: Path, text: str) -> str | None:
    """Return the full name, where it is defined, of a module, a public function or class, or a documented member.

    A constant has no entry of its own: it is described where it is used, and leads to its module.
    """
    if text in modules(root):
        return text
    module, rest = text, ""
    while module and module not in modules(root):
        module, _, last = module.rpartition(".")
        rest = f"{last}.{rest}" if rest else last
    if not module:
        return None
    name, _, member = rest.partition(".")
    where, name = defined(root, module, name)
    known = modules(root)[where]
    if name in known.constants:
        return where
    if name not in known.public or (member and f"{name}.{member}" not in known.members):
        return None
    return ".".join(part for part in (where, name, member) if part)


def resolve_passed_on(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Find what a package only passes on, where a docstring or a signature names it by that package."""
    if node.get("refdomain") != "py":
        return None
    root, target = Path(app.srcdir), node["reftarget"]
    for text in (target, f"{node.get('py:module')}.{target}"):
        whole = whole_name(root, text)
        if whole and whole != text:
            return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "obj", whole, node, content)
    return None


def visit_fold(self: HTML5Translator, node: chapter_code) -> None:
    """Open the fold; its list follows."""
    self.body.append(f'<details class="chapter-code"><summary>{escape(word(CODE))}</summary>\n')


def depart_fold(self: HTML5Translator, node: chapter_code) -> None:
    """Close the fold."""
    self.body.append("</details>\n")


def skip_fold(_self: Any, _node: chapter_code) -> None:
    """Leave the fold out, where there is nothing to unfold."""
    raise nodes.SkipNode
