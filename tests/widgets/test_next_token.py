"""NextTokenView in Python: what it accepts, answers and writes; and that the front end samples as Python does."""

import json
import re
from typing import Any

import pytest
import torch
from node import run_node
from small_models import tiny_bert
from tokenizers import Tokenizer

from companion import zoo
from companion.data.tokenization import train_byte_bpe
from companion.generation import GREEDY, generate
from companion.generation.sampling import next_token_probabilities
from companion.models.gpt import GPT, GPTConfig
from companion.widgets import NextTokenView
from companion.widgets.next_token import NAMED, RECORDED, NextTokens

TEXT = "Tom is in the park."
OFF: dict[str, Any] = {"temperature": 1.0, "top_k": None, "top_p": None, "min_p": None}
DIALS = [
    OFF,
    *(OFF | {"temperature": value} for value in (0.0, 0.05, 0.7, 2.0)),
    *(OFF | {"top_k": value} for value in (1, 5, 1000)),
    *(OFF | {"top_p": value} for value in (0.05, 0.5, 0.95)),
    *(OFF | {"min_p": value} for value in (0.02, 0.3, 1.0)),
    {"temperature": 1.4, "top_k": 30, "top_p": 0.8, "min_p": 0.05},
    {"temperature": 0.6, "top_k": 10, "top_p": 0.4, "min_p": 0.2},
]


@pytest.fixture(scope="module")
def storyteller() -> tuple[Any, Tokenizer]:
    return zoo.load("storyworld-en")


@pytest.fixture
def view(storyteller) -> NextTokenView:
    return NextTokenView.live(*storyteller, TEXT, examples=["Anna", "Where is Tom?"])


def ask(view: NextTokenView, text: str, after: list[int]) -> dict:
    view.question = {"number": view.question.get("number", 0) + 1, "text": text, "after": after}
    assert view.answer["number"] == view.question["number"]
    return view.answer


def sampled(root, folder, cases: list[dict]) -> list[dict]:
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    script = root / "tests" / "widgets" / "frontend" / "sampling_answers.js"
    return json.loads(run_node(script, folder / "cases.json"))


def test_the_front_end_makes_of_logits_what_python_does_under_every_dial(root, tmp_path):
    generator = torch.Generator().manual_seed(0)
    rows = [scale * torch.randn(size, generator=generator) for size, scale in ((7, 1), (60, 3), (900, 2))]
    cases = [{"logits": row.tolist(), "dials": dials} for row in rows for dials in DIALS]
    for case, page in zip(cases, sampled(root, tmp_path, cases), strict=True):
        expected = next_token_probabilities(torch.tensor(case["logits"]), **case["dials"])
        found = torch.tensor(page["probabilities"], dtype=torch.float32)
        assert torch.equal(found > 0, expected > 0), case["dials"]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_an_answer_carries_the_probabilities_within_a_ten_thousandth(root, tmp_path, storyteller):
    model, tokenizer = storyteller
    answers = NextTokens(model, tokenizer)
    after = answers(TEXT, [])["candidates"][0]["id"]
    following = answers(TEXT, [after])
    ids = [*tokenizer.encode(TEXT).ids, after]
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0, -1].softmax(-1)
    (page,) = sampled(root, tmp_path, [{"following": following, "dials": OFF}])
    torch.testing.assert_close(torch.tensor(page["raw"]), expected, atol=1e-4, rtol=0)


def test_always_taking_the_likeliest_writes_what_greedy_generation_writes(view, storyteller):
    model, tokenizer = storyteller
    after: list[int] = []
    for _ in range(12):
        after.append(ask(view, TEXT, list(after))["candidates"][0]["id"])
    prompt = torch.tensor([tokenizer.encode(TEXT).ids])
    assert generate(model, prompt, 12, decoding=GREEDY)[0, prompt.size(1) :].tolist() == after
    assert ask(view, TEXT, after)["written"].split() == tokenizer.decode(after).split()


