"""AttentionView in Python: what it accepts, what it refuses, and what it writes."""

import base64
import json
import re
import subprocess
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from anywidget._util import enable_custom_widget_manager_once
from node import run_node
from small_models import stir
from tokenizers import Tokenizer

from companion import zoo
from companion.data.tokenization import token_labels, train_byte_bpe, train_unigram
from companion.generation import GREEDY, generate
from companion.metrics.attribution import attention_rollout
from companion.models.bert import BertConfig, BertForPreTraining
from companion.models.gpt import GPT, GPTConfig
from companion.models.t5 import T5, T5Config
from companion.models.xlnet import XLNet, XLNetConfig
from companion.nn.capture import capture
from companion.storyworld import World
from companion.storyworld.questionnaire import SPECIALS
from companion.widgets import AttentionView, Example, bundle
from companion.widgets.attention_view import styles
from companion.widgets.browser import SCRIPTS
from companion.widgets.encoding import EXACT_VALUES, check_weights, coarsen, deflate, encode
from companion.widgets.page import weights

TOKENS = ["a", "b", "c"]


def random_attention(layers: int, heads: int, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(layers, heads, n, n, generator=generator).softmax(-1)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_byte_bpe(["the cat sat on the mat and the dog sat on the log"] * 4, 300)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> GPT:
    torch.manual_seed(0)
    config = GPTConfig(tokenizer.get_vocab_size(), context_length=12, n_layers=2, n_heads=2, d_model=16)
    return GPT(config).eval()


def state_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])


def weights_of(view: AttentionView, layer: int, head: int) -> np.ndarray:
    return weights(view._state(), layer, head)


# what it accepts


@pytest.mark.parametrize(
    "hold",
    [
        lambda a: a,
        lambda a: a.numpy(),
        lambda a: list(a),
        lambda a: [layer.numpy() for layer in a],
        lambda a: [layer[None] for layer in a],
        lambda a: tuple(a.double()),
        lambda a: a.clone().requires_grad_(),
    ],
    ids=["tensor", "array", "list", "list of arrays", "batches of one", "tuple of doubles", "requires grad"],
)
def test_every_holder_of_the_same_attention_gives_the_same_picture(hold):
    attention = random_attention(2, 2, 3)
    view = AttentionView(TOKENS, hold(attention))
    assert view.shape == [2, 2, 3, 3]
    assert np.abs(weights_of(view, 1, 0) - attention[1, 0].numpy()).max() < 5e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_low_precision_tensors_are_shown(dtype):
    attention = random_attention(1, 2, 64).to(dtype)
    view = AttentionView([str(i) for i in range(64)], attention)
    assert np.abs(weights_of(view, 0, 1) - attention[0, 1].float().numpy()).max() < 5e-4


def test_a_still_picture_needs_no_torch():
    program = (
        "import sys, numpy as np; from companion.widgets import AttentionView; "
        "AttentionView(['a'], np.ones((1, 1, 1, 1))).to_html(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# what it refuses


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (torch.ones(3, 3), r"must be \(layers, heads, n, n\).*\(3, 3\)"),
        (torch.ones(1, 1, 1, 3, 3), r"\(1, 1, 1, 3, 3\)"),
        ([torch.ones(3, 3)], r"layer 0 of attention must be \(heads, n, n\).*\(3, 3\)"),
        ([torch.ones(2, 1, 3, 3)], r"one text at a time.*\(2, 1, 3, 3\)"),
        ([torch.eye(3)[None], torch.eye(3).expand(2, 3, 3)], r"layer 1 has \(2, 3, 3\)"),
        ([], "no attention weights to show"),
        (torch.full((1, 1, 3, 4), 0.1), r"must be \(layers, heads, n, n\).*\(1, 1, 3, 4\)"),
        (torch.eye(2)[None, None], "over 2 tokens, but 3 tokens were given"),
        (torch.full((1, 1, 3, 3), float("nan")), r"must be finite; got nan at .* \(0, 0, 0, 0\)"),
        (torch.eye(3)[None, None] - 0.1, "must not be negative; got -0.1"),
        (torch.ones(1, 1, 3, 3), "must sum to at most 1; got 3.000"),
    ],
)
def test_bad_attention_is_refused_with_its_value(attention, message):
    with pytest.raises(ValueError, match=message):
        AttentionView(TOKENS, attention)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"layer": 2}, "layer must be 0 to 1; got 2"),
        ({"head": -1}, "head must be 0 to 2; got -1"),
        ({"view": "circle"}, "view must be one of matrix, arcs; got 'circle'"),
        ({"segments": [0, 1]}, "segments must be one per token, 3; got 2"),
        ({"pair": "AB"}, r"a pair needs segments with tokens of both sentences, 0 and 1; got 'AB' and \[\]"),
        ({"pair": "AC", "segments": [0, 0, 1]}, "pair must be one of , AA, AB, BA, BB; got 'AC'"),
        ({"overlay": [(0, 3)]}, "head must be 0 to 2; got 3"),
        ({"overlay": [(0,)]}, r"each head of overlay must be \(layer, head\); got \(0,\)"),
        ({"overlay": [(0, 0)] * 5}, "overlay must hold at most 4 heads; got 5"),
    ],
)
def test_an_unknown_choice_is_refused_with_what_is_allowed(choice, message):
    with pytest.raises(ValueError, match=message):
        AttentionView(TOKENS, random_attention(2, 3, 3), **choice)


