"""Cross-entropy scores each token once, over a text or over stories, and the gap to the floor is what a model loses."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT, random_ids, tiny_gpt
from torch import nn

from companion.data.batch import IGNORED
from companion.losses import causal_loss
from companion.metrics.language_model import (
    Estimate,
    bits_per_character,
    cross_entropy,
    excess_nll,
    padded_like,
    per_token,
    perplexity,
    story_cross_entropy,
    token_nll,
)
from companion.models.baselines import NGram, NGramConfig


def surprisals_by_hand(model, stream, window):
    """Each token's -log p, its window's earlier tokens given, one forward pass a token."""
    for position in range(1, len(stream)):
        start = (position - 1) // window * window
        logits = model(stream[None, start:position])[0, -1]
        yield -logits.log_softmax(-1)[stream[position]].item()


@pytest.mark.parametrize("tokens", [2, 9, 16, 17, 18, 33, 50])
def test_every_token_but_the_first_is_scored_once(tokens):
    model = tiny_gpt()
    stream = random_ids(model, 1, tokens)[0]
    expected = list(surprisals_by_hand(model, stream, model.config.context_length))
    assert len(expected) == tokens - 1
    assert cross_entropy(model, stream) == pytest.approx(sum(expected) / len(expected), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_the_batch_size_does_not_matter(batch_size):
    model = tiny_gpt()
    stream = random_ids(model, 1, 100)[0]
    assert cross_entropy(model, stream, batch_size) == pytest.approx(cross_entropy(model, stream), abs=1e-6)


def test_the_mode_of_the_model_is_left_alone():
    model = tiny_gpt().train()
    cross_entropy(model, random_ids(model, 1, 9)[0])
    assert model.training


@pytest.mark.parametrize("shape", [(0,), (1,), (1, 9)])
def test_a_stream_without_anything_to_predict_is_refused(shape):
    with pytest.raises(ValueError, match=r"stream must be \(tokens >= 2,\); got shape \("):
        cross_entropy(tiny_gpt(), torch.zeros(shape, dtype=torch.long))


def test_windows_may_be_shorter_than_the_context():
    model = tiny_gpt()
    stream = random_ids(model, 1, 50)[0]
    expected = list(surprisals_by_hand(model, stream, 5))
    assert cross_entropy(model, stream, length=5) == pytest.approx(sum(expected) / len(expected), abs=1e-5)


def test_a_model_without_a_context_length_is_told_one():
    stream = torch.randint(7, (300,), generator=torch.Generator().manual_seed(0))
    model = NGram(NGramConfig(vocab_size=7, order=2)).count(stream[None])
    whole = -model.log_probs(stream[None]).mean().item()
    assert cross_entropy(model, stream, length=299) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("length", [None, 0])
def test_a_model_without_a_context_length_must_be_told_one(length):
    stream = torch.zeros(9, dtype=torch.long)
    model = NGram(NGramConfig(vocab_size=7, order=2)).count(stream[None])
    with pytest.raises(ValueError, match=f"NGram has no context_length: give a length of at least 1; got {length}"):
        cross_entropy(model, stream, length=length)


def test_a_uniform_guess_among_n_has_perplexity_n():
    assert perplexity(math.log(50)) == pytest.approx(50)


def test_one_bit_a_token_over_half_as_many_tokens_as_characters_is_half_a_bit():
    assert bits_per_character(math.log(2), tokens=10, characters=20) == pytest.approx(0.5)


def test_a_text_without_characters_is_refused():
    with pytest.raises(ValueError, match="at least 1 character; got 0"):
        bits_per_character(1.0, tokens=0, characters=0)


# Stories


def stories(model, lengths, seed=0):
    """Random rows of the given lengths, padded."""
    rows = torch.full((len(lengths), max(lengths)), IGNORED)
    for number, length in enumerate(lengths):
        rows[number, :length] = random_ids(model, 1, length, seed=seed + number)[0]
    return rows


LENGTHS = [5, 12, 2, 9]


def test_surprisals_are_those_of_each_story_alone():
    model = tiny_gpt()
    rows = stories(model, LENGTHS)
    for nats, row, length in zip(token_nll(model, rows, batch_size=3), rows, LENGTHS, strict=True):
        expected = list(surprisals_by_hand(model, row[:length], 16))
        assert nats[: length - 1].tolist() == pytest.approx(expected, abs=1e-5)


def test_padding_has_no_surprisal():
    model = tiny_gpt()
    nats = token_nll(model, stories(model, LENGTHS))
    assert (~nats.isnan()).sum(1).tolist() == [length - 1 for length in LENGTHS]


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_the_cross_entropy_over_stories_is_the_causal_loss_of_all(batch_size):
    model = tiny_gpt()
    rows = stories(model, LENGTHS)
    assert story_cross_entropy(model, rows, batch_size).value == pytest.approx(
        causal_loss(model, rows).item(), abs=1e-6
    )


def test_a_model_without_parameters_is_scored_where_it_is():
    model = Unlearnt()
    assert story_cross_entropy(model, stories(tiny_gpt(), LENGTHS)).value == pytest.approx(math.log(31))


class Unlearnt(nn.Module):
    """A uniform guess among 31 tokens."""

    def forward(self, ids):
        return torch.zeros(*ids.shape, 31)


# Standard errors


def test_the_standard_error_of_equally_long_stories_is_that_of_their_means():
    nats = torch.rand(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    estimate = per_token(nats)
    assert estimate.value == pytest.approx(nats.mean().item())
    assert estimate.standard_error == pytest.approx(nats.mean(1).std().item() / math.sqrt(50))


def test_the_standard_error_is_the_spread_of_repeated_measurements():
    """Stories of different lengths, whose tokens share what makes a story hard."""
    generator = torch.Generator().manual_seed(0)
    estimates = []
    for _ in range(400):
        hard = torch.rand(60, 1, generator=generator)
        nats = hard + 0.1 * torch.rand(60, 20, generator=generator)
        length = torch.randint(1, 21, (60, 1), generator=generator)
        estimates.append(per_token(nats.masked_fill(torch.arange(20) >= length, torch.nan)))
    spread = torch.tensor([e.value for e in estimates]).std().item()
    claimed = sum(e.standard_error for e in estimates) / len(estimates)
    assert claimed == pytest.approx(spread, rel=0.1)


@PATIENT
@given(st.lists(st.integers(1, 6), min_size=2, max_size=8), st.integers(0, 99))
def test_the_mean_is_over_tokens_not_over_stories(lengths, seed):
    rows = [torch.rand(n, generator=torch.Generator().manual_seed(seed + n)) for n in lengths]
    nats = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)
    assert per_token(nats).value == pytest.approx(torch.cat(rows).mean().item(), abs=1e-6)


def test_stories_that_are_all_alike_leave_no_doubt():
    assert per_token(torch.full((9, 4), 0.5)) == Estimate(0.5, 0.0)


def test_an_estimate_is_shown_with_its_error():
    assert str(Estimate(0.52345, 0.00412)) == "0.523 ± 0.004"


@pytest.mark.parametrize("nats", [torch.zeros(1, 5), torch.full((3, 2), torch.nan), torch.zeros(4)])
def test_too_little_to_estimate_is_refused(nats):
    with pytest.raises(ValueError, match="an estimate needs at least 2 stories with tokens; got shape"):
        per_token(nats)


# The gap to the floor


class Process(nn.Module):
    """A first-order chain over 5 tokens whose probabilities are known; ``skill`` below 1 blurs them."""

    def __init__(self, skill=1.0):
        super().__init__()
        chain = torch.rand(5, 5, generator=torch.Generator().manual_seed(0)).square()
        self.chain = chain / chain.sum(1, keepdim=True)
        self.guess = skill * self.chain + (1 - skill) / 5

    def forward(self, ids):
        return self.guess[ids].log()

    def tell(self, count, seed=0):
        """Rows of different lengths, and the exact log-probability of each of their tokens."""
        generator = torch.Generator().manual_seed(seed)
        rows, exact = torch.full((count, 21), IGNORED), []
        for row in rows:
            length = int(torch.randint(5, 21, (1,), generator=generator))
            row[0], numbers = 0, []
            for place in range(length):
                chances = self.chain[row[place]]
                row[place + 1] = torch.multinomial(chances, 1, generator=generator)
                numbers.append(chances[row[place + 1]].log().item())
            exact.append(numbers)
        return rows, exact


def test_the_process_itself_has_no_gap():
    rows, exact = Process().tell(30)
    gap = excess_nll(Process(), rows, exact)
    assert gap.value == pytest.approx(0, abs=1e-6)
    assert gap.standard_error == pytest.approx(0, abs=1e-6)


def test_the_gap_is_the_cross_entropy_minus_the_floor():
    rows, exact = Process().tell(30)
    model = Process(skill=0.7)
    floor = per_token(-padded_like(rows, exact)).value
    gap = excess_nll(model, rows, exact, batch_size=7)
    assert gap.value == pytest.approx(story_cross_entropy(model, rows).value - floor, abs=1e-6)


def test_pairing_takes_out_what_makes_a_story_hard_for_both():
    rows, exact = Process().tell(200)
    model = Process(skill=0.9)
    gap, alone = excess_nll(model, rows, exact), story_cross_entropy(model, rows)
    assert gap.value > 3 * gap.standard_error
    assert gap.standard_error < alone.standard_error / 2


def test_numbers_for_another_number_of_tokens_are_refused():
    rows, exact = Process().tell(3)
    tokens = len(exact[1])
    exact[1] = exact[1][:-1]
    with pytest.raises(ValueError, match=f"got {tokens} tokens after the first and {tokens - 1} numbers for row 1"):
        excess_nll(Process(), rows, exact)


def test_numbers_for_another_number_of_rows_are_refused():
    rows, exact = Process().tell(3)
    with pytest.raises(ValueError, match="got 3 rows and 2 lists of numbers"):
        excess_nll(Process(), rows, exact[:2])


@pytest.mark.parametrize("function", [cross_entropy, token_nll])
def test_a_batch_size_below_one_is_refused(function):
    ids = random_ids(tiny_gpt(), 2, 9)
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        function(tiny_gpt(), ids[0] if function is cross_entropy else ids, batch_size=0)


def test_a_perplexity_beyond_every_float_is_infinite():
    assert perplexity(1e9) == math.inf


def test_a_model_without_numbers_has_no_cross_entropy():
    model = tiny_gpt()
    with torch.no_grad():
        model.final_norm.weight[0] = torch.nan
    with pytest.raises(FloatingPointError, match="the cross-entropy is nan: so are logits of this GPT"):
        cross_entropy(model, torch.arange(9))


def test_the_perplexity_of_what_is_no_number_is_none():
    assert math.isnan(perplexity(math.nan))
    assert perplexity(1e9) == perplexity(math.inf) == math.inf


@pytest.mark.parametrize("size", [0, -1, 1.5, "2", True])
def test_a_batch_size_that_cannot_be_is_refused(size):
    with pytest.raises(ValueError, match="batch_size must be"):
        cross_entropy(tiny_gpt(), torch.arange(9), batch_size=size)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize(
    "score",
    [
        lambda model, rows: cross_entropy(model, rows.flatten()),
        token_nll,
        story_cross_entropy,
        lambda model, rows: excess_nll(model, rows, [[-1.0] * 5] * 3),
    ],
    ids=["cross_entropy", "token_nll", "story_cross_entropy", "excess_nll"],
)
def test_logits_that_are_no_numbers_are_not_taken_for_padding(score, bad):
    model = tiny_gpt()
    rows = random_ids(model, 3, 6)
    model.final_norm.register_forward_hook(lambda _, __, output: output * bad)
    with pytest.raises(FloatingPointError, match="is nan: so are logits of this GPT"):
        score(model, rows)


def test_one_position_that_is_no_number_is_enough():
    model, rows = tiny_gpt(), random_ids(tiny_gpt(), 3, 6)
    rows[1, 4:] = IGNORED

    def spoil(_, __, output):
        output = output.clone()
        output[1, place] = torch.nan
        return output

    hook = model.final_norm.register_forward_hook(spoil)
    place = 2
    with pytest.raises(FloatingPointError, match="the NLL of a token is nan"):
        token_nll(model, rows)
    place = 4  # padding, of which nothing is asked
    assert token_nll(model, rows).isnan().sum() == 2
    hook.remove()
