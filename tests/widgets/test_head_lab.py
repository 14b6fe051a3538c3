"""HeadLab in Python: what a choice of heads changes, what it refuses, and what it writes."""

import json
import re

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch.nn import functional as F

from companion import zoo
from companion.models.bert import BertConfig, BertForPreTraining
from companion.models.gpt import GPT, GPTConfig
from companion.nn.capture import ablate, capture
from companion.nn.intervention import intervene
from companion.widgets import HeadLab
from companion.widgets.head_runs import HeadRuns

STORY = "Susan is in the school . Paul is in the market . Paul goes to the forest . Where is Paul"
OTHER = "Susan is in the school . Paul is in the market . Paul goes to the cave . Where is Paul"
OFF = [(0, 3), (1, 2)]


@pytest.fixture(scope="module")
def gpt():
    return zoo.load("storyworld-en")


@pytest.fixture(scope="module")
def bert():
    return zoo.load("storyworld-bert")


@pytest.fixture
def lab(gpt) -> HeadLab:
    return HeadLab.live(*gpt, STORY, presets={"two heads": OFF}, source=OTHER)


def ids_of(loaded, text: str) -> torch.Tensor:
    return torch.tensor([loaded[1].encode(text).ids])


def expected(logits: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(probabilities of the next token, loss of each token but the first)."""
    return logits[0, -1].softmax(-1), F.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="none")


def check(result: dict, side: str, logits: torch.Tensor, ids: torch.Tensor, loaded) -> None:
    chances, losses = expected(logits, ids)
    numbers = [loaded[1].token_to_id(one["token"]) for one in result["chances"]]
    assert [one[side] for one in result["chances"]] == pytest.approx(chances[numbers].tolist(), abs=1e-6)
    assert {*chances.topk(5).indices.tolist()} <= {*numbers}
    got = [pair[side == "after"] for pair in result["losses"]]
    assert got == pytest.approx(losses.tolist(), abs=1e-5)


@torch.no_grad()
def test_heads_that_are_off_give_the_numbers_of_ablation(lab, gpt):
    ids = ids_of(gpt, STORY)
    lab.off = [list(head) for head in OFF]
    check(lab.result, "before", gpt[0](ids), ids, gpt)
    with ablate(gpt[0], OFF):
        check(lab.result, "after", gpt[0](ids), ids, gpt)


@torch.no_grad()
def test_a_patched_head_goes_on_with_its_output_in_the_second_text(lab, gpt):
    model, ids = gpt[0], ids_of(gpt, STORY)
    lab.patched = [[1, 2], [1, 0]]
    with capture(model) as record:
        model(ids_of(gpt, OTHER))
    given = record.heads[1]
    with intervene(model, heads={1: lambda own: torch.stack([given[:, 0], own[:, 1], given[:, 2], own[:, 3]], 1)}):
        check(lab.result, "after", model(ids), ids, gpt)
    assert lab.result["chances"][0]["before"] != pytest.approx(lab.result["chances"][0]["after"], abs=1e-3)


@torch.no_grad()
def test_a_model_that_fills_in_is_judged_behind_its_mask_and_by_no_loss(bert):
    lab = HeadLab.live(*bert, "Tom is in the [MASK] .", off=[(0, 0)])
    ids = ids_of(bert, "Tom is in the [MASK] .")
    with ablate(bert[0], [(0, 0)]):
        logits, _ = bert[0](ids)
    best = logits[0, ids[0].tolist().index(bert[1].token_to_id("[MASK]"))].softmax(-1).max().item()
    assert max(one["after"] for one in lab.result["chances"]) == pytest.approx(best, abs=1e-6)
    assert (lab.result["mask"], lab.result["losses"]) == ("[MASK]", [])
    lab.text = "Tom is in the garden ."
    assert (lab.result["chances"], lab.error) == ([], "")


def test_a_bert_whose_layers_share_their_weights_is_ablated_too(bert):
    torch.manual_seed(0)
    tokenizer = bert[1]
    config = BertConfig(tokenizer.get_vocab_size(), context_length=24, n_layers=2, n_heads=2, d_model=16, n_groups=1)
    runs = HeadRuns(BertForPreTraining(config).eval(), tokenizer)
    found = runs("Tom is in the [MASK] .", off=[(1, 0)])
    assert any(one.before != one.after for one in found.chances)


def test_with_all_heads_on_nothing_changes_and_the_model_is_left_as_it_was(lab, gpt):
    lab.off = [[0, 0]]
    lab.off = []
    assert all(before == after for before, after in lab.result["losses"])
    assert all(one["before"] == one["after"] for one in lab.result["chances"])
    assert not any(block.attention.observers for block in gpt[0].blocks)
    assert not any(block.attention.output._forward_pre_hooks for block in gpt[0].blocks)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"off": [(4, 0)]}, "off: layer must be 0 to 3; got 4"),
        ({"off": [(0, -1)]}, "off: head must be 0 to 3; got -1"),
        ({"presets": {"copy": [(0, 9)]}}, "the preset 'copy': head must be 0 to 3; got 9"),
        ({"presets": {"none": []}}, "the preset 'none' must name at least one head; got none"),
    ],
)
def test_a_head_that_is_not_there_is_refused_by_name(gpt, how, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        HeadLab.live(*gpt, STORY, **how)


@pytest.mark.parametrize(
    ("heads", "message"),
    [([[0, 4]], "patched: head must be 0 to 3; got 4"), ([[1]], r"pairs \(layer, head\); got \[1")],
)
def test_a_head_set_from_outside_is_refused_and_the_choice_stays(lab, heads, message):
    with pytest.raises(ValueError, match=message):
        lab.patched = heads
    assert lab.patched == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "Tom " * 500}, "the model reads at most"),
        (
            {"source": "Tom", "patched": [[0, 0]]},
            "the second text has 2 tokens and the first 22; a patch needs as many",
        ),
    ],
)
def test_what_the_model_cannot_read_is_told_and_the_numbers_stay_of_what_they_were(lab, changes, message):
    before = lab.result
    for name, value in changes.items():
        setattr(lab, name, value)
    assert message in lab.error
    assert (lab.result, lab.shown["text"]) == (before, STORY)
    lab.text, lab.patched = STORY, []
    assert lab.error == ""


def test_a_text_of_one_token_has_a_next_one_and_no_loss(lab):
    lab.text = ""  # this tokenizer begins each text with a token of its own
    assert (len(lab.result["tokens"]), lab.result["losses"], lab.error) == (1, [], "")
    assert len(lab.result["chances"]) == 5


def test_an_exception_in_the_model_leaves_the_lab_alive(gpt, monkeypatch):
    lab = HeadLab.live(*gpt, STORY)
    monkeypatch.setattr(type(lab._runs), "__call__", lambda *_: 1 / 0)
    lab.off = [[0, 0]]
    assert lab.error == "ZeroDivisionError: division by zero"
    monkeypatch.undo()
    lab.off = [[0, 1]]
    assert lab.error == ""


def test_a_model_that_predicts_no_tokens_is_refused(bert):
    with pytest.raises(ValueError, match="needs a model that predicts tokens; got Bert"):
        HeadLab.live(bert[0].bert, bert[1], "Tom is here .")


def test_a_page_has_the_presets_and_the_first_choice_computed(lab, gpt):
    lab.off = [[3, 3]]
    page = lab.to_html()
    state = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])
    assert [one["shown"]["off"] for one in state["prepared"]] == [[[3, 3]], [], [list(head) for head in OFF]]
    ids = ids_of(gpt, STORY)
    with torch.no_grad(), ablate(gpt[0], OFF):
        check(state["prepared"][2]["result"], "after", gpt[0](ids), ids, gpt)
    assert state["is_live"] is False
    assert 'data-model="' not in page


def test_in_the_book_a_lab_names_its_model_and_says_in_words_what_it_shows(lab):
    figure = lab._repr_mimebundle_()[0]["text/html"]
    assert figure.startswith('<figure class="companion-widget" data-widget="head_lab" data-model="storyworld-en">')
    assert "switched off: none" in figure
    assert "Loss in nats per token" in figure


def test_markup_in_a_text_stays_text(gpt):
    figure = HeadLab.live(*gpt, "<script>alert(1)</script>")._repr_mimebundle_()[0]["text/html"]
    assert figure.count("<script") == 1


def test_a_model_of_ones_own_is_named_by_its_class(gpt):
    torch.manual_seed(0)
    tokenizer = gpt[1]
    own = GPT(GPTConfig(tokenizer.get_vocab_size(), context_length=24, n_layers=1, n_heads=2, d_model=8)).eval()
    lab = HeadLab.live(own, tokenizer, "Tom is here .", off=[(0, 1)])
    assert (lab.model_name, lab.shape) == ("GPT", [1, 2])
    assert "data-model" not in lab._repr_mimebundle_()[0]["text/html"]


@pytest.mark.parametrize("kind", ["roberta", "modernbert"])
def test_another_model_that_fills_in_answers_at_its_own_mask(kind):
    words = WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "Tom": 5, "reads": 6}, "<unk>")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = WhitespaceSplit()
    torch.manual_seed(1)
    sizes = {"vocab_size": 7, "hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 2}
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    if kind == "roberta":
        config = transformers.RobertaConfig(**sizes, num_attention_heads=3, max_position_embeddings=20)
        theirs = transformers.RobertaForMaskedLM(config).eval()
    else:
        config = transformers.ModernBertConfig(**sizes, **special, num_attention_heads=3)
        theirs = transformers.ModernBertForMaskedLM(config).eval()
    lab = HeadLab.live(theirs, tokenizer, "Tom <mask> reads", off=[(0, 2)])
    assert lab.result["mask"] == "<mask>"
    assert lab.result["losses"] == []
    scores = theirs(torch.tensor([[5, 4, 6]])).logits[0, 1].softmax(-1)
    for one in lab.result["chances"]:
        assert one["before"] == pytest.approx(scores[tokenizer.token_to_id(one["token"])].item(), abs=1e-6)
    assert lab.result["chances"][0]["before"] != lab.result["chances"][0]["after"]


@pytest.mark.parametrize("off", [[(0.9, 1.9)], [(True, False)], [("0", "1")], [0]])
def test_half_a_head_is_no_head_to_switch_off(gpt, off):
    with pytest.raises(ValueError, match=r"must be pairs \(layer, head\); got"):
        HeadLab.live(*gpt, STORY, off=off)


def test_heads_that_are_chosen_by_a_tensor_are_those(gpt):
    assert HeadLab.live(*gpt, STORY, off=torch.tensor(OFF)).off == [list(pair) for pair in OFF]
