"""Widgets that are no map, alive in the built pages, with no model loaded and no other host asked."""

import pytest

from companion.data import fetched

pytestmark = pytest.mark.browser


def test_the_objectives_of_denoising_answer_to_a_typed_sentence(visit, axe, address):
    page, log = visit(f"{address}/book/algorithms/denoising.html", width=360)
    page.get_by_label("A sentence").fill("dogs bark at night")
    page.get_by_role("tab", name="Causal").click()
    page.get_by_role("option", name="night").click()
    assert " ".join(page.inner_text(".ca-reads").split()) == "night is predicted from 3 of 4: dogs bark at"
    assert axe(page, ".ca-walkthrough") == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert log.hosts() == {address.removeprefix("http://")}
    assert log.errors == []


def test_the_steps_of_attention_lead_it_to_the_animal(visit, axe, address):
    if not fetched.is_complete("minilm-l6"):
        pytest.skip("left out, because minilm-l6 is not in the cache")
    page, log = visit(f"{address}/book/concepts/attention.html", width=360)
    page.get_by_role("tab", name="Softmax").click()
    best = page.locator(".ca-keys [aria-selected='true']")
    assert best.locator(".ca-name").inner_text() == "animal"
    assert float(best.locator(".ca-result").inner_text()) > 0.5
    assert axe(page, ".ca-walkthrough") == []
    assert not [url for url in log.requests if url.split("?")[0].endswith((".onnx", ".wasm"))]
    assert log.errors == []
