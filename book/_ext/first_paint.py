"""What a browser waits for before it paints a page: one style sheet with the rules that pages use, and no script.

The theme and the extensions come with three hundred kilobytes of rules for whatever a site may have, in a dozen files, and
with scripts that a browser runs before it goes on reading the page. Here the files become one, `pages.css`, without the rules
whose classes are on no page and in no script; and scripts wait until the page has been read, in the order that they had.
`tests/browser/test_every_page.py` holds what is left to what a line of 10 Mbit/s brings within a second.
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html._assets import _CascadingStyleSheet, _JavaScript

SHEET = "pages.css"
FIRST = ("basic.css", "styles/pydata-sphinx-theme.css")  # what the theme's template links
OWN = ("companion/",)  # styles of this repository that are not in `book/_static`; they are kept whole
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
TOKEN = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[{};]", re.DOTALL)
GROUPS = ("@media", "@supports", "@layer", "@container")
FUNCTION = re.compile(r":(?:not|is|where|has)\((?:[^()]|\([^()]*\))*\)")  # what stands in these is not asked for
CLASS = re.compile(r"\.(-?[A-Za-z_](?:[\w-]|\\.)*)")
COMMA = re.compile(r",(?![^(]*\))")
IN_PAGES = re.compile(r'\bclass="([^"]*)"')
WORD = re.compile(r"-?[A-Za-z_][\w-]*")
LINK = re.compile(rf'(href="[^"]*_static/{re.escape(SHEET)})(?:\?v=\w*)?(?=")')


def blocks(style: str) -> Iterator[tuple[str, str | None]]:
    """Rules of a style without comments, in order: what stands before the braces, and what within; None after a `;`."""
    start, depth, opened = 0, 0, 0
    for token in TOKEN.finditer(style):
        match token[0]:
            case "{":
                opened = token.end() if depth == 0 else opened
                depth += 1
            case "}":
                depth -= 1
                if depth == 0:
                    yield style[start : opened - 1].strip(), style[opened : token.start()]
                    start = token.end()
            case ";" if depth == 0:
                yield style[start : token.start()].strip(), None
                start = token.end()


def slim(style: str, used: set[str]) -> str:
    """Style without the selectors that have a class which is not in use, and without what is then empty."""
    kept = []
    for head, body in blocks(COMMENT.sub("", style)):
        if body is None:
            kept.append(f"{head};" * (not head.startswith("@charset")))
        elif head.startswith(GROUPS):
            inner = slim(body, used)
            kept.append(f"{head}{{{inner}}}" * bool(inner))
        elif head.startswith("@"):
            kept.append(f"{head}{{{body}}}")
        else:
            selectors = [one for one in COMMA.split(head) if needed(one, used)]
            kept.append(f"{','.join(selectors)}{{{' '.join(body.split())}}}" * bool(selectors))
    return "\n".join(filter(None, kept))


def needed(selector: str, used: set[str]) -> bool:
    """Whether all classes of a selector are in use."""
    return {name.replace("\\", "") for name in CLASS.findall(FUNCTION.sub("", selector))} <= used


def in_use(out: Path) -> set[str]:
    """Classes of all built pages, and all words of all scripts, which may set one."""
    pages = (path.read_text(encoding="utf-8") for path in out.rglob("*.html"))
    found = {name for page in pages for names in set(IN_PAGES.findall(page)) for name in names.split()}
    for script in (out / "_static").rglob("*.js"):
        found |= set(WORD.findall(script.read_text(encoding="utf-8")))
    return found


def own(app: Sphinx, name: str) -> bool:
    """Whether a style is of this repository; extensions name their folders by whole paths."""
    named = [folder for folder in app.config.html_static_path if not Path(folder).is_absolute()]
    folders = [Path(app.confdir, folder) for folder in named]
    return name.startswith(OWN) or any((folder / name).exists() for folder in folders)


def bind(app: Sphinx, error: Exception | None) -> None:
    """Write the one style sheet, out of those that were there when the build began, and its version into all pages.

    When a page is written there is no sheet yet, or that of the last build, which a browser may have kept.
    """
    if error is not None or app.builder.format != "html":
        return
    if not hasattr(app.builder, "_orig_css_files"):  # no page was written: the sheet of the last build stands
        return
    static = Path(app.outdir) / "_static"
    names = [*FIRST, *(one.removeprefix("_static/") for one in sheets(app))]
    used = in_use(Path(app.outdir))
    styles = ((name, (static / name).read_text(encoding="utf-8")) for name in names if (static / name).exists())
    texts = [style if own(app, name) else slim(style, used) for name, style in styles]
    sheet = "\n".join(texts)
    (static / SHEET).write_text(sheet, encoding="utf-8")
    version = f"{zlib.crc32(sheet.encode()):08x}"
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        named = LINK.sub(rf"\g<1>?v={version}", page)
        if named != page:
            path.write_text(named, encoding="utf-8")


def sheets(app: Sphinx) -> list[str]:
    """Addresses of the styles that all pages have, in their order."""
    files = sorted(app.builder._orig_css_files, key=lambda one: one.priority)  # type: ignore[attr-defined]
    return [str(one.filename) for one in files]


def hasten(
    app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None
) -> None:
    """Give a page the one style sheet, and let its scripts wait for it.

    Those of the search's page stay as they are: the scripts in its text call them at once.
    """
    common = set(sheets(app))
    rest = [one for one in context["css_files"] if str(one.filename) not in common]
    context["css_files"] = [_CascadingStyleSheet(f"_static/{SHEET}", priority=0), *rest]
    if pagename != "search":
        context["script_files"] = [waiting(one) for one in context["script_files"]]


def waiting(script: _JavaScript) -> _JavaScript:
    """Return a script that runs when the page has been read; one in the page that reads no other runs at once."""
    settings = dict(script.attributes)
    if script.filename:
        settings["defer"] = "defer"
    elif "DOCUMENTATION_OPTIONS" in settings.get("body", ""):
        settings["type"] = "module"  # waits as well
    return _JavaScript(script.filename, priority=script.priority, **settings)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension, after what adds scripts and after what makes styles small."""
    app.connect("html-page-context", hasten, priority=990)
    app.connect("build-finished", bind, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
