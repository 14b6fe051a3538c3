"""Runs of two models over one text: what both must read alike, and what both say."""

import math

import pytest
import torch
from tokenizers import Tokenizer

from companion import zoo
from companion.widgets.two_runs import TwoRuns

TEXT = "Tom is in the garden . Anna is in the park . [SEP] Where is Tom [MASK] ."


@pytest.fixture(scope="module")
def pair():
    return zoo.load("storyworld-bert"), zoo.load("storyworld-bert-small")


def test_a_model_beside_itself_says_the_same(pair):
    seen = TwoRuns(pair[0], pair[0])(TEXT)
    assert seen.divergence == pytest.approx(0, abs=1e-12)
    assert all(one.before == one.after for one in seen.chances)


def test_the_divergence_is_that_of_all_tokens_in_bits(pair):
    seen = TwoRuns(*pair)(TEXT)
    (bert, tokenizer), (small, _) = pair
    ids = torch.tensor([tokenizer.encode(TEXT).ids])
    segments = torch.tensor([tokenizer.encode(TEXT).type_ids])
    if not segments.any():
        first = int((ids[0] == tokenizer.token_to_id("[SEP]")).nonzero()[0])
        segments[0, first + 1 :] = 1
    place = int((ids[0] == tokenizer.token_to_id("[MASK]")).nonzero().max())
    with torch.no_grad():
        p, q = (model(ids, segments)[0][0, place].double().softmax(-1) for model in (bert, small))
    assert seen.divergence == pytest.approx(float((p * (p / q).log()).sum()) / math.log(2), abs=1e-6)
    assert [one.shape[:2] for one in seen.attention] == [(4, 4), (2, 4)]


def test_other_vocabularies_are_refused_by_a_token(pair):
    with pytest.raises(
        ValueError, match="both models must read the same tokens; of 54 and [0-9]+ tokens, '.+' has the id"
    ):
        TwoRuns(pair[0], zoo.load("storyworld-en"))


def test_a_text_that_is_cut_in_another_way_is_refused(pair):
    model, tokenizer = pair[1]
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.post_processor = None
    with pytest.raises(
        ValueError, match="the text has 20 for the first and 18 for the second, other ones from place 0"
    ):
        TwoRuns(pair[0], (model, plain))(TEXT)
