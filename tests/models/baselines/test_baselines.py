"""The baselines are the models of their papers, see no later token, and train as a GPT does."""

import itertools
import math
import time
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT, stir
from torch import nn

from companion.data.batch import IGNORED
from companion.data.prose import random_windows
from companion.losses import causal_loss
from companion.metrics.language_model import story_cross_entropy
from companion.models.baselines import (
    LSTM,
    RNN,
    FeedForwardLM,
    FeedForwardLMConfig,
    LSTMConfig,
    NGram,
    NGramConfig,
    RNNConfig,
)
from companion.models.baselines.recurrent import ElmanLayer, LSTMLayer
from companion.training import Optimization, Runtime, fit

V = 7
TEXT = torch.randint(V, (6, 11), generator=torch.Generator().manual_seed(0))

CONFIGS = {
    "feed-forward": FeedForwardLMConfig(V, order=4, d_model=5, d_hidden=9),
    "RNN": RNNConfig(V, d_model=5, d_hidden=9),
    "LSTM": LSTMConfig(V, d_model=5, d_hidden=9),
    "Kneser-Ney": NGramConfig(V, order=3),
    "add-k": NGramConfig(V, order=3, smoothing="add-k", add_k=0.5),
}
MODELS = {FeedForwardLMConfig: FeedForwardLM, RNNConfig: RNN, LSTMConfig: LSTM}
NEURAL = ["feed-forward", "RNN", "LSTM"]


def make(name):
    config = CONFIGS[name]
    if isinstance(config, NGramConfig):
        return NGram(config).count(TEXT)
    torch.manual_seed(0)
    model = MODELS[type(config)](config).eval()
    stir(model)
    return model


each_model = pytest.mark.parametrize("model", [make(name) for name in CONFIGS], ids=list(CONFIGS))
each_neural = pytest.mark.parametrize("name", NEURAL)


def random_rows(count=5, length=8, seed=1):
    return torch.randint(V, (count, length), generator=torch.Generator().manual_seed(seed))


# What all have in common


@each_model
@pytest.mark.parametrize("length", [1, 2, 8])
def test_every_token_of_the_vocabulary_is_scored_at_each_position(model, length):
    assert model(random_rows(3, length)).shape == (3, length, V)


@each_model
def test_no_position_sees_a_later_token(model):
    ids = random_rows()
    before = model(ids)
    for position in range(ids.size(1)):
        changed = ids.clone()
        changed[:, position] = (ids[:, position] + 1) % V
        moved = (model(changed) - before).abs().amax(-1) > 0  # (batch, length)
        assert not moved[:, :position].any()


@each_model
def test_rows_do_not_see_each_other(model):
    ids = random_rows()
    alone = torch.cat([model(row[None]) for row in ids])
    torch.testing.assert_close(model(ids), alone)


@each_model
def test_the_next_token_probabilities_sum_to_1(model):
    torch.testing.assert_close(model(random_rows()).softmax(-1).sum(-1), torch.ones(5, 8))


@each_model
def test_losses_and_metrics_take_it_as_they_take_a_gpt(model):
    rows = random_rows()
    rows[2, 5:] = IGNORED
    assert story_cross_entropy(model, rows).value == pytest.approx(causal_loss(model, rows).item(), abs=1e-5)


@each_model
@pytest.mark.parametrize("shape", [(5,), (0, 3), (3, 0), (1, 2, 3)])
def test_ids_of_another_rank_are_refused_with_their_shape(model, shape):
    with pytest.raises(ValueError, match=r"ids must be \(batch, length\), neither of them 0; got shape ") as refusal:
        model(torch.zeros(shape, dtype=torch.long))
    assert str(shape) in str(refusal.value)


@each_model
@pytest.mark.parametrize("bad", [-1, V, 99])
def test_an_id_outside_the_vocabulary_is_refused(model, bad):
    ids = random_rows()
    ids[3, 2] = bad
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary, 0 to 6"):
        model(ids)


@each_neural
@pytest.mark.parametrize("size", ["vocab_size", "d_model", "d_hidden"])
def test_a_size_below_1_is_refused(name, size):
    config = CONFIGS[name]
    with pytest.raises(ValueError, match=f"{size} must be at least 1; got 0"):
        type(config)(**{**vars(config), size: 0})


