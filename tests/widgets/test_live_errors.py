"""A box that a reader types into lives on after whatever its model or tokenizer raises, and says what it was."""

import errno

import numpy as np
import pytest
import torch
from small_models import tiny_bert, tiny_gpt, tiny_t5
from tokenizers import Tokenizer

from companion.data.fetched import NotFetchedError
from companion.data.tokenization import train_byte_bpe, train_unigram, train_wordpiece
from companion.models.bert import BertForPreTraining
from companion.nn.capture import capture
from companion.widgets import AttentionView, Example, HeadLab, NextTokenView, TokenizersView, TwoModels

TEXT, OTHER = "the cat sat", "the dog sat"
RAISED = {
    "no number": FloatingPointError("logits must be finite"),
    "no memory": MemoryError("out of memory"),
    "an index": IndexError("index out of range in self"),
    "a key": KeyError("the"),
    "a type": TypeError("TextInputSequence must be str"),
    "an attribute": AttributeError("no attribute 'encode'"),
    "torch": RuntimeError("CUDA error: device-side assert triggered"),
    "too deep": RecursionError("maximum recursion depth exceeded"),
    "a file": OSError(errno.ENOENT, "no such file"),
    "nothing said": TimeoutError(),
    "refused": ValueError("the text is empty"),
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_byte_bpe([f"{TEXT} on the mat and {OTHER} on the log"] * 4, 280)


def model_of(tokenizer, **sizes):
    return tiny_gpt(vocab_size=tokenizer.get_vocab_size(), **sizes)


def asked(view, text):
    view.question = {"number": view.question.get("number", 0) + 1, "text": text, "after": []}
    return view.answer.get("error", "")


def typed(view, text):
    view.text = text
    return view.error


def gallery(model, tokenizer):
    return AttentionView.gallery(model, tokenizer, [Example(TEXT, "", 0, 0, 0)])


# a view of a model, and what it says when a text is typed into it
BOXES = {
    "attention": (lambda model, tokenizer: AttentionView.live(model, tokenizer, TEXT), typed),
    "gallery": (gallery, typed),
    "next token": (lambda model, tokenizer: NextTokenView.live(model, tokenizer, TEXT), asked),
    "heads": (lambda model, tokenizer: HeadLab.live(model, tokenizer, TEXT), typed),
    "two models": (lambda model, tokenizer: TwoModels.live((model, tokenizer), (model, tokenizer), TEXT), typed),
}


@pytest.mark.parametrize("raised", RAISED.values(), ids=RAISED)
@pytest.mark.parametrize("box", BOXES)
def test_whatever_a_model_raises_is_told_and_the_next_text_is_answered(tokenizer, box, raised):
    make, ask = BOXES[box]
    model = model_of(tokenizer)
    view = make(model, tokenizer)

    def fail(*_):
        raise raised

    hook = model.final_norm.register_forward_hook(fail)
    said = ask(view, OTHER)
    assert str(raised) in said
    assert isinstance(raised, ValueError) or type(raised).__name__ in said
    hook.remove()
    assert ask(view, f"{OTHER} on the log") == ""


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("box", ["attention", "next token", "heads", "two models"])
def test_numbers_that_are_none_are_told_and_not_shown_as_likely(tokenizer, box, bad):
    make, ask = BOXES[box]
    model = model_of(tokenizer)
    view = make(model, tokenizer)
    hook = model.final_norm.register_forward_hook(lambda _, __, output: output * bad)
    assert "logits must be" in ask(view, OTHER)
    hook.remove()
    assert ask(view, f"{OTHER} on the log") == ""


HALVES = {
    "the first half at the end": "the \ud83d",
    "the second half": "the \udc31 cat",
    "both the wrong way round": "\udc31\ud83d",
    "a half and a whole": "🐱\ud83d",
    "the last of all halves": "the cat\udfff",
}


@pytest.mark.parametrize("text", HALVES.values(), ids=HALVES)
@pytest.mark.parametrize("box", BOXES)
def test_half_of_a_character_is_told_by_name(tokenizer, box, text):
    make, ask = BOXES[box]
    view = make(model_of(tokenizer), tokenizer)
    assert "unpaired surrogate, half of a character" in ask(view, text)
    assert ask(view, OTHER) == ""


@pytest.mark.parametrize(
    ("make", "train"),
    [
        (lambda size: tiny_bert(kind=BertForPreTraining, vocab_size=size), lambda texts: train_wordpiece(texts, 60)),
        (lambda size: tiny_t5(vocab_size=size), lambda texts: train_unigram(texts, 60)),
    ],
    ids=["bert", "t5"],
)
@pytest.mark.parametrize("text", ["the cat\ud83d", "", "the " * 400])
def test_other_families_live_on_too(make, train, text):
    own = train([TEXT, OTHER] * 4)
    view = AttentionView.live(make(own.get_vocab_size()), own, TEXT)
    if view.tokens and (said := typed(view, text)):
        assert "Error" not in said
    assert typed(view, OTHER) == ""
    assert view.shown == OTHER


# A vocabulary that is loaded on a click


@pytest.mark.parametrize(
    "raised", [NotFetchedError("no network"), OSError("no space left"), ValueError("damaged"), KeyError("gpt2")]
)
def test_a_vocabulary_that_cannot_be_had_is_told_and_may_be_asked_for_again(tokenizer, monkeypatch, raised):
    from companion.widgets import byte_vocabulary

    def fail(name):
        raise raised

    view = TokenizersView({"own": tokenizer, "GPT-2": "gpt2-tokenizer"}, "low")
    monkeypatch.setattr(byte_vocabulary, "published_vocabulary", fail)
    view.wanted = "gpt2-tokenizer"
    assert view.loaded == {"gpt2-tokenizer": {"error": str(raised)}}
    assert view.wanted == ""
    monkeypatch.setattr(byte_vocabulary, "published_vocabulary", lambda name: {"tokens": [name]})
    view.wanted = "gpt2-tokenizer"
    assert view.loaded == {"gpt2-tokenizer": {"tokens": ["gpt2-tokenizer"]}}


# Halves of characters in what a page is written from


def map_of(n):
    return np.full((1, 1, n, n), 1 / n)


HALF = "a\ud83d"
PAGES = {
    "a caption": lambda t: AttentionView(["a", "b"], map_of(2), caption=HALF),
    "a look": lambda t: AttentionView.gallery(model_of(t), t, [Example(TEXT, HALF, 0, 0, 0)]),
    "both sides": lambda t: AttentionView.encoder_decoder([HALF], [HALF], {"cross": map_of(1)}),
    "a caption of two": lambda t: TwoModels(["a", "b"], map_of(2), map_of(2), caption=HALF),
    "names of two": lambda t: TwoModels(["a", "b"], map_of(2), map_of(2), names=(HALF, "b")),
    "a title": lambda t: TokenizersView({HALF: t}, "a"),
    "an example": lambda t: TokenizersView({"own": t}, "a", examples=[(HALF, HALF)]),
    "a preset": lambda t: HeadLab.live(model_of(t), t, TEXT, presets={HALF: [(0, 0)]}),
}


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)
def test_a_page_is_written_whatever_it_says(tokenizer, make):
    html = make(tokenizer).to_html()
    assert html.encode("utf-8")
    assert "⟨D83D⟩" in html


def test_a_model_is_left_without_hooks_after_an_exception(tokenizer):
    model = model_of(tokenizer)
    view = HeadLab.live(model, tokenizer, TEXT)
    hook = model.final_norm.register_forward_hook(lambda *_: 1 / 0)
    view.off = [[0, 0]]
    assert "ZeroDivisionError" in view.error
    hook.remove()
    with capture(model) as record:
        model(torch.tensor([[1, 2, 3]]))
    assert float(record.attention[0][0, 0].sum()) == pytest.approx(3)


@pytest.mark.parametrize("examples", [TEXT, [TEXT, OTHER], [(TEXT, "", 0, 0, 0)]], ids=["a text", "texts", "a tuple"])
def test_a_gallery_of_what_is_no_example_is_refused(tokenizer, examples):
    with pytest.raises(ValueError, match="examples must be a list of Example; got"):
        AttentionView.gallery(model_of(tokenizer), tokenizer, examples)
