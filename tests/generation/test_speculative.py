"""Speculative decoding writes what the target would write: exactly, whatever the draft."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT, random_ids, tiny_gpt

from companion.generation import GREEDY, Sampling, generate
from companion.generation.continued import Continued
from companion.generation.draws import outcomes, seeded_draw
from companion.generation.speculative import (
    acceptance,
    expected_tokens,
    overlap,
    prompt_lookup,
    residual,
    speculate,
    speculative_round,
)
from companion.lessons.inference.experiments import chi_square, kept, remembered


def tables(seed: int, vocab: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two random bigram models, by last token."""
    generator = torch.Generator().manual_seed(seed)
    large, small = torch.randn(2, vocab, vocab, generator=generator, dtype=torch.float64)
    return (2 * large).softmax(-1), (2 * small).softmax(-1)


def pair(seed: int, vocab: int = 3):
    large, small = tables(seed, vocab)
    return {"target": lambda text, proposed: large[[text[-1], *proposed]], "draft": lambda text: small[text[-1]]}


@pytest.mark.parametrize("lookahead", [1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_every_text_has_exactly_the_targets_probability(seed, lookahead):
    large, _ = tables(seed)
    models = pair(seed)
    found = outcomes(lambda draw: tuple(speculate([0], 3, draw=draw, lookahead=lookahead, **models)[0]))
    expected = {
        (0, a, b, c): (large[0, a] * large[a, b] * large[b, c]).item()
        for a in range(3)
        for b in range(3)
        for c in range(3)
    }
    assert found == pytest.approx(expected, abs=1e-14)


def test_a_draft_that_never_proposes_what_the_target_wants_costs_no_exactness():
    large = torch.tensor([[0.0, 1.0], [0.5, 0.5]], dtype=torch.float64)
    small = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    found = outcomes(
        lambda draw: tuple(
            speculate(
                [0], 2, draw=draw, target=lambda t, p: large[[t[-1], *p]], draft=lambda t: small[t[-1]], lookahead=2
            )[0]
        )
    )
    assert found == {(0, 1, 0): 0.5, (0, 1, 1): 0.5}


@pytest.mark.parametrize("seed", range(3))
def test_the_samples_of_two_models_pass_a_chi_square_test(seed):
    large, small = tiny_gpt(vocab_size=7), tiny_gpt(seed=1, vocab_size=7, n_layers=1)
    prompt = [1, 2, 3]
    target = remembered(Continued(large, Sampling()).probabilities)
    draft = remembered(lambda text, proposed: Continued(small, Sampling()).probabilities(text)[0])

    def program(draw):
        return tuple(speculate(prompt, 2, target=target, draft=lambda t: draft(t, []), draw=draw, lookahead=2)[0][3:])

    draw = seeded_draw(seed)
    counts = Counter(program(draw) for _ in range(1500))
    first, then = target(prompt, [])[0], {a: target([*prompt, a], [])[0] for a in range(7)}
    expected = {(a, b): (first[a] * then[a][b]).item() for a in range(7) for b in range(7)}
    assert chi_square(counts, expected) > 1e-3


@pytest.mark.parametrize("lookahead", [1, 3, 7])
def test_a_greedy_target_writes_its_greedy_text(lookahead):
    model, other = tiny_gpt(), tiny_gpt(seed=1)
    ids = random_ids(model, 1, 4)
    usual = generate(model, ids, 10, decoding=GREEDY)[0].tolist()
    target, draft = Continued(model, GREEDY), Continued(other, GREEDY)
    found, _ = speculate(
        ids[0].tolist(), 10, target=target.probabilities, draft=draft.next, draw=seeded_draw(0), lookahead=lookahead
    )
    assert found == usual


def test_a_draft_that_is_the_target_is_always_kept():
    model = tiny_gpt()
    target, draft = Continued(model, Sampling()), Continued(model, Sampling())
    _, rounds = speculate([1, 2], 10, target=target.probabilities, draft=draft.next, draw=seeded_draw(0), lookahead=4)
    assert [(one.accepted, one.proposed) for one in rounds] == [(4, 4), (4, 4)]
    assert target.runs == 2


def test_a_round_ends_at_the_first_rejection():
    sure = torch.eye(3)
    one = speculative_round([0], lambda t, p: sure[[1, 0, 0, 0]], lambda t: sure[1], 3, seeded_draw(0))
    assert one.tokens == [1, 0]
    assert (one.accepted, one.proposed) == (1, 3)


def test_no_token_is_written_after_the_end_or_after_the_stop():
    sure = torch.eye(4).roll(1, 1)
    models = {"target": lambda t, p: sure[[t[-1], *p]], "draft": lambda t: sure[t[-1]]}
    assert speculate([0], 2, draw=seeded_draw(0), **models)[0] == [0, 1, 2]
    assert speculate([0], 9, draw=seeded_draw(0), stop=2, **models)[0] == [0, 1, 2]


@settings(PATIENT, max_examples=50)
@given(seed=st.integers(0, 999))
def test_kept_and_redrawn_tokens_make_the_target(seed):
    p, q = torch.rand(2, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(-1)
    keep = acceptance(p, q)
    torch.testing.assert_close(q * keep + (1 - (q * keep).sum()) * residual(p, q), p)
    assert overlap(p, q).item() == pytest.approx((q * keep).sum().item())


def test_equal_distributions_leave_no_residual_to_divide_by():
    p = torch.tensor([0.25, 0.75])
    assert torch.equal(residual(p, p), p)


def test_the_expected_tokens_are_those_of_independent_proposals():
    large = torch.tensor([0.7, 0.3], dtype=torch.float64).expand(2, 2)
    small = torch.tensor([0.4, 0.6], dtype=torch.float64)
    found = outcomes(
        lambda draw: len(
            speculative_round([0], lambda t, p: large[[0] * (len(p) + 1)], lambda t: small, 3, draw).tokens
        )
    )
    mean = sum(tokens * chance for tokens, chance in found.items())
    assert mean == pytest.approx(expected_tokens(overlap(large[0], small).item(), 3))


def test_a_rate_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\]; got 1.5"):
        expected_tokens(1.5, 2)
    assert expected_tokens(1.0, 3) == 4


def test_prompt_lookup_proposes_what_followed_last_time():
    draft = prompt_lookup(vocab_size=9, order=2)
    assert draft([1, 2, 3, 1, 2, 4, 1, 2]).argmax() == 4
    assert draft([1, 2, 3]) is None
    assert draft([1]) is None


def test_the_kept_fraction_counts_judged_proposals_only():
    sure = torch.eye(3)
    one = speculative_round([0], lambda t, p: sure[[1, 0, 0, 0]], lambda t: sure[1], 3, seeded_draw(0))
    assert kept([one]) == 0.5
