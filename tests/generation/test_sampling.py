"""Generated text is what the model's probabilities say, with a cache or without."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT, random_ids, tiny_gpt, tiny_transformer

from companion.data.batch import padded
from companion.generation import GREEDY, BeamSearch, Sampling, generate
from companion.generation.sampling import left_padded, next_token_probabilities
from companion.losses import causal_loss


@pytest.fixture(scope="module")
def model():
    return tiny_gpt()


@pytest.fixture
def prompts(model):
    return random_ids(model, 3, 4)


SETTINGS = [
    Sampling(temperature=0, seed=3),
    Sampling(seed=3),
    Sampling(temperature=0.7, top_k=5, seed=3),
    Sampling(top_p=0.8, seed=3),
    Sampling(temperature=1.3, top_k=20, top_p=0.9, seed=3),
]


# The distribution

LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=12).map(torch.tensor)


@settings(PATIENT, max_examples=100)
@given(
    logits=LOGITS,
    temperature=st.just(0) | st.floats(1e-3, 4),
    top_k=st.none() | st.integers(1, 15),
    top_p=st.none() | st.floats(0.01, 1),
    min_p=st.none() | st.floats(0, 1),
)
def test_probabilities_sum_to_one(logits, temperature, top_k, top_p, min_p):
    probabilities = next_token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    assert probabilities.shape == logits.shape
    assert (probabilities >= 0).all()
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)


@settings(PATIENT, max_examples=100)
@given(logits=LOGITS, top_p=st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_set_that_reaches_p(logits, top_p):
    full = logits.softmax(-1)
    kept = next_token_probabilities(logits, top_p=top_p) > 0
    mass = full[kept].sum().item()
    assert mass >= top_p - 1e-6
    assert mass - full[kept].min().item() < top_p + 1e-6
    if not kept.all():
        assert full[kept].min() >= full[~kept].max()


@settings(PATIENT, max_examples=50)
@given(logits=LOGITS, top_k=st.integers(1, 15))
def test_top_k_keeps_the_k_likeliest(logits, top_k):
    kept = next_token_probabilities(logits, top_k=top_k) > 0
    assert kept.sum() == min(top_k, len(logits))
    if not kept.all():
        assert logits[kept].min() >= logits[~kept].max()


@settings(PATIENT, max_examples=50)
@given(logits=LOGITS, min_p=st.floats(0.01, 0.99))
def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest(logits, min_p):
    full = logits.softmax(-1)
    kept = next_token_probabilities(logits, min_p=min_p) > 0
    assert full[kept].min() >= (min_p - 1e-6) * full.max()
    if not kept.all():
        assert full[~kept].max() < (min_p + 1e-6) * full.max()


def test_min_p_asks_after_the_temperature_and_of_what_top_p_left():
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()
    assert next_token_probabilities(logits, min_p=0.4).count_nonzero() == 2
    assert next_token_probabilities(logits, min_p=0.4, temperature=2).count_nonzero() == 4
    assert next_token_probabilities(logits, min_p=0.1, top_p=0.9).count_nonzero() == 3


def test_logits_that_differ_by_less_than_a_rounding_keep_their_order():
    logits = torch.tensor([5.0, 0.0, 1.77e-16])
    assert next_token_probabilities(logits, top_k=2).gt(0).tolist() == [True, False, True]


def test_what_is_kept_keeps_its_proportions():
    logits = torch.tensor([1.0, 3.0, 2.0, -1.0])
    kept = next_token_probabilities(logits, top_k=2)
    assert (kept[1] / kept[2]).item() == pytest.approx(torch.tensor(1.0).exp().item())


def test_temperature_divides_the_logits():
    logits = torch.tensor([1.0, 3.0, 2.0])
    torch.testing.assert_close(next_token_probabilities(logits, temperature=0.5), (2 * logits).softmax(-1))


def test_without_settings_it_is_the_softmax():
    logits = torch.randn(3, 50)
    torch.testing.assert_close(next_token_probabilities(logits), logits.softmax(-1))


def test_top_p_of_one_keeps_every_token():
    logits = torch.zeros(5000)
    torch.testing.assert_close(next_token_probabilities(logits, top_p=1.0), logits.softmax(-1))


def test_each_row_is_treated_for_itself():
    logits = torch.randn(2, 3, 9)
    rows = [next_token_probabilities(row, top_k=4, top_p=0.7) for row in logits.flatten(0, 1)]
    torch.testing.assert_close(next_token_probabilities(logits, top_k=4, top_p=0.7).flatten(0, 1), torch.stack(rows))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"temperature": -0.1}, r"temperature must be 0 \(greedy\) or more, and finite; got -0.1"),
        ({"temperature": float("nan")}, r"temperature must be 0 \(greedy\) or more, and finite; got nan"),
        ({"top_k": 0}, "top_k must be at least 1; got 0"),
        ({"top_k": 1.5}, "top_k must be an integer, or None; got 1.5"),
        ({"temperature": torch.inf}, "temperature must be 0 .greedy. or more, and finite; got inf"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]; got 0.0"),
        ({"min_p": -0.1}, r"min_p must be in \[0, 1\]; got -0.1"),
        ({"min_p": float("nan")}, r"min_p must be in \[0, 1\]; got nan"),
        ({"top_p": 1.01}, r"top_p must be in \(0, 1\]; got 1.01"),
    ],
)
def test_settings_outside_their_range_are_refused(setting, words):
    with pytest.raises(ValueError, match=words):
        next_token_probabilities(torch.zeros(4), **setting)
    with pytest.raises(ValueError, match=words):
        Sampling(**setting)


# The text


def test_greedy_is_the_argmax_step_by_step(model, prompts):
    expected = prompts
    for _ in range(8):
        expected = torch.cat([expected, model(expected)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(generate(model, prompts, 8, decoding=GREEDY), expected)


@pytest.mark.parametrize("how", SETTINGS, ids=str)
def test_the_cache_changes_nothing(model, prompts, how):
    cached = generate(model, prompts, 12, decoding=how)
    assert torch.equal(cached, generate(model, prompts, 12, decoding=how, use_cache=False))


def test_the_same_seed_gives_the_same_text_and_another_one_another(model, prompts):
    first = generate(model, prompts, 12, decoding=Sampling(seed=1))
    assert torch.equal(generate(model, prompts, 12, decoding=Sampling(seed=1)), first)
    assert not torch.equal(generate(model, prompts, 12, decoding=Sampling(seed=2)), first)


def test_a_seed_leaves_the_global_random_state_alone(model, prompts):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    generate(model, prompts, 4, decoding=Sampling(seed=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_the_global_random_state_decides(model, prompts):
    torch.manual_seed(0)
    first = generate(model, prompts, 12)
    assert not torch.equal(generate(model, prompts, 12), first)
    torch.manual_seed(0)
    assert torch.equal(generate(model, prompts, 12), first)


@pytest.mark.parametrize("how", [Sampling(top_k=1), Sampling(top_p=1e-6), Sampling(temperature=1e-4)], ids=str)
def test_settings_that_leave_one_choice_are_greedy(model, prompts, how):
    assert torch.equal(generate(model, prompts, 10, decoding=how), generate(model, prompts, 10, decoding=GREEDY))


def test_tokens_are_drawn_as_often_as_they_are_likely(model):
    prompt = torch.tensor([[1, 2, 3]])
    drawn = generate(model, prompt.expand(20_000, -1), 1, decoding=Sampling(seed=0))[:, -1]
    frequency = torch.bincount(drawn, minlength=31) / len(drawn)
    torch.testing.assert_close(frequency, model(prompt)[0, -1].softmax(-1).detach(), atol=0.015, rtol=0)


def test_a_batch_gives_what_its_rows_give_alone(model, prompts):
    together = generate(model, prompts, 10, decoding=GREEDY)
    assert torch.equal(together, torch.cat([generate(model, row[None], 10, decoding=GREEDY) for row in prompts]))


def test_the_prompt_stays_and_max_new_tokens_are_added(model, prompts):
    ids = generate(model, prompts, 5, decoding=Sampling(seed=0))
    assert ids.shape == (3, 9)
    assert torch.equal(ids[:, :4], prompts)


def test_the_whole_context_can_be_filled(model, prompts):
    assert generate(model, prompts, 12, decoding=GREEDY).shape == (3, 16)


def test_a_row_ends_at_stop_and_is_filled_up_with_it(model, prompts):
    free = generate(model, prompts, 12, decoding=Sampling(seed=0))
    stop = free[0, 6].item()
    assert set(free[0, 7:].tolist()) != {stop}
    assert stop not in free[1, 4:]
    stopped = generate(model, prompts, 12, decoding=Sampling(seed=0), stop=stop)
    assert stopped[0].tolist() == free[0, :7].tolist() + [stop] * 9
    assert torch.equal(stopped[1], free[1])


def test_it_is_over_when_all_rows_have_ended(model, prompts):
    free = generate(model, prompts[:1], 12, decoding=GREEDY)
    stop = free[0, 6].item()
    expected = free[0, 4:].tolist().index(stop) + 1
    assert generate(model, prompts[:1], 12, decoding=GREEDY, stop=stop).shape == (1, 4 + expected)


def test_a_row_ends_at_any_of_several_stops_and_is_filled_up_with_the_first_of_them(model, prompts):
    free = generate(model, prompts, 12, decoding=Sampling(seed=0))
    stop = free[0, 6].item()
    absent = next(token for token in range(31) if token not in free)
    assert stop not in free[1, 4:]
    stopped = generate(model, prompts, 12, decoding=Sampling(seed=0), stop=[absent, stop])
    assert stopped[0].tolist() == free[0, :7].tolist() + [absent] * 9
    assert torch.equal(stopped[1], free[1])


@pytest.mark.parametrize("form", [list, tuple, set, frozenset, torch.tensor, np.array], ids=lambda form: form.__name__)
def test_stops_may_come_in_any_form(model, prompts, form):
    free = generate(model, prompts[:1], 6, decoding=GREEDY)[0, 4:].tolist()
    wanted = free[: free.index(free[2]) + 1]
    for stop in (form([free[2]]), torch.tensor(free[2]), np.int64(free[2])):
        assert generate(model, prompts[:1], 6, decoding=GREEDY, stop=stop)[0, 4:].tolist() == wanted


@pytest.mark.parametrize("stop", [-1, 31, 10**12, 2.0, True, "2", [2, 99], [2.5], ["a"], {"a": 2}], ids=str)
@pytest.mark.parametrize("how", [GREEDY, BeamSearch(2)], ids=str)
def test_a_stop_that_no_text_can_reach_is_refused(model, prompts, how, stop):
    with pytest.raises(ValueError, match="stop must be"):
        generate(model, prompts, 3, decoding=how, stop=stop)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, "all -inf"])
@pytest.mark.parametrize("how", [{}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.5}, {"min_p": 0.5}], ids=str)
def test_probabilities_of_logits_that_are_not_finite_are_refused(bad, how):
    logits = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]])
    logits[1] = -torch.inf if bad == "all -inf" else torch.tensor([1.0, bad, 0.0])
    with pytest.raises(FloatingPointError, match="logits must be finite; the largest of row 1 is"):
        next_token_probabilities(logits, **how)


@pytest.mark.parametrize("bad", [None, 0, "greedy", {"beams": 2}], ids=str)
def test_a_decoding_of_another_kind_is_refused(model, prompts, bad):
    with pytest.raises(TypeError, match="decoding must be a Sampling or a BeamSearch; got"):
        generate(model, prompts, 3, decoding=bad)


@pytest.mark.parametrize("ids", [[[1, 2]], "ab", None, torch.ones(1, 2), torch.ones(1, 2).bool()], ids=str)
def test_a_prompt_that_is_no_tensor_of_integers_is_refused(model, ids):
    with pytest.raises(TypeError, match="ids must be .*integers"):
        generate(model, ids, 3)


@pytest.mark.parametrize("how", [GREEDY, BeamSearch(2)], ids=str)
def test_a_list_of_no_stops_is_refused(model, prompts, how):
    with pytest.raises(ValueError, match="stop must be a token id, or at least one of them; got none"):
        generate(model, prompts, 2, decoding=how, stop=[])


def test_a_stop_in_the_prompt_does_not_count(model):
    prompt = torch.tensor([[5, 5, 5]])
    token = generate(model, prompt, 1, decoding=GREEDY)[0, -1].item()
    assert generate(model, prompt, 1, decoding=GREEDY, stop=5)[0, -1].item() == token


def test_each_new_column_is_handed_over(model, prompts):
    columns = []
    ids = generate(model, prompts, 5, decoding=Sampling(seed=0), on_token=columns.append)
    assert torch.equal(torch.stack(columns, dim=1), ids[:, 4:])


@pytest.mark.parametrize("training", [False, True])
def test_dropout_is_off_and_the_mode_is_kept(prompts, training):
    model = tiny_gpt(dropout=0.5).train(training)
    ids = generate(model, prompts, 5, decoding=GREEDY)
    assert model.training == training
    assert torch.equal(ids, generate(model.eval(), prompts, 5, decoding=GREEDY))


def test_the_mode_is_kept_after_an_exception(prompts):
    model = tiny_gpt().train()
    with pytest.raises(ZeroDivisionError):
        generate(model, prompts, 5, on_token=lambda _: 1 / 0)
    assert model.training


def test_generated_text_can_be_trained_on(prompts):
    model = tiny_gpt()
    causal_loss(model, generate(model, prompts, 5, decoding=Sampling(seed=0))).backward()
    assert model.token_embedding.weight.grad is not None


def test_a_result_longer_than_the_context_is_refused(model, prompts):
    with pytest.raises(ValueError, match="4 prompt tokens and 13 new ones are 17; the context holds 16"):
        generate(model, prompts, 13)


@pytest.mark.parametrize("count", [0, -2])
def test_no_new_tokens_are_refused(model, prompts, count):
    with pytest.raises(ValueError, match=f"max_new_tokens must be at least 1; got {count}"):
        generate(model, prompts, count)


@pytest.mark.parametrize("shape", [(4,), (1, 0)])
def test_a_prompt_of_the_wrong_rank_or_without_tokens_is_refused(model, shape):
    with pytest.raises(ValueError, match=r"ids must be \(batch, length\), neither of them 0"):
        generate(model, torch.zeros(shape, dtype=torch.long), 2)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("how", [GREEDY, Sampling(seed=0), BeamSearch(2)], ids=str)
def test_logits_that_are_not_finite_are_refused(prompts, how, bad):
    model = tiny_gpt()
    with torch.no_grad():
        model.final_norm.bias.fill_(bad)
    with pytest.raises(FloatingPointError, match="logits must be finite; the largest of row 0 is nan"):
        generate(model, prompts, 4, decoding=how)


# Prompts of unequal length

PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 6, 5]]


def test_left_padded_prompts_end_together():
    ids, mask = left_padded([[7, 8, 9], [5]], value=2)
    assert ids.tolist() == [[7, 8, 9], [2, 2, 5]]
    assert mask.tolist() == [[True, True, True], [False, False, True]]


@pytest.mark.parametrize("prompts", [[], [[1], []]])
def test_no_prompt_or_an_empty_one_is_refused(prompts):
    with pytest.raises(ValueError, match="at least one row, and none of them empty"):
        left_padded(prompts)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("value", [0, 30])
def test_a_padded_prompt_gives_what_it_gives_alone(model, use_cache, value):
    ids, mask = left_padded(PROMPTS, value)
    together = generate(model, ids, 9, attention_mask=mask, decoding=GREEDY, use_cache=use_cache)
    for prompt, text in zip(PROMPTS, together, strict=True):
        alone = generate(model, torch.tensor([prompt]), 9, decoding=GREEDY)[0]
        assert text[-len(alone) :].tolist() == alone.tolist()


@pytest.mark.parametrize("how", SETTINGS, ids=str)
def test_the_cache_changes_nothing_for_padded_prompts(model, how):
    ids, mask = left_padded(PROMPTS)
    cached = generate(model, ids, 9, attention_mask=mask, decoding=how)
    assert torch.equal(cached, generate(model, ids, 9, attention_mask=mask, decoding=how, use_cache=False))


def test_a_mask_without_padding_changes_nothing(model, prompts):
    mask = torch.ones_like(prompts, dtype=torch.bool)
    assert torch.equal(
        generate(model, prompts, 9, attention_mask=mask, decoding=GREEDY), generate(model, prompts, 9, decoding=GREEDY)
    )


@pytest.mark.parametrize("how", [GREEDY, BeamSearch(2)], ids=str)
@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ([[True] * 3], ValueError, r"attention_mask must be \(batch, length\) = \(2, 4\); got \(1, 3\)"),
        ([[1] * 4] * 2, TypeError, "attention_mask must be boolean"),
        ([[True] * 4, [True, True, True, False]], ValueError, "padded on the left, .*; row 1 ends in padding"),
        ([[False] * 4, [True] * 4], ValueError, "at least one real token; row 0 of attention_mask has none"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(model, how, mask, error, words):
    with pytest.raises(error, match=words):
        generate(model, random_ids(model, 2, 4), 2, attention_mask=torch.tensor(mask), decoding=how)


def test_padding_counts_for_the_context(model):
    ids, mask = left_padded(PROMPTS)
    with pytest.raises(ValueError, match="5 prompt tokens and 12 new ones are 17; the context holds 16"):
        generate(model, ids, 12, attention_mask=mask)


# An encoder and a decoder


@pytest.fixture(scope="module")
def two_parts():
    return tiny_transformer()


def test_the_answer_begins_with_the_start_token_and_leaves_the_source_out(two_parts):
    answer = generate(two_parts, random_ids(two_parts, 3, 5), 7, decoding=Sampling(seed=0))
    assert answer.shape == (3, 8)
    assert (answer[:, 0] == two_parts.config.start_id).all()


def test_a_greedy_answer_is_the_argmax_step_by_step(two_parts):
    source = random_ids(two_parts, 3, 5)
    expected = torch.full((3, 1), two_parts.config.start_id)
    for _ in range(8):
        expected = torch.cat([expected, two_parts(source, expected)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(generate(two_parts, source, 8, decoding=GREEDY), expected)


@pytest.mark.parametrize("how", SETTINGS, ids=str)
def test_the_cache_changes_no_answer(two_parts, how):
    source = random_ids(two_parts, 3, 5)
    cached = generate(two_parts, source, 12, decoding=how)
    assert torch.equal(cached, generate(two_parts, source, 12, decoding=how, use_cache=False))


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("pad", [left_padded, padded], ids=["left", "right"])
def test_a_padded_source_is_answered_as_it_is_alone(two_parts, pad, use_cache):
    ids, mask = pad(PROMPTS)
    together = generate(two_parts, ids, 9, attention_mask=mask, decoding=GREEDY, use_cache=use_cache)
    for source, answer in zip(PROMPTS, together, strict=True):
        assert torch.equal(answer[None], generate(two_parts, torch.tensor([source]), 9, decoding=GREEDY))


def test_an_answer_ends_at_stop(two_parts):
    source = random_ids(two_parts, 1, 5)
    free = generate(two_parts, source, 12, decoding=GREEDY)[0, 1:].tolist()
    stop = free[5]
    assert generate(two_parts, source, 12, decoding=GREEDY, stop=stop)[0, 1:].tolist() == free[: free.index(stop) + 1]


def test_the_source_is_read_once(two_parts):
    runs = []
    handle = two_parts.encoder.register_forward_hook(lambda *_: runs.append(1))
    generate(two_parts, random_ids(two_parts, 2, 5), 6, decoding=GREEDY)
    handle.remove()
    assert len(runs) == 1


def test_an_answer_longer_than_the_context_is_refused(two_parts):
    source = random_ids(two_parts, 1, 16)
    assert generate(two_parts, source, 15).size(1) == 16
    with pytest.raises(ValueError, match="1 start token and 16 new ones are 17; the context holds 16"):
        generate(two_parts, source, 16)


def test_a_source_without_a_real_token_is_refused(two_parts):
    source = random_ids(two_parts, 2, 3)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    with pytest.raises(ValueError, match="at least one real token; row 1 of attention_mask has none"):
        generate(two_parts, source, 2, attention_mask=mask)


def test_the_lowest_temperature_is_nearly_greedy():
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    assert next_token_probabilities(logits, temperature=1e-40).tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.parametrize("temperature", [1e-38, 1e-44, 1e-46, 5e-324])
def test_a_temperature_that_single_precision_does_not_have_is_greedy(temperature):
    assert next_token_probabilities(torch.tensor([1.0, 2.0]), temperature=temperature).tolist() == [0.0, 1.0]