def test_an_unknown_layer_is_refused_later_too():
    view = AttentionView(TOKENS, random_attention(2, 3, 3))
    with pytest.raises(ValueError, match="layer must be 0 to 1; got 5"):
        view.layer = 5
    assert view.layer == 0


def test_no_tokens_are_refused():
    with pytest.raises(ValueError, match="at least one token; got none"):
        AttentionView([], torch.ones(1, 1, 0, 0))


# bytes


def test_small_attention_keeps_three_digits_and_large_attention_keeps_its_shades():
    small, large = random_attention(1, 1, 256).numpy(), random_attention(2, 1, 256).numpy()
    assert small.size == EXACT_VALUES
    assert encode(small)[0] == "float16"
    encoding, codes = encode(large)
    assert encoding == "uint8"
    restored = (np.frombuffer(codes, np.uint8).reshape(large.shape) / 255.0) ** 2
    assert (np.abs(restored - large) <= np.sqrt(large) / 255 + 1 / 255**2).all()


def test_diffuse_attention_is_not_rounded_to_nothing():
    codes = np.frombuffer(encode(np.full((2, 1, 512, 512), 1 / 512, np.float32))[1], np.uint8)
    assert codes.min() > 0


def test_a_coarser_picture_keeps_the_order_of_weights():
    _, codes = encode(random_attention(12, 12, 64).numpy())
    levels, coarse = coarsen(codes)
    assert 7 <= levels < 255
    fine = np.frombuffer(codes, np.uint8)
    order = np.argsort(fine, kind="stable")
    assert (np.diff(np.frombuffer(coarse, np.uint8)[order].astype(int)) >= 0).all()


def test_deflated_bytes_come_back():
    data = np.random.default_rng(0).integers(0, 3, 10_000, np.uint8).tobytes()
    assert zlib.decompress(deflate(data)) == data


def test_rows_that_sum_to_less_than_one_are_allowed():
    check_weights(np.zeros((1, 1, 2, 2), np.float32))  # a head that was ablated


# HTML


def test_text_cannot_leave_its_script_element():
    hostile = ["</script><script>alert(1)</script>", "<!--", "<img src=x onerror=alert(1)>"]
    page = AttentionView(hostile, random_attention(1, 1, 3), caption="<b>bold</b>").to_html()
    assert page.count("</script>") == 2  # the state's and the host's
    assert "<img" not in page
    assert "<b>bold" not in page
    assert state_of(page)["tokens"] == hostile


def test_a_page_names_no_other_host_and_carries_the_picture_once():
    view = AttentionView(TOKENS, random_attention(1, 1, 3))
    page = view.to_html()
    assert not re.findall(r"(?:src|href)=[\"']?(?!data:)[^\"'>]+", re.sub(r"<script.*?</script>", "", page, flags=re.S))
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # a name, which nobody asks
    packed = state_of(page)["attention"]
    assert page.count(packed) == 1
    assert zlib.decompress(base64.b64decode(packed)) == view.attention


