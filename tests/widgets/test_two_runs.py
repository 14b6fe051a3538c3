"""Runs of two models: what they read, and what they predict at the same place."""

import pytest
import torch
from tokenizers import Tokenizer

from companion import zoo
from companion.models.gpt import GPT, GPTConfig
from companion.widgets.two_runs import TwoRuns

TEXT = "Tom is in the garden . Where is Tom [MASK] ."


@pytest.fixture(scope="module")
def pair():
    return zoo.load("storyworld-bert"), zoo.load("storyworld-bert-small")


def test_a_model_beside_itself_predicts_the_same(pair):
    seen = TwoRuns(pair[0], pair[0])(TEXT)
    assert seen.divergence == pytest.approx(0, abs=1e-9)
    assert all(one.before == one.after for one in seen.chances)
    assert (seen.attention[0] == seen.attention[1]).all()


def test_the_divergence_is_weighed_by_the_first_model(pair):
    one, other = (TwoRuns(*order)(TEXT).divergence for order in (pair, pair[::-1]))
    assert one > 0
    assert other > 0
    assert one != other


def test_scores_of_two_sizes_are_not_compared():
    torch.manual_seed(0)
    model, tokenizer = zoo.load("storyworld-en")
    size = tokenizer.get_vocab_size() + 10  # rows that stand for no token
    other = GPT(GPTConfig(size, context_length=64, n_layers=1, n_heads=2, d_model=8)).eval()
    seen = TwoRuns((model, tokenizer), (other, tokenizer))("Tom is in the")
    assert (seen.chances, seen.divergence, seen.mask) == ([], None, "")


def test_a_text_that_is_cut_in_another_way_is_refused(pair):
    model, tokenizer = pair[1]
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.post_processor = None
    with pytest.raises(
        ValueError, match="the text has 13 for the first and 11 for the second, other ones from place 0"
    ):
        TwoRuns(pair[0], (model, plain))(TEXT)
