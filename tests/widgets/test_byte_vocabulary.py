"""Byte-level vocabularies in a page: the same ids and the same names as the tokenizers have in Python."""

import json

import pytest
from live_widgets import install_tokenizers
from node import run_node
from texts_to_cut import HARD
from tokenizers import Tokenizer

from companion.data import fetched, parallel, prose
from companion.data.fetched import NotFetchedError
from companion.data.published_tokenizers import NAMES, published_tokenizer
from companion.data.tokenization import token_labels, train_byte_bpe, train_wordpiece
from companion.widgets.byte_vocabulary import published_vocabulary, vocabulary

OWN = "this book's"
MORE = [
    "He said: it'S, I'LL, you'RE, 'ſ and O'D; cafe\u0301 e\u0301\u0302",
    "x\u0085y\ufeffz\u2003w\x1c\x1fv  \n\n  \t end \r\n\r\n",
    "我" * 400,
    "<think>1234567890</think><|fim_prefix|>",
]


LARGE = ("gpt4o-tokenizer", "qwen3-tokenizer")  # 200,000 and 150,000 tokens


@pytest.fixture(
    scope="module", params=[OWN, *(pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in NAMES)]
)
def both(request) -> tuple[Tokenizer, dict]:
    if request.param == OWN:
        tokenizer = train_byte_bpe(prose.documents(["primer"]), 1024)
        return tokenizer, vocabulary(tokenizer)
    try:
        return published_tokenizer(request.param), published_vocabulary(request.param)
    except NotFetchedError as error:
        pytest.skip(f"left out, because it cannot be had: {error}")


def test_a_page_cuts_and_names_as_python_does(both, root, tmp_path):
    tokenizer, found = both
    texts = [*prose.documents(["primer"])[:40], *("\n".join(pair) for pair in parallel.pairs()), *HARD, *MORE]
    (tmp_path / "asked.json").write_text(json.dumps({"vocabulary": found, "texts": texts}), encoding="utf-8")
    page = json.loads(run_node(root / "tests/widgets/frontend/vocabulary_answers.js", tmp_path / "asked.json"))
    for text, ids in zip(texts, page["ids"], strict=True):
        assert ids == tokenizer.encode(text, add_special_tokens=False).ids, text[:80]
    every = range(len(page["labels"]))
    wrong = [
        (ours, theirs)
        for ours, theirs in zip(page["labels"], token_labels(tokenizer, every), strict=True)
        if ours != theirs
    ]
    assert wrong == []
    assert page["size"] == max(tokenizer.get_vocab().values()) + 1


def test_a_tokenizer_of_another_kind_or_name_is_refused():
    with pytest.raises(ValueError, match="must be byte-level BPE; got WordPiece"):
        vocabulary(train_wordpiece(["low lower"], 40))
    with pytest.raises(ValueError, match="no published tokenizer is called 'bert'; there is gpt2-tokenizer"):
        published_vocabulary("bert")


def test_the_build_writes_what_lies_in_the_cache_under_names_that_say_what_is_in_them(tmp_path, monkeypatch):
    try:
        expected = published_vocabulary("gpt2-tokenizer")
    except NotFetchedError as error:
        pytest.skip(f"left out, because it cannot be had: {error}")
    monkeypatch.setattr(fetched, "is_complete", lambda name: name == "gpt2-tokenizer")
    (found,) = install_tokenizers(tmp_path / "made").values()
    written = tmp_path / "made" / found["file"]
    assert found["file"].startswith("gpt2-tokenizer-")
    assert written.stat().st_size == found["bytes"]
    assert json.loads(written.read_text(encoding="utf-8")) == expected
    assert [path.name for path in written.parent.iterdir()] == [found["file"]]
