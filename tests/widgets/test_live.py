"""What a live widget is answered by its model."""

import pytest
import torch

from companion import zoo
from companion.widgets.live import CANDIDATES, MASK, Asker


@pytest.fixture(scope="module")
def asker() -> Asker:
    return Asker(*zoo.load("storyworld-en"))


def test_an_answer_has_a_label_a_weight_and_candidates_for_each_token(asker: Asker):
    answer = asker("Tom is in the garden .")
    n = len(answer.tokens)
    assert answer.attention.shape[2:] == (n, n)
    assert answer.attention.sum(-1) == pytest.approx(1, abs=1e-5)
    probabilities = [one["probability"] for one in answer.next_tokens]
    assert len(probabilities) == CANDIDATES
    assert probabilities == sorted(probabilities, reverse=True)
    assert answer.mask == ""
    assert answer.device == "kernel · CPU"


def test_a_model_that_reads_both_ways_fills_in_its_last_mask():
    asker = Asker(*zoo.load("storyworld-bert"))
    assert asker("Tom is in the garden .").next_tokens == []
    answer = asker(f"Tom is in the {MASK} .")
    assert answer.mask == MASK
    assert len(answer.next_tokens) == CANDIDATES


def test_a_text_with_more_tokens_than_the_model_reads_is_refused(asker: Asker):
    with pytest.raises(ValueError, match="the text has 50[01] tokens; the model reads at most"):
        asker("Tom " * 500)


def test_asking_leaves_the_model_in_its_mode(asker: Asker):
    asker.model.train()
    first, second = (asker("Tom is in the garden .").attention for _ in range(2))
    assert asker.model.training
    torch.testing.assert_close(torch.tensor(first), torch.tensor(second))
    asker.model.eval()