def test_without_a_script_the_fragment_says_where_each_token_looks():
    attention = torch.eye(3)[[1, 2, 0]][None, None]
    html = AttentionView(TOKENS, attention)._repr_mimebundle_()[0]["text/html"]
    assert "<td>a</td><td>b</td><td>1.00</td>" in html
    assert "data-model" not in html


@pytest.mark.parametrize(("tokens", "limit"), [(32, 0.21), (64, 0.5), (128, 1.2), (256, 2.6)])
def test_a_page_of_144_heads_stays_small(tokens, limit):
    page = AttentionView([f"t{i}" for i in range(tokens)], random_attention(12, 12, tokens)).to_html()
    assert len(page.encode()) / 1e6 <= limit


def test_the_front_end_is_small():
    code = bundle.script(SCRIPTS / "pages" / "attention_view.js") + styles("attention_view")
    assert len(zlib.compress(code.encode(), 9)) <= 21_000


def test_in_colab_a_view_turns_on_the_manager_of_custom_widgets_by_itself(monkeypatch: pytest.MonkeyPatch):
    asked = []
    colab = SimpleNamespace(
        enable_custom_widget_manager=lambda: asked.append("once"),
        _widgets=SimpleNamespace(_installed_url="https://example.org/manager.js"),
    )
    monkeypatch.setitem(sys.modules, "google.colab.output", colab)
    enable_custom_widget_manager_once.cache_clear()
    _, metadata = AttentionView(TOKENS, random_attention(1, 1, 3))._repr_mimebundle_()
    assert asked == ["once"]
    (settings,) = metadata.values()
    assert settings == {"colab": {"custom_widget_manager": {"url": "https://example.org/manager.js"}}}


def test_both_a_kernel_and_a_page_without_one_are_served():
    bundle, _ = AttentionView(TOKENS, random_attention(1, 1, 3))._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "text/html"} <= set(bundle)


# heads over each other, pairs of sentences, rollout, and the kinds of an encoder and a decoder


@pytest.fixture
def front_end(root, tmp_path):
    """Ask the front end about a view: ``front_end(view, [name, …], …) -> answers``."""

    def ask(view: AttentionView, *asked: list) -> list:
        state = view._state() | {"attention": base64.b64encode(view.attention).decode()}
        (tmp_path / "asked.json").write_text(json.dumps({"state": state, "asked": asked}), encoding="utf-8")
        return json.loads(run_node(root / "tests/widgets/frontend/lens_answers.js", tmp_path / "asked.json"))

    return ask


@pytest.mark.parametrize(("layers", "n", "tolerance"), [(1, 3, 1e-3), (6, 14, 1e-3), (12, 60, 0.02)])
def test_the_front_end_rolls_out_as_the_package_does(front_end, layers, n, tolerance):
    """Of exact weights to a thousandth; of those that travel coarsely to a few hundredths."""
    attention = random_attention(layers, 3, n).tril() + torch.eye(n) * 1e-9
    attention /= attention.sum(-1, keepdim=True)
    view = AttentionView([f"t{i}" for i in range(n)], attention)
    assert (view.encoding == "float16") == (tolerance == 1e-3)
    for layer, answer in enumerate(front_end(view, *(["rollout", layer] for layer in range(layers)))):
        expected = attention_rollout([one[None] for one in attention[: layer + 1]])[0]
        assert np.abs(np.array(answer).reshape(n, n) - expected.numpy()).max() <= tolerance


def test_the_front_end_counts_the_weight_between_sentences_as_numpy_does(front_end):
    attention, segments = random_attention(2, 2, 5), [0, 0, 1, 1, 2]
    view = AttentionView(list("abcde"), attention, segments=segments)
    pairs = {"AA": (0, 0), "AB": (0, 1), "BA": (1, 0), "BB": (1, 1)}
    answers = front_end(view, *(["kept", 1, 0, pair] for pair in pairs))
    for (one, other), answer in zip(pairs.values(), answers, strict=True):
        kept = np.outer(np.array(segments) == one, np.array(segments) == other)
        assert answer["weight"] == pytest.approx(float(attention[1, 0].numpy()[kept].sum()) / 5, abs=1e-3)
        assert answer["cells"] == pytest.approx(kept.mean())