def test_going_back_and_another_way_gives_what_a_fresh_model_gives(storyteller):
    used, fresh = NextTokens(*storyteller), NextTokens(*storyteller)
    first, second = (one["id"] for one in used(TEXT, [])["candidates"][:2])
    used(TEXT, [first, second])
    found, expected = used(TEXT, [second]), fresh(TEXT, [second])
    for one, other in zip(found["candidates"], expected["candidates"], strict=True):
        assert one["id"] == other["id"]
        assert one["logit"] == pytest.approx(other["logit"], abs=1e-4)


def test_a_token_that_is_no_text_ends_the_writing(view, storyteller):
    _, tokenizer = storyteller
    end = tokenizer.token_to_id("<|endoftext|>")
    assert ask(view, TEXT, [end])["ends"]
    assert not ask(view, TEXT, [])["ends"]


def test_what_cannot_be_read_is_refused_in_a_line_and_the_view_lives_on(view):
    assert re.match(r"the text has 40\d tokens; the model reads at most 144", ask(view, "Tom " * 400, [])["error"])
    assert ask(view, TEXT, [])["candidates"]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "👩‍🚀 naïve", "#'\"", "\x00\u202e", "\ud83d"])
def test_any_text_is_answered_or_refused(view, text):
    assert {"candidates", "error"} & set(ask(view, text, []))


@pytest.fixture
def speller() -> tuple[GPT, Tokenizer]:
    """A model that reads bytes, in training mode."""
    tokenizer = train_byte_bpe(["a b c"], 257)
    torch.manual_seed(0)
    return GPT(GPTConfig(tokenizer.get_vocab_size(), context_length=12, n_layers=1, n_heads=2, d_model=8)), tokenizer


def test_a_part_of_a_character_is_written_when_its_rest_comes(speller):
    model, tokenizer = speller
    answers, parts = NextTokens(model, tokenizer), tokenizer.encode("é").ids
    assert len(parts) == 2
    assert answers("a", parts[:1])["written"] == "\ufffd"
    whole = answers("a", parts)
    assert (whole["written"], whole["ends"]) == ("é", False)
    assert model.training  # as it was


def test_models_and_tokenizers_of_another_kind_are_refused(storyteller, speller):
    model, tokenizer = storyteller
    with pytest.raises(ValueError, match="model must be decoder-only, as GPT; got Bert"):
        NextTokenView.live(tiny_bert(), tokenizer, TEXT)
    with pytest.raises(ValueError, match="or a fast tokenizer of transformers; got str"):
        NextTokenView.live(model, "gpt2", TEXT)
    with pytest.raises(ValueError, match="the text is empty"):
        NextTokenView.live(*speller, "")


def state_of(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.S)[1])


def test_a_page_of_its_own_holds_what_was_written_and_no_text_to_ask_about(view):
    first = view.answers[0]["candidates"][0]["id"]
    ask(view, TEXT, [first])
    html = view.to_html()
    state = state_of(html)
    assert [one["after"] for one in state["answers"]] == [[], [first]]
    assert state["examples"] == []
    assert {one["device"] for one in state["answers"]} == {"precomputed"}
    assert "data-model" not in html
    assert "<title>Next token</title>" in html


def test_a_page_of_its_own_stays_small_however_much_is_written(view):
    for number in range(RECORDED + 5):
        ask(view, "Tom " * (number + 1), [])
    assert len(state_of(view.to_html())["answers"]) == RECORDED


def test_the_book_gets_the_first_answer_the_examples_and_the_models_name(view):
    ask(view, TEXT, [3])
    data, _ = view._repr_mimebundle_()
    state = state_of(data["text/html"])
    assert len(state["answers"]) == 1
    assert len(state["answers"][0]["candidates"]) == NAMED
    assert state["examples"] == ["Anna", "Where is Tom?"]
    assert 'data-widget="next_token" data-model="storyworld-en"' in data["text/html"]


def test_where_no_script_runs_the_likeliest_tokens_stand_in_a_table(storyteller):
    view = NextTokenView.live(*storyteller, "Tom <b>&")
    words = view._repr_mimebundle_()[0]["text/html"].partition("<script")[0]
    assert "Tom &lt;b&gt;&amp; … and the 10 likeliest next tokens" in words
    assert words.count("<tr><td>") == 10
