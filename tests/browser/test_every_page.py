"""Each page of the built book opens without an error and without a request to another host."""

import pytest

pytestmark = pytest.mark.browser

PARTS = 20  # the pages are shared out, so that they are begun early and a fault is near


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_is_quiet_and_asks_no_other_host(visit, address, book, part):
    pages = sorted(path.relative_to(book).as_posix() for path in book.rglob("*.html") if "_static" not in path.parts)
    assert len(pages) > PARTS
    noise = {}
    for name in pages[part::PARTS]:
        page, log = visit(f"{address}/{name}")
        page.wait_for_load_state("networkidle")
        foreign = log.hosts() - {address.removeprefix("http://")}
        if foreign or log.errors:
            noise[name] = (foreign, log.errors)
        page.close()
    assert noise == {}