@each_neural
def test_a_short_text_is_learned_by_heart(name):
    torch.manual_seed(0)
    config = CONFIGS[name]
    model = MODELS[type(config)](config)
    row = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 0, 2, 4, 6, 1, 3, 5]])
    history = fit(
        model,
        [row],
        steps=150,
        learning_rate=0.05,
        optimization=Optimization(weight_decay=0.0),
        runtime=Runtime(device="cpu"),
        progress=False,
    )
    assert history.loss[0] > 1.5
    assert history.loss[-1] < 0.05


@each_neural
def test_every_weight_is_used(name):
    model = make(name)
    causal_loss(model, random_rows()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


# Recurrent layers, against torch's

PAIRS = {"RNN": (ElmanLayer, nn.RNN), "LSTM": (LSTMLayer, nn.LSTM)}
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}

each_layer = pytest.mark.parametrize("name", PAIRS)
each_precision = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def with_the_same_weights(name, dtype):
    """Our layer and torch's, which has two biases where one is enough."""
    ours, theirs = (kind(5, 9) for kind in PAIRS[name])
    ours.to(dtype), theirs.to(dtype)
    theirs.batch_first = True
    with torch.no_grad():
        ours.input.weight.copy_(theirs.weight_ih_l0)
        ours.recurrent.weight.copy_(theirs.weight_hh_l0)
        ours.input.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)
    return ours, theirs


def output_and_gradients(run, layer, x):
    x = x.clone().requires_grad_()
    output = run(x)
    (output * torch.linspace(-1, 1, output.numel(), dtype=x.dtype).view_as(output)).mean().backward()
    return output, x.grad, [p.grad for p in layer.parameters()]