SOURCE, TARGET = list("abcd"), list("xyz")
MAPS = {
    "cross": torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(3)).softmax(-1),
    "encoder": random_attention(3, 2, 4, seed=1),
    "decoder": random_attention(2, 2, 3, seed=2),
}


@pytest.mark.parametrize("kind", MAPS)
def test_each_kind_of_an_encoder_and_a_decoder_is_shown_and_drawn(front_end, kind):
    view = AttentionView.encoder_decoder(SOURCE, TARGET, MAPS, kind=kind, layer=1, head=1)
    expected = MAPS[kind][1, 1].numpy()
    assert view.shape == list(MAPS[kind].shape)
    assert np.abs(weights_of(view, 1, 1) - expected).max() < 5e-4
    assert np.abs(np.array(front_end(view, ["head", 1, 1])[0]).reshape(expected.shape) - expected).max() < 5e-4


def test_the_words_of_cross_attention_say_where_each_token_of_the_target_looks():
    maps = {"cross": torch.eye(4)[None, None, :3]}
    html = AttentionView.encoder_decoder(SOURCE, TARGET, maps, caption="Two texts.")._repr_mimebundle_()[0]["text/html"]
    assert "Two texts. Attention of cross-attention, layer 0, head 0: where each of 3 tokens looks" in html
    assert "<td>z</td><td>c</td><td>1.00</td>" in html


def test_another_kind_keeps_the_layer_and_head_where_it_has_them():
    view = AttentionView.encoder_decoder(SOURCE, TARGET, MAPS, kind="encoder", layer=2, head=1)
    view.overlay = [[2, 1]]
    view.kind = "cross"
    assert (view.shape, view.layer, view.head, view.overlay) == ([2, 2, 3, 4], 1, 1, [])
    with pytest.raises(ValueError, match="layer must be 0 to 1; got 2"):
        view.layer = 2


def test_what_a_front_end_says_of_another_kind_is_taken_as_one():
    view = AttentionView.encoder_decoder(SOURCE, TARGET, MAPS, layer=1)
    view.set_state({"kind": "encoder", "shape": [3, 2, 4, 4], "layer": 2, "head": 1, "overlay": []})
    assert (view.kind, view.shape, view.layer, view.head) == ("encoder", [3, 2, 4, 4], 2, 1)
    view.set_state({"overlay": [[2, 0], [0, 1]], "view": "arcs"})
    assert view.overlay == [[2, 0], [0, 1]]


@pytest.mark.parametrize(
    ("maps", "kind", "message"),
    [
        ({}, "cross", "kind must be one of ; got 'cross'"),
        ({"memory": MAPS["cross"]}, "cross", "each kind of maps must be one of encoder, decoder, cross; got 'memory'"),
        ({"encoder": MAPS["encoder"]}, "cross", "kind must be one of encoder; got 'cross'"),
        ({"cross": MAPS["encoder"]}, "cross", r"cross attention must be \(layers, heads, 3, 4\); got \(3, 2, 4, 4\)"),
        ({"cross": torch.ones(1, 1, 3, 4)}, "cross", "must sum to at most 1; got 4.000"),
        ({"cross": None}, "cross", "there are no attention weights to show"),
    ],
)
def test_maps_that_do_not_fit_two_texts_are_refused(maps, kind, message):
    with pytest.raises(ValueError, match=message):
        AttentionView.encoder_decoder(SOURCE, TARGET, maps, kind=kind)


def test_a_kind_or_a_head_over_others_that_is_not_there_is_refused_later_too():
    view = AttentionView.encoder_decoder(SOURCE, TARGET, {"cross": MAPS["cross"]})
    with pytest.raises(ValueError, match="kind must be one of cross; got 'encoder'"):
        view.kind = "encoder"
    with pytest.raises(ValueError, match="head must be 0 to 1; got 2"):
        view.overlay = [[0, 2]]


