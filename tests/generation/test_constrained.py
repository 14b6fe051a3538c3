"""Constrained output is in the grammar, always; its probabilities are those of the mask, not of the language."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT, tiny_gpt

from companion.generation import GREEDY
from companion.generation.constrained import TokenMask, constrained
from companion.generation.continued import Continued
from companion.generation.draws import outcomes, seeded_draw
from companion.generation.grammar import many, sequence, up_to, words

TOKENS = ["a", "b", "ab", "ba", "c", "", None, " "]
STOP = 6


def flat(text):
    return torch.zeros(len(TOKENS), dtype=torch.float64)


def written(output: list[int]) -> str:
    return "".join(TOKENS[token] or "" for token in output)


@settings(PATIENT, max_examples=60)
@given(seed=st.integers(0, 999))
def test_whatever_is_drawn_is_in_the_grammar_and_ends(seed):
    grammar = sequence(up_to(4, "ab"), words("c", "ca"))
    mask = TokenMask(grammar, TOKENS, STOP)
    output = constrained([], flat, mask, seeded_draw(seed), longest=9)
    assert output[-1] == STOP
    assert grammar.accepts(written(output[:-1]))


def test_a_real_model_keeps_to_the_grammar_too():
    model = tiny_gpt(vocab_size=len(TOKENS))
    grammar = words("abc", "bac", "cab")
    mask = TokenMask(grammar, TOKENS, STOP)
    for seed in range(5):
        output = constrained([1], Continued(model).logits, mask, seeded_draw(seed), longest=6)
        assert grammar.accepts(written(output[:-1]))


def test_a_token_is_allowed_where_all_of_its_characters_are():
    mask = TokenMask(words("abab"), TOKENS, STOP)
    assert mask.allowed(mask.start).nonzero().flatten().tolist() == [0, 2]
    assert mask.allowed(mask.after(mask.start, 0)).nonzero().flatten().tolist() == [1, 3]


def test_a_token_longer_than_what_is_left_is_not_allowed():
    mask = TokenMask(words("a"), TOKENS, STOP)
    assert mask.allowed(mask.start).nonzero().flatten().tolist() == [0]


def test_the_end_is_allowed_where_the_grammar_may_end():
    mask = TokenMask(many("a"), TOKENS, STOP)
    assert mask.allowed(mask.start)[STOP]
    assert mask.after(mask.start, 0) == mask.start  # the automaton has one state


def test_each_step_scales_what_the_mask_leaves():
    logits = torch.tensor([2.0, 1.0, 0.5, -1.0, 0.0, 3.0, 9.0, 4.0], dtype=torch.float64)
    mask = TokenMask(words("a", "c"), TOKENS, STOP)
    found = outcomes(lambda draw: written(constrained([], lambda text: logits, mask, draw, longest=3)))
    assert found["a"] == pytest.approx(math.exp(2) / (math.exp(2) + math.exp(0)))


def test_the_greedy_output_takes_the_likeliest_allowed_token():
    logits = torch.tensor([0.0, 1.0, 0.5, -1.0, 5.0, 3.0, 9.0, 4.0])
    mask = TokenMask(words("ba", "aa"), TOKENS, STOP)
    output = constrained([], lambda text: logits, mask, seeded_draw(0), longest=5, how=GREEDY)
    assert written(output) == "ba"


def test_an_output_that_does_not_end_in_time_is_an_error():
    mask = TokenMask(words("aaaaaa"), TOKENS, STOP)
    with pytest.raises(ValueError, match="not whole after 3 tokens"):
        constrained([], flat, mask, seeded_draw(0), longest=3)


def test_a_character_that_no_token_begins_with_is_named():
    mask = TokenMask(words("x"), TOKENS, STOP)
    with pytest.raises(ValueError, match="no token of the vocabulary goes on"):
        mask.allowed(mask.start)


def test_a_token_that_is_not_allowed_leads_nowhere():
    mask = TokenMask(words("ab"), TOKENS, STOP)
    for token in (1, 5, STOP):
        with pytest.raises(ValueError, match=f"token {token}, .* is not allowed here"):
            mask.after(mask.start, token)


def test_the_stop_must_be_a_token():
    with pytest.raises(ValueError, match="stop must be at most 7; got 8"):
        TokenMask(words("a"), TOKENS, 8)