@each_layer
@each_precision
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 20)])
def test_a_recurrent_layer_has_the_numbers_and_gradients_of_torchs(name, dtype, batch, length):
    torch.manual_seed(0)
    ours, theirs = with_the_same_weights(name, dtype)
    x = torch.randn(batch, length, 5, dtype=dtype)
    output, into_x, (weight, bias, recurrent) = output_and_gradients(ours, ours, x)
    expected = output_and_gradients(lambda x: theirs(x)[0], theirs, x)
    of = dict(zip(dict(theirs.named_parameters()), expected[2], strict=True))
    same = {"rtol": 0, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(output, expected[0], **same)
    torch.testing.assert_close(into_x, expected[1], **same)
    torch.testing.assert_close(weight, of["weight_ih_l0"], **same)
    torch.testing.assert_close(recurrent, of["weight_hh_l0"], **same)
    torch.testing.assert_close(bias, of["bias_ih_l0"], **same)


@each_precision
def test_the_lstm_by_hand_has_the_numbers_and_gradients_of_the_kernel(dtype):
    torch.manual_seed(0)
    layer, x = LSTMLayer(5, 9).to(dtype), torch.randn(3, 20, 5, dtype=dtype)
    fast, into_x, weights = output_and_gradients(layer, layer, x)
    layer.zero_grad()
    by_hand, x_by_hand, weights_by_hand = output_and_gradients(lambda x: layer.by_hand(x)[0], layer, x)
    same = {"rtol": 0, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(by_hand, fast, **same)
    torch.testing.assert_close(x_by_hand, into_x, **same)
    torch.testing.assert_close(weights_by_hand, weights, **same)


def test_the_gates_are_shares_and_explain_the_cell():
    torch.manual_seed(0)
    layer, x = LSTMLayer(5, 9), torch.randn(2, 6, 5)
    state, gates = layer.by_hand(x)
    assert all(((gates[name] > 0) & (gates[name] < 1)).all() for name in ("write", "keep", "read"))
    torch.testing.assert_close(state, gates["read"] * gates["cell"].tanh())
    written = gates["cell"][:, 1:] - gates["keep"][:, 1:] * gates["cell"][:, :-1]
    assert (written.abs() <= gates["write"][:, 1:] + 1e-6).all()


def test_an_open_forget_gate_keeps_the_cell():
    layer, x = LSTMLayer(2, 3), torch.zeros(1, 50, 2)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.input.bias[:3] = torch.tensor([-20.0, 0.0, 20.0])  # the first cell is never written
        layer.input.bias[3:6] = 20.0  # keep all
        layer.input.bias[6:9] = 0.01
    cell = layer.by_hand(x)[1]["cell"][0]  # (length, 3)
    assert cell[:, 0].abs().max() < 1e-6
    torch.testing.assert_close(cell[:, 2], 0.01 * torch.arange(1.0, 51.0), rtol=1e-3, atol=0)


def test_a_new_lstm_keeps_more_than_half_at_each_step():
    torch.manual_seed(0)
    gates = LSTMLayer(8, 64).by_hand(torch.randn(4, 10, 8))[1]
    assert gates["keep"].mean() > 0.65 > 0.6 > gates["write"].mean()


# The feed-forward model, against its formula


def test_the_feed_forward_model_is_bengios_equation_1():
    model = make("feed-forward")
    ids = random_rows(1, 8)
    C, H, d = model.token_embedding.weight, model.hidden.weight, model.hidden.bias
    U, b = model.output.weight, model.output.bias
    for position in range(2, 8):
        x = torch.cat([C[i] for i in ids[0, position - 2 : position + 1]])
        y = b + U @ torch.tanh(d + H @ x)
        torch.testing.assert_close(model(ids)[0, position], y)


def test_the_feed_forward_model_sees_n_minus_1_tokens_and_no_more():
    model = make("feed-forward")
    ids = random_rows()
    changed = ids.clone()
    changed[:, 2] = (ids[:, 2] + 1) % V
    moved = (model(changed) - model(ids)).abs().amax((0, 2)) > 0
    assert moved.tolist() == [False, False, True, True, True, False, False, False]


def test_an_order_that_sees_nothing_is_refused():
    with pytest.raises(ValueError, match="order must be at least 2, one token to look at; got 1"):
        FeedForwardLMConfig(V, order=1, d_model=5, d_hidden=9)


# n-grams, against dictionaries


def grams(rows, k):
    """Every run of k tokens of every row that ends in a token to be predicted, and whether it begins its row."""
    for row in rows:
        row = [token for token in row.tolist() if token != IGNORED]
        for start in range(len(row) - k + 1):
            if start + k > 1:
                yield tuple(row[start : start + k]), start == 0


def kneser_ney_by_hand(rows, order, history, token):
    """The formula, with dictionaries and recursion."""

    def counts(k):
        if k == order:
            return Counter(gram for gram, _ in grams(rows, k))
        longer = Counter(gram[1:] for gram in {gram for gram, _ in grams(rows, k + 1)})
        return longer + Counter(gram for gram, starts in grams(rows, k) if starts)

    def probability(history, k):
        if k == 0:
            return 1 / V
        lower = probability(history[1:], k - 1)
        count = counts(k)
        following = {gram: c for gram, c in count.items() if gram[:-1] == history}
        if len(history) < k - 1 or not following:
            return probability(history[-(k - 2) :] if k > 2 else (), k - 1)
        once, twice = (sum(c == n for c in count.values()) for n in (1, 2))
        discount = (once + 1) / (once + 2 * twice + 2)
        total = sum(following.values())
        return max(count[(*history, token)] - discount, 0) / total + discount * len(following) / total * lower

    return probability(tuple(history[-(order - 1) :]) if order > 1 else (), order)


def add_k_by_hand(rows, order, history, token, k):
    history = tuple(history[-(order - 1) :]) if order > 1 else ()
    count = Counter(gram for gram, _ in grams(rows, len(history) + 1))
    total = sum(c for gram, c in count.items() if gram[:-1] == history)
    return (count[(*history, token)] + k) / (total + k * V)


def padded_text():
    rows = TEXT.clone()
    rows[1, 6:], rows[4, 2:] = IGNORED, IGNORED
    return rows


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("by_hand", [kneser_ney_by_hand, add_k_by_hand])
def test_an_ngram_model_is_its_formula(order, by_hand):
    smoothing, extra = ("kneser-ney", ()) if by_hand is kneser_ney_by_hand else ("add-k", (0.5,))
    model = NGram(NGramConfig(V, order, smoothing, add_k=0.5)).count(padded_text())
    ids = torch.cat([random_rows(2, 6), TEXT[:1, :6]])
    for row, logits in zip(ids.tolist(), model(ids), strict=True):
        for position, token in itertools.product(range(6), range(V)):
            expected = by_hand(padded_text(), order, row[: position + 1], token, *extra)
            assert logits[position, token].exp().item() == pytest.approx(expected, rel=1e-5)


texts = st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=9), min_size=1, max_size=5)
smoothings = st.sampled_from(["kneser-ney", "add-k"])


