"""The search, in a real browser: a term leads to the section that teaches it, in English and in Chinese."""

import pytest

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("words", "page", "place"),
    [
        ("attention", "concepts/attention.html", ""),
        ("注意力", "concepts/attention.html", ""),
        ("KV cache", "algorithms/gpt.html", "#"),
        ("distillation", "distillation.html", ""),
        ("perplexity", "concepts/", "#"),
    ],
)
def test_a_term_leads_first_to_the_chapter_that_teaches_it(stay, address, words: str, page: str, place: str):
    found, log = stay(f"{address}/search.html?q={words}")
    first = found.locator("#search-results ul.search li a").first
    first.wait_for()
    assert page in first.get_attribute("href")
    assert place in first.get_attribute("href")
    assert log.errors == []


def test_a_longer_term_comes_after_the_headings_of_the_word_itself(stay, address):
    found, _ = stay(f"{address}/search.html?q=attention")
    links = found.locator("#search-results ul.search li > a")
    links.first.wait_for()
    pages = links.evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert not any("inference.html" in one for one in pages[:2])  # which teaches FlashAttention


def test_chapters_come_before_the_appendix(stay, address):
    found, _ = stay(f"{address}/search.html?q=attention")
    found.locator("#search-results p.search-summary").wait_for()
    links = found.locator("#search-results ul.search li > a")
    pages = links.evaluate_all("all => all.map(one => one.getAttribute('href'))")
    first = next(n for n, one in enumerate(pages) if "appendix/" in one)
    assert first > 5
    assert not any("appendix/" in one for one in pages[:first])


def test_what_is_shown_of_a_page_is_its_text_where_the_word_stands(stay, address):
    found, _ = stay(f"{address}/search.html?q=perplexity")
    found.locator("#search-results p.context").first.wait_for()
    said = found.locator("#search-results p.context").all_inner_texts()[:5]
    assert "perplexity" in " ".join(said).lower()
    assert not [text for text in said if "import " in text or "You will be able to" in text]
