"""What others see of the site: the card of a shared link, the map, and the page for lost addresses."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from isolation import ISOLATED
from PIL import Image
from small_sphinx import build, write

SENTENCE = "It says the same again and again. "
PAGES = {
    "index.md": "# A book\n\nOf words & numbers, which are few in this one.\n\n```{toctree}\nbook/one\n```\n",
    "book/one.md": "# One\n\nShort.\n\n> A quotation is no description of what the page is about.\n\n" + SENTENCE * 20,
}
SITE = "https://example.org/site/"


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small book, built."""
    folder = tmp_path_factory.mktemp("book")
    write(folder / "source", PAGES, ["sharing"], [])
    with (folder / "source" / "conf.py").open("a") as settings:
        settings.write(f"html_baseurl = {SITE!r}\nhtml_title = 'A <book>'\n")
    assert build(folder / "source", folder) == ""
    return folder / "html"


def card(page: Path) -> dict[str, str]:
    return dict(re.findall(r'<meta property="(og:[^"]+)" content="([^"]*)"', page.read_text(encoding="utf-8")))


def test_a_page_says_its_title_its_address_and_how_it_begins(html: Path):
    found = card(html / "index.html")
    assert found["og:title"] == "A book"
    assert found["og:url"] == f"{SITE}index.html"
    assert found["og:description"] == "Of words &amp; numbers, which are few in this one."
    assert found["og:type"] == "website"


def test_a_description_is_a_paragraph_of_text_cut_between_words(html: Path):
    found = card(html / "book" / "one.html")
    assert found["og:type"] == "article"
    said, cut = found["og:description"].rsplit(" ", 1)
    assert cut == "…"
    assert (SENTENCE * 20).startswith(f"{said} ")
    assert len(found["og:description"]) <= 202


def test_the_picture_of_the_card_has_the_size_that_networks_ask_for(html: Path):
    assert card(html / "index.html")["og:image"] == f"{SITE}_static/card.png"
    assert Image.open(html / "_static" / "card.png").size == (1200, 630)


def test_the_map_has_each_page_once(html: Path):
    places = [place.text for place in ElementTree.parse(html / "sitemap.xml").iter() if place.tag.endswith("loc")]
    assert places == [f"{SITE}book/one.html", f"{SITE}index.html"]


def test_the_page_for_lost_addresses_leads_back_from_any_depth(html: Path):
    page = (html / "404.html").read_text(encoding="utf-8")
    assert f'<a href="{SITE}index.html">A &lt;book&gt;</a>' in page
    assert f'<a href="{SITE}search.html">' in page


def test_hosts_that_read_it_are_told_to_isolate_the_pages(html: Path):
    said = (html / "_headers").read_text(encoding="utf-8").splitlines()
    assert said == ["/*", *(f"  {name}: {value}" for name, value in ISOLATED.items())]