def as_rows(lists):
    tensors = [torch.tensor(numbers) for numbers in lists]
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=IGNORED)


@PATIENT
@given(texts.filter(lambda t: any(len(row) > 1 for row in t)), st.integers(1, 6), smoothings, st.integers(0, 99))
def test_whatever_was_counted_all_probabilities_are_above_0_and_sum_to_1(text, order, smoothing, seed):
    model = NGram(NGramConfig(V, order, smoothing)).count(as_rows(text))
    probabilities = model(random_rows(3, 7, seed)).exp()
    assert (probabilities > 0).all()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(3, 7), rtol=0, atol=1e-6)


@pytest.mark.parametrize("smoothing", ["kneser-ney", "add-k"])
def test_the_short_way_to_the_log_probabilities_gives_the_same(smoothing):
    model = NGram(NGramConfig(V, 3, smoothing)).count(TEXT)
    rows = padded_text()
    full = model(rows.clamp(min=0))[:, :-1].gather(-1, rows[:, 1:, None].clamp(min=0))[..., 0]
    expected = full.masked_fill(rows[:, 1:] == IGNORED, torch.nan)
    torch.testing.assert_close(model.log_probs(rows), expected, equal_nan=True)


def test_a_history_that_was_never_seen_leaves_kneser_ney_with_the_shorter_one():
    model = NGram(NGramConfig(V, 3)).count(torch.tensor([[0, 1, 2, 3, 1, 4]]))
    unseen, seen = torch.tensor([[0, 5, 1]]), torch.tensor([[5, 0, 1]])
    pair = model(torch.tensor([[1]]))[0, -1]
    torch.testing.assert_close(model(unseen)[0, -1], pair)
    assert not torch.allclose(model(seen)[0, -1], pair)


def test_a_history_that_was_never_seen_leaves_add_k_with_nothing():
    model = NGram(NGramConfig(V, 3, "add-k")).count(torch.tensor([[0, 1, 2, 3, 1, 4]]))
    torch.testing.assert_close(model(torch.tensor([[5, 6]]))[0, -1].exp(), torch.full((V,), 1 / V))


def test_a_token_that_follows_everything_is_likelier_in_a_new_place_than_one_that_follows_one():
    """Why Kneser and Ney count the different tokens before: "york" is frequent, but only after "new"."""
    new, york, the, rest = 0, 1, 2, (3, 4, 5)
    rows = [[6, new, york]] * 9 + [[6, other, the] for other in rest] * 3
    model = NGram(NGramConfig(V, 2)).count(torch.tensor(rows))
    unknown = model(torch.tensor([[the]]))[0, -1]
    assert unknown[the] > unknown[york]


def test_how_much_history_was_seen_is_told():
    model = NGram(NGramConfig(V, 4)).count(torch.tensor([[0, 1, 2, 3, 4]]))
    assert model.longest_context(torch.tensor([[0, 1, 2, 3, 6, 2], [1, 1, 2, 4, 4, 0]])).tolist() == [
        [1, 2, 3, 3, 0, 1],
        [1, 1, 2, 0, 0, 1],  # 4 was seen, but nothing ever followed it
    ]


def test_the_first_token_of_a_row_is_given_not_predicted():
    counted = NGram(NGramConfig(V, 1, "add-k", add_k=1e-6)).count(torch.tensor([[0, 1, 1, 2], [0, 2, 1, 1]]))
    assert counted(torch.tensor([[3]]))[0, 0].exp()[:3].tolist() == pytest.approx([0, 4 / 6, 2 / 6], abs=1e-5)


def test_no_gram_reaches_from_one_row_into_the_next():
    model = NGram(NGramConfig(V, 2, "add-k", add_k=1e-6)).count(torch.tensor([[0, 1], [2, 3]]))
    assert model(torch.tensor([[1]]))[0, 0].exp().tolist() == pytest.approx([1 / V] * V)


