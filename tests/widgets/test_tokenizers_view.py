"""TokenizersView in Python: what it lists, loads, refuses and writes."""

import json
import re

import pytest
from tokenizers import Tokenizer

from companion.data import fetched
from companion.data.tokenization import train_byte_bpe, train_unigram
from companion.widgets import TokenizersView
from companion.widgets.byte_vocabulary import published_vocabulary


@pytest.fixture(scope="module")
def own() -> Tokenizer:
    return train_byte_bpe(["low lower lowest"] * 3, 265)


def state_of(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.S)[1])


def test_an_own_vocabulary_travels_with_the_view_and_a_published_one_by_name(own):
    view = TokenizersView({"own": own, "GPT-2": "gpt2-tokenizer"}, "low <b>")
    state = state_of(view._repr_mimebundle_()[0]["text/html"])
    first, second = state["listed"]
    assert first["tokens"][own.token_to_id("low")] == "low"
    assert second == {"title": "GPT-2", "published": "gpt2-tokenizer"}
    assert state["text"] == "low <b>"


def test_without_a_script_the_text_and_its_lengths_can_be_read(own):
    words = TokenizersView({"own": own}, "low <b>")._repr_mimebundle_()[0]["text/html"].partition("<script")[0]
    count = len(own.encode("low <b>").ids)
    assert "low &lt;b&gt;" in words
    assert f"<td>own</td><td>{count}</td>" in words


def test_a_kernel_and_a_page_of_its_own_have_the_published_vocabulary(own):
    if not fetched.is_complete("gpt2-tokenizer"):
        pytest.skip("left out, because gpt2-tokenizer is not in the cache")
    view = TokenizersView({"own": own, "GPT-2": "gpt2-tokenizer"})
    view.wanted = "gpt2-tokenizer"
    assert view.loaded["gpt2-tokenizer"] == published_vocabulary("gpt2-tokenizer")
    html = view.to_html()
    assert len(state_of(html)["listed"][1]["tokens"]) == 50_257
    assert "<title>Tokenizers, side by side</title>" in html


def test_nothing_to_show_or_another_kind_of_tokenizer_is_refused(own):
    with pytest.raises(ValueError, match="there must be a tokenizer and a text; got"):
        TokenizersView({})
    with pytest.raises(ValueError, match="there must be a tokenizer and a text; got"):
        TokenizersView({"own": own}, examples=())
    with pytest.raises(ValueError, match="must be byte-level BPE; got Unigram"):
        TokenizersView({"other": train_unigram(["low lower lowest"] * 4, 14)})


def test_half_a_character_is_shown_by_its_code(own):
    assert TokenizersView({"own": own}, "a\ud83d").text == "a⟨D83D⟩"