def test_a_model_of_transformers_with_an_encoder_and_a_decoder_is_shown():
    transformers = pytest.importorskip("transformers")
    config = transformers.BartConfig(
        vocab_size=20,
        d_model=8,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        max_position_embeddings=16,
    )
    model = transformers.BartModel._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        seen = model(torch.tensor([[4, 5, 6, 7]]), decoder_input_ids=torch.tensor([[2, 8, 9]]), output_attentions=True)
    maps = {"encoder": seen.encoder_attentions, "decoder": seen.decoder_attentions, "cross": seen.cross_attentions}
    view = AttentionView.encoder_decoder(SOURCE, TARGET, maps, layer=1)
    assert [one["shape"] for one in view.kinds] == [[1, 2, 4, 4], [2, 2, 3, 3], [2, 2, 3, 4]]
    assert np.abs(weights_of(view, 1, 0) - seen.cross_attentions[1][0, 0].numpy()).max() < 5e-4


# live


def test_a_live_view_shows_what_capture_records(model, tokenizer):
    view = AttentionView.live(model, tokenizer, "the cat sat", layer=1, head=1)
    ids = tokenizer.encode("the cat sat").ids
    with torch.no_grad(), capture(model) as record:
        logits = model(torch.tensor([ids]))
    assert view.tokens == token_labels(tokenizer, ids)
    assert np.abs(weights_of(view, 1, 1) - record.attention[1][0, 1].numpy()).max() < 5e-4
    best = logits[0, -1].softmax(-1).topk(5)
    assert [entry["probability"] for entry in view.next_tokens] == pytest.approx(best.values.tolist())
    assert [entry["token"] for entry in view.next_tokens] == token_labels(tokenizer, best.indices.tolist())
    assert view.device == "kernel · CPU"
    assert (view.segments, view.model_layers) == ([], 0)
    assert view.latency_ms > 0


def test_a_new_text_runs_the_model_again(model, tokenizer):
    view = AttentionView.live(model, tokenizer, "the cat")
    view.text = "the cat sat on the mat"
    assert view.tokens == token_labels(tokenizer, tokenizer.encode(view.text).ids)
    assert view.shape[2] == len(view.tokens)
    assert view.answered == view.text


@pytest.mark.parametrize(
    ("text", "message"), [("", "at least one token"), ("the cat sat on " * 9, "at most 12")], ids=["empty", "long"]
)
def test_a_text_that_the_model_cannot_read_leaves_the_picture(model, tokenizer, text, message):
    view = AttentionView.live(model, tokenizer, "the cat")
    before = (view.tokens, view.attention)
    view.text = text
    assert message in view.error
    assert (view.tokens, view.attention) == before
    assert view.answered == text
    view.text = "the mat"
    assert view.error == ""
    with pytest.raises(ValueError, match=message):
        AttentionView.live(model, tokenizer, text)


def test_a_model_in_training_is_read_without_dropout_and_left_in_training(tokenizer):
    config = GPTConfig(tokenizer.get_vocab_size(), 12, n_layers=1, n_heads=2, d_model=16, dropout=0.5)
    model = GPT(config).train()
    first, second = (AttentionView.live(model, tokenizer, "the cat").attention for _ in range(2))
    assert first == second
    assert model.training


def test_a_model_without_a_longest_text_reads_any_and_names_no_next_token_when_it_sees_both_sides(tokenizer):
    xlnet = XLNet(XLNetConfig(tokenizer.get_vocab_size(), n_layers=1, n_heads=2, d_model=8))
    view = AttentionView.live(xlnet, tokenizer, "the cat sat on the mat " * 9)
    assert view.shape[-1] == len(view.tokens) > 40
    assert view.next_tokens == []


@pytest.fixture(scope="module")
def reader():
    tokenizer = World().tokenizer(SPECIALS)
    torch.manual_seed(0)
    config = BertConfig(tokenizer.get_vocab_size(), context_length=40, n_layers=2, n_heads=2, d_model=8)
    model = BertForPreTraining(config).eval()
    stir(model)
    return model, tokenizer


