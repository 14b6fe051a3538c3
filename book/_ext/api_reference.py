"""The reference of the package, made from its docstrings, and the links between it and the chapters.

The directive ``api-modules`` shows modules in full: what each is for, the chapters that show it, its source, its tests,
its functions and classes; ``api-index`` lists all modules by name. Both stand in an ``eval-rst`` block, because
docstrings are written so. What stands where is read from the sources by :mod:`package_map`. A module that no page has
is a warning, and so fails the build.

At the end of each chapter a fold names what its cells import, and code in its prose that is the name of an imported
function or class leads to it (:mod:`api_links`). A book without the page ``book/appendix/api`` has none of this.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from api_changes import changed_elsewhere, note_elsewhere
from api_links import (
    CODE,
    OVERVIEW,
    add_links,
    chapter_code,
    depart_fold,
    joined,
    link_pages,
    page_link,
    reference,
    resolve_passed_on,
    skip_fold,
    visit_fold,
)
from closure import closure_of, forget
from package_map import Module, defined, modules, tests_of, users
from words import word

CHAPTERS, SOURCE, TESTS, PASSED_ON, MORE = "Chapters", "Source", "Tests", "Passes on", "and {number} more"
WORDS = (CODE, CHAPTERS, SOURCE, TESTS, PASSED_ON, MORE)
TESTS_SHOWN = 4
KIND = "api_reference"  # of its warnings
SETTINGS = {
    "autodoc_member_order": "bysource",
    "autodoc_preserve_defaults": True,
    "autodoc_typehints_format": "short",
    "autodoc_inherit_docstrings": False,
    "napoleon_numpy_docstring": False,
    "napoleon_use_ivar": True,
    "napoleon_attr_annotations": False,  # the signature has them
    "napoleon_use_rtype": False,
    "add_module_names": False,
    "python_maximum_signature_line_length": 60,
    "python_display_short_literal_types": True,
    "html_domain_indices": False,  # the overview is the index of modules
}
FOREIGN = "argparse|onnx|torch|numpy|np|nn|collections|pathlib|matplotlib|tokenizers|ipywidgets|anywidget|traitlets|typing|random|abc|urllib|t"
HOME = r"(?:Chapters?|First page):(?:\s+``book/[\w/]+\.\w+``[,;]?)+(?<![,;])\."

logger = logging.getLogger(__name__)


class ApiModules(SphinxDirective):
    """``api-modules``: the modules that its lines name; a line may be a pattern, such as ``companion.data.*``."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return a section for each module."""
        root = Path(self.env.srcdir)
        found = chosen(self.content, modules(root))
        for path in closure_of(root, [module.name for module in found]):
            self.env.note_dependency(str(path))
        note_elsewhere(self.env, list(self.content))
        return [self.section(root, module) for module in found]

    def section(self, root: Path, module: Module) -> nodes.section:
        """Return what the page says of a module."""
        section = nodes.section(ids=[nodes.make_id(module.name)], names=[module.name], classes=["api-module"])
        section += nodes.title("", "", nodes.literal("", module.name))
        section += self.parse_text_to_nodes(f".. automodule:: {module.name}\n")
        section += facts(self.env, root, module)
        section += self.parse_text_to_nodes("\n".join(entries(root, module)))
        link_pages(self.env, section)
        return section


class ApiIndex(SphinxDirective):
    """``api-index``: every module and what it is for."""

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        found = modules(Path(self.env.srcdir))
        for module in found.values():
            self.env.note_dependency(str(Path(self.env.srcdir) / module.path))
        note_elsewhere(self.env, ["*"])
        text = "\n".join(f"* :py:mod:`{module.name}`: {purpose(module)}" for module in found.values())
        index = nodes.container("", *self.parse_text_to_nodes(text), classes=["api-module"])
        link_pages(self.env, index)
        return [index]


def chosen(lines: Iterable[str], known: dict[str, Module]) -> list[Module]:
    """Return the modules that lines name, each once; a pattern leaves out those that another line names."""
    written = [line.strip() for line in lines if line.strip()]
    found: dict[str, Module] = {}
    for line in written:
        names = [name for name in known if fnmatchcase(name, line) and (name == line or name not in written)]
        if not names:
            raise ValueError(f"api-modules: there is no module {line!r} in the package")
        found |= {name: known[name] for name in names}
    return list(found.values())


def purpose(module: Module) -> str:
    """Return what a module is for: the first paragraph of its docstring."""
    return " ".join(without_home(module.doc).split("\n\n")[0].split())


def without_home(doc: str) -> str:
    """Return a docstring without the sentence that names only its chapters, which stand below it as links."""
    return re.sub(rf"\s{HOME}", "", re.sub(rf"(?<![^\n]){HOME}[ \n]?", "", doc))


def entries(root: Path, module: Module) -> list[str]:
    """Return the directives of autodoc for a module's functions and classes, in the order of the source."""
    lines = [""]
    for name, kind in module.public.items():
        lines += [f".. auto{kind}:: {module.name}.{name}"]
        lines += ["   :members:"] if kind == "class" else []
        lines += ["   :show-inheritance:", ""] if name in module.derived else [""]
    return lines