def test_counting_again_forgets_what_was_counted():
    once = NGram(NGramConfig(V, 3)).count(TEXT)
    twice = NGram(NGramConfig(V, 3)).count(random_rows()).count(TEXT)
    assert torch.equal(once(TEXT), twice(TEXT))


def test_the_order_of_the_rows_does_not_matter():
    model, turned = (NGram(NGramConfig(V, 4)).count(rows) for rows in (padded_text(), padded_text().flip(0)))
    assert torch.equal(model(TEXT), turned(TEXT))


def test_the_counts_move_with_the_model():
    moved = list(NGram(NGramConfig(V, 2)).count(TEXT).to("meta").buffers())
    assert moved
    assert all(tensor.is_meta for tensor in moved)


def test_a_large_vocabulary_and_a_high_order_do_not_collide():
    rows = torch.randint(50257, (1, 2000), generator=torch.Generator().manual_seed(0))
    model = NGram(NGramConfig(50257, 9)).count(rows.repeat(2, 1))
    assert model.log_probs(rows)[0, 9:].exp().min() > 0.99  # nothing else ever followed the same history


def test_a_million_tokens_are_counted_in_seconds():
    tokens = torch.randint(1024, (1, 1_000_000), generator=torch.Generator().manual_seed(0)) // 3
    started = time.process_time()
    model = NGram(NGramConfig(1024, 3)).count(tokens)
    model.log_probs(tokens[:, :100_000])
    assert time.process_time() - started < 5


def test_better_smoothing_is_worth_more_than_a_longer_history():
    """Where words have their own frequencies, as in a language, and the text is short."""
    generator = torch.Generator().manual_seed(0)
    frequency = 1 / torch.arange(1.0, 31.0)
    chain = frequency * torch.rand(30, 30, 30, generator=generator).pow(12)

    def text(length):
        ids = [0, 1]
        for _ in range(length):
            ids.append(int(torch.multinomial(chain[ids[-2], ids[-1]], 1, generator=generator)))
        return torch.tensor([ids])

    training, test = text(3000), text(2000)
    loss = {
        (smoothing, order): -NGram(NGramConfig(30, order, smoothing)).count(training).log_probs(test).mean().item()
        for smoothing in ("kneser-ney", "add-k")
        for order in (3, 6)
    }
    assert loss["kneser-ney", 3] < loss["add-k", 3] - 0.1
    assert loss["add-k", 6] > loss["add-k", 3] + 0.1  # most histories were never seen
    assert loss["kneser-ney", 6] < loss["kneser-ney", 3] + 0.1


def test_nothing_counted_is_told():
    with pytest.raises(RuntimeError, match=r"this model has no counts yet: call count\(rows\) first"):
        NGram(NGramConfig(V, 2))(TEXT)


@pytest.mark.parametrize("rows", [torch.zeros(3, 1).long(), torch.tensor([[1, IGNORED], [2, IGNORED]])])
def test_rows_with_nothing_to_predict_are_refused(rows):
    with pytest.raises(ValueError, match="rows must have a token after the first; got shape"):
        NGram(NGramConfig(V, 2)).count(rows)


def test_counting_an_id_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="token id 7 is outside the vocabulary, 0 to 6"):
        NGram(NGramConfig(V, 2)).count(torch.tensor([[0, V]]))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"order": 0}, "order must be at least 1; got 0"),
        ({"vocab_size": 0}, "vocab_size must be at least 1; got 0"),
        ({"smoothing": "katz"}, "smoothing must be 'kneser-ney' or 'add-k'; got 'katz'"),
        ({"add_k": 0.0}, "add_k must be above 0, or unseen tokens have no probability; got 0.0"),
        ({"add_k": math.nan}, "add_k must be above 0, or unseen tokens have no probability; got nan"),
    ],
)
def test_a_setting_outside_its_range_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        NGramConfig(**{"vocab_size": V, "order": 2} | setting)


def test_a_stream_of_windows_can_be_counted_too():
    windows = next(random_windows(TEXT.flatten(), batch_size=8, length=5))
    assert NGram(NGramConfig(V, 2)).count(windows)(TEXT).isfinite().all()