def test_a_bert_names_what_it_takes_to_stand_behind_the_last_mask(reader):
    model, tokenizer = reader
    view = AttentionView.live(model, tokenizer, "Tom is in the [MASK] . [SEP] Where is Tom [MASK] .")
    encoded = tokenizer.encode(view.text)
    types = [0] * 8 + [1] * (len(encoded.ids) - 8)  # [CLS] … [SEP] is the first segment
    with torch.no_grad():
        logits, _ = model(torch.tensor([encoded.ids]), torch.tensor([types]))
    place = encoded.tokens.index("[MASK]", 8)
    best = int(logits[0, place].argmax())
    assert view.next_tokens[0]["token"] == view.next_tokens[0]["text"] == tokenizer.id_to_token(best)
    assert view.next_tokens[0]["probability"] == pytest.approx(float(logits[0, place].softmax(-1).max()), abs=1e-5)
    assert view.mask == "[MASK]"
    assert view.segments == types


def test_without_a_mask_a_bert_names_nothing(reader):
    view = AttentionView.live(*reader, "Tom is in the garden .")
    assert view.next_tokens == []
    assert view.shape[-1] == len(view.tokens) == 8
    assert set(view.segments) == {0}


def test_an_encoder_decoder_shows_how_it_reads_a_source_and_writes_its_likeliest_answer():
    tokenizer = train_unigram(["low lower lowest"] * 4, vocab_size=14)
    torch.manual_seed(0)
    model = T5(T5Config(tokenizer.get_vocab_size(), n_layers=1, n_heads=2, d_model=12, n_decoder_layers=2)).train()
    view = AttentionView.live(model, tokenizer, "low lower", layer=1)
    ids = torch.tensor([tokenizer.encode("low lower").ids])
    answer = generate(model, ids, 40, decoding=GREEDY, stop=tokenizer.token_to_id("</s>"))[:, :-1]
    with torch.no_grad(), capture(model.eval()) as record:
        model(ids, answer)
    assert view.tokens == token_labels(tokenizer, ids[0].tolist())
    assert view.target == token_labels(tokenizer, answer[0].tolist())
    assert [one["kind"] for one in view.kinds] == ["encoder", "decoder", "cross"]
    assert np.abs(weights_of(view, 1, 1) - record.cross_attention[1][0, 1].numpy()).max() < 5e-4
    view.kind = "decoder"
    view.text = "lowest"
    assert (view.kind, view.shape[2:], view.error) == ("decoder", [len(view.target)] * 2, "")


def test_only_a_model_of_the_zoo_is_left_to_the_page(model, tokenizer):
    own = AttentionView.live(model, tokenizer, "the cat")
    assert "data-model" not in own._repr_mimebundle_()[0]["text/html"]
    assert own.model_name == "GPT"
    shipped = AttentionView.live(*zoo.load("storyworld-en"), "Tom is")
    assert 'data-model="storyworld-en"' in shipped._repr_mimebundle_()[0]["text/html"]
    assert shipped.model_name == "storyworld-en"


def test_a_shipped_model_that_was_trained_further_is_not_left_to_the_page():
    model, tokenizer = zoo.load("storyworld-en")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model(torch.tensor([tokenizer.encode("Tom is in the garden .").ids])).square().mean().backward()
    optimizer.step()
    tuned = AttentionView.live(model, tokenizer, "Tom is in the garden .")
    assert "data-model" not in tuned._repr_mimebundle_()[0]["text/html"]
    assert tuned.model_name == "GPT"


def test_a_page_does_not_depend_on_how_fast_the_model_ran(model, tokenizer):
    pages = [AttentionView.live(model, tokenizer, "the cat").to_html() for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("name", "text", "appended"),
    [
        ("storyworld-en", "Tom is in the garden. Tom", " goes"),
        ("storyworld-en", "Tom is in the garden", "."),
        ("storyworld-zh", "汤姆在花园。汤姆", "去"),
    ],
)
def test_a_likely_token_is_appended_as_it_is_written(name, text, appended):
    """With the space before a word, without one before a full stop or a Chinese word."""
    view = AttentionView.live(*zoo.load(name), text)
    assert view.next_tokens[0]["text"] == appended