def facts(env: BuildEnvironment, root: Path, module: Module) -> nodes.field_list:
    """Return where a module is shown, where its source is, and what tests it."""
    tests = tests_of(root, module.name)
    links: list[nodes.Node] = [source_link(env.config, path) for path in tests[:TESTS_SHOWN]]
    if len(tests) > TESTS_SHOWN:
        links += [nodes.inline("", word(MORE).format(number=len(tests) - TESTS_SHOWN))]
    rows: dict[str, list[nodes.Node]] = {
        CHAPTERS: [page_link(env, page) for page in users(root, module.name)],
        SOURCE: [source_link(env.config, module.path)],
        TESTS: links,
        PASSED_ON: [reference(target, name) for name, target in passed_on(root, module).items()],
    }
    found = nodes.field_list(classes=["api-facts"])
    for title, items in rows.items():
        if items:
            body = nodes.field_body("", nodes.paragraph("", "", *joined(items, " · ")))
            found += nodes.field("", nodes.field_name("", word(title)), body)
    return found


def source_link(config: Config, path: str) -> nodes.reference:
    """Return a link to a file in the repository that the book's configuration names."""
    options = config.html_theme_options
    address = f"{options['repository_url']}/blob/{options['repository_branch']}/{path}"
    return nodes.reference("", "", nodes.literal("", path), refuri=address, internal=False)


def passed_on(root: Path, module: Module) -> dict[str, str]:
    """Return the functions and classes that a package takes from its modules, each with its full name."""
    found = {}
    for one in module.imports:
        where, name = defined(root, one.module, one.name)
        if name in modules(root)[where].public and where.startswith(f"{module.name}."):
            found[one.alias] = f"{where}.{name}"
    return found


def complete(_app: Sphinx, what: str, _name: str, found: Any, _options: Any, lines: list[str]) -> None:
    """Add to a class's docstring that of its own ``__init__``, which says what it is made from.

    A module's loses the sentence that names its chapters. A property's begins with an empty comment, or napoleon would
    take what stands before a colon for its type.
    """
    start = vars(found).get("__init__") if what == "class" else None
    if inspect.isfunction(start) and start.__doc__ and not dataclasses.is_dataclass(found):
        lines += ["", *inspect.cleandoc(start.__doc__).splitlines(), ""]
    if what == "module":
        lines[:] = without_home("\n".join(lines)).splitlines()
    if what == "property":
        lines[:0] = ["..", ""]


def short_signature(
    _app: Sphinx, _what: str, _name: str, _found: Any, _options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write a default that a dataclass makes anew each time as dots: its own sign for it is no Python."""
    return signature and signature.replace("<factory>", "..."), returned


def public_bases(_app: Sphinx, _name: str, _found: Any, _options: Any, bases: list[Any]) -> None:
    """Put in the place of a private base what it is made from."""
    named = [(base, getattr(base, "__name__", "")) for base in bases]
    bases[:] = [one for base, name in named for one in (base.__bases__ if name.startswith("_") else [base])]


def only_code(_app: Sphinx, _what: str, _name: str, found: Any, _skip: bool, _options: Any) -> bool | None:
    """Leave out what a class only holds, whose docstring would be that of its value: a field, a number, a module."""
    return None if inspect.isroutine(found) or isinstance(found, property | cached_property) else True


def check_completeness(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of modules that no page of the reference has."""
    if OVERVIEW in env.found_docs:
        shown = env.get_domain("py").data["modules"]
        for name in sorted(set(modules(Path(app.srcdir))) - set(shown)):
            logger.warning("%s is on no page of the API reference: name it on one below %s/", name, OVERVIEW, type=KIND)


def choose_settings(_app: Sphinx, config: Config) -> None:
    """Set up autodoc for the style of the package's docstrings; types of other packages have no page here."""
    forget()
    for name, value in SETTINGS.items():
        config[name] = value
    config.nitpick_ignore_regex = [*config.nitpick_ignore_regex, ("py:.*", rf"(?:{FOREIGN})(?:\..*)?")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    for name in ("words", "sphinx.ext.autodoc", "sphinx.ext.napoleon"):
        app.setup_extension(name)
    skip = (skip_fold, None)
    app.add_node(chapter_code, html=(visit_fold, depart_fold), latex=skip, text=skip, man=skip, texinfo=skip)
    app.add_directive("api-modules", ApiModules)
    app.add_directive("api-index", ApiIndex)
    app.add_css_file("api_reference.css")
    app.connect("config-inited", choose_settings)
    app.connect("autodoc-process-docstring", complete, priority=100)  # before napoleon reads it
    app.connect("autodoc-process-signature", short_signature)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("autodoc-skip-member", only_code)
    app.connect("env-get-outdated", changed_elsewhere)
    app.connect("doctree-read", add_links)
    app.connect("missing-reference", resolve_passed_on)
    app.connect("env-check-consistency", check_completeness)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
