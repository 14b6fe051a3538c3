"""What others see of the site: cards for links that are shared, a map for search engines, a page for lost addresses,
and the headers that the pages are to be sent with.

The address of the site is that of GitHub's pages of the repository; a site elsewhere has it in ``html_baseurl``.
"""

from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch
from matplotlib.path import Path as Line
from sphinx.application import Sphinx

from isolation import ISOLATED
from plain_notebooks import pages_address
from words import word

CARD = "card.png"
LONGEST = 200  # characters of a description
LOST = "This page is not here."
LEAD = "The book has moved on, or the address has a slip in it. There are two ways back in:"
SEARCH = "Search the book"
ALT = "The book's title under arcs of attention from one token to three others"
WORDS = (LOST, LEAD, SEARCH, ALT)
SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"

LOST_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{lost}</title>
<link rel="icon" href="data:,">
<style>
:root {{ background: light-dark(#fdfdfb, #14181d); color-scheme: light dark; font: 1.1rem/1.6 system-ui, sans-serif; }}
body {{ max-width: 34rem; margin: 15vh auto; padding: 0 1rem; }}
a {{ color: light-dark(#0b6b73, #5cc8cf); }}
</style>
</head>
<body>
<main>
<h1>{lost}</h1>
<p>{lead}</p>
<ul>
<li><a href="{site}{first}">{title}</a></li>
<li><a href="{site}search.html">{search}</a></li>
</ul>
</main>
</body>
</html>
"""

# Tokens of the logo, from left to right, and the weights with which the last attends to the others.
TOKENS, WEIGHTS = (12.0, 36.0, 60.0, 84.0), (3.5, 5.5, 2.0)


def site(app: Sphinx) -> str:
    """The address of the site, with a slash at its end."""
    address = app.config.html_baseurl or pages_address(app.config.html_theme_options["repository_url"])
    return str(address).rstrip("/") + "/"


def description(doctree: nodes.document) -> str:
    """The beginning of the first paragraph of text that says something, cut between words."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if isinstance(paragraph.parent, nodes.section) and len(text.split()) > 6:
            return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"
    return ""


def add_card(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add to a page what others show of it where its link is shared (Open Graph, https://ogp.me)."""
    if doctree is None:
        return
    said = description(doctree)
    card = {
        "og:type": "website" if pagename == app.config.root_doc else "article",
        "og:site_name": app.config.html_title,
        "og:title": app.env.titles[pagename].astext(),
        "og:url": site(app) + app.builder.get_target_uri(pagename),
        "og:image": f"{site(app)}_static/{CARD}",
        "og:image:alt": word(ALT),
        "og:description": said,
    }
    tags = [f'<meta property="{name}" content="{escape(content)}" />' for name, content in card.items() if content]
    tags.append('<meta name="twitter:card" content="summary_large_image" />')
    if said:
        tags.append(f'<meta name="description" content="{escape(said)}" />')
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Write the map, the page for lost addresses and the picture of the card, once the pages are there."""
    if exception is not None or app.builder.format != "html":
        return
    out, uri = Path(app.outdir), app.builder.get_target_uri
    pages = "\n".join(f"  <url><loc>{escape(site(app) + uri(name))}</loc></url>" for name in sorted(app.env.all_docs))
    sitemap = f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="{SITEMAP}">\n{pages}\n</urlset>\n'
    (out / "sitemap.xml").write_text(sitemap, encoding="utf-8")
    lost = LOST_PAGE.format(
        language=app.config.language,
        lost=word(LOST),
        lead=word(LEAD),
        search=word(SEARCH),
        site=escape(site(app)),
        first=escape(uri(app.config.root_doc)),
        title=escape(app.config.html_title),
    )
    (out / "404.html").write_text(lost, encoding="utf-8")
    headers = "\n".join(f"  {name}: {value}" for name, value in ISOLATED.items())
    (out / "_headers").write_text(f"/*\n{headers}\n", encoding="utf-8")
    draw_card(out / "_static" / CARD, app.config.html_title)


def draw_card(path: Path, title: str) -> None:
    """Draw the logo with the title under it, 1200 by 630 pixels, the size that the networks ask for."""
    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="#10212b")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-30, 126), ylim=(87, -6))
    axes.axis("off")
    last = TOKENS[-1]
    for start, weight, depth in zip(TOKENS[:-1], WEIGHTS, (46, 30, 16), strict=True):
        curve = Line([(last, 42), (last, 42 - depth), (start, 42 - depth), (start, 42)], [1, 4, 4, 4])
        axes.add_patch(PathPatch(curve, fill=False, edgecolor="#35b6be", linewidth=4 * weight, capstyle="round"))
    for place in TOKENS[:-1]:
        axes.add_patch(Circle((place, 44), 5, color="#9fb0bf"))
    axes.add_patch(Circle((last, 44), 6.3, color="#e0703a"))
    axes.text(48, 70, title, color="white", fontsize=40, ha="center", va="center", fontweight="bold")
    figure.savefig(path)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.setup_extension("words")
    app.connect("html-page-context", add_card)
    app.connect("build-finished", write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