@pytest.mark.parametrize("text", ["Tom is \ud83d", "Tom \udc00 is"], ids=["half at the end", "half within"])
def test_a_live_view_survives_whatever_its_model_raises(text: str):
    widget = AttentionView.live(*zoo.load("storyworld-en"), "Tom is in the park.")
    widget.text = text
    assert widget.answered == text
    assert widget.error
    widget.text = "Tom is in the garden."
    assert widget.error == ""
    assert len(widget.tokens) == widget.shape[-1]


@pytest.mark.parametrize("nothing", [None, (), (None, None)], ids=["None", "no layer", "layers of None"])
def test_a_model_that_kept_no_weights_is_told_how_to(nothing):
    with pytest.raises(ValueError, match="no attention weights to show.*attn_implementation='eager'"):
        AttentionView(["a", "b"], nothing)


def test_half_of_a_character_is_shown_by_its_code():
    view = AttentionView(["a\ud83d", "b"], np.full((1, 1, 2, 2), 0.5))
    assert view.tokens == ["a⟨D83D⟩", "b"]
    assert view.to_html().encode("utf-8")


EXAMPLES = [Example("the cat sat", "a cat", 0, 1, 2), Example("the dog sat on the log", "</script> & a dog", 1, 0, 3)]


def test_a_gallery_shows_the_first_text_and_in_a_kernel_any_that_is_chosen(model, tokenizer):
    view = AttentionView.gallery(model, tokenizer, EXAMPLES)
    assert (view.text, view.layer, view.head) == ("the cat sat", 0, 1)
    view.example = 1
    assert (view.text, view.shown, view.layer, view.head) == ("the dog sat on the log",) * 2 + (1, 0)
    assert view.tokens == token_labels(tokenizer, tokenizer.encode(view.text).ids)


def test_a_page_carries_the_picture_of_every_text_of_a_gallery(model, tokenizer):
    html = AttentionView.gallery(model, tokenizer, EXAMPLES).to_html()
    pictures = re.findall(r'<script type="application/json" data-picture="\d">(.*?)</script>', html, re.S)
    assert [json.loads(one)["text"] for one in pictures] == [one.text for one in EXAMPLES]
    other = AttentionView.live(model, tokenizer, EXAMPLES[1].text)
    assert zlib.decompress(base64.b64decode(json.loads(pictures[1])["attention"])) == other.attention
    assert state_of(html)["examples"][1]["look"] == EXAMPLES[1].look


@pytest.mark.parametrize(
    ("examples", "message"),
    [([], "at least one; got none"), ([Example("the cat", "", 0, 0, 9)], r"row must be 0 to \d; got 9")],
    ids=["none", "no such row"],
)
def test_a_gallery_of_nothing_or_with_a_row_that_is_not_there_is_refused(model, tokenizer, examples, message):
    with pytest.raises(ValueError, match=message):
        AttentionView.gallery(model, tokenizer, examples)


def test_a_view_knows_which_text_its_picture_is_of(model, tokenizer):
    view = AttentionView.live(model, tokenizer, "the cat")
    view.text = "the cat sat on " * 9
    assert view.error
    assert view.shown == "the cat"


@pytest.mark.parametrize(
    ("layer", "head", "message"), [(9, 0, "layer must be 0 to 1; got 9"), (0, -1, "head must be 0 to .; got -1")]
)
def test_a_head_of_a_later_text_of_a_gallery_is_checked_too(model, tokenizer, layer, head, message):
    first = EXAMPLES[0]
    with pytest.raises(ValueError, match=message):
        AttentionView.gallery(model, tokenizer, [first, Example(first.text, "", layer, head, 0)])


@pytest.mark.parametrize("example", [-1, 2])
def test_a_text_that_a_gallery_does_not_have_cannot_be_chosen(model, tokenizer, example):
    view = AttentionView.gallery(model, tokenizer, [EXAMPLES[0], EXAMPLES[0]])
    with pytest.raises(ValueError, match=f"example must be 0 to 1; got {example}"):
        view.example = example
    assert view.example == 0
