"""A reader that takes tokens back gives the logits of a model that reads the text afresh."""

import pytest
import torch
from small_models import random_ids, tiny_gpt

from companion.generation import GREEDY
from companion.generation.continued import Continued


@pytest.fixture(scope="module")
def model():
    return tiny_gpt()


def afresh(model, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([ids]))[0]


def test_logits_after_a_text_and_each_proposal_are_those_of_one_run(model):
    text, proposed = [1, 2, 3], [4, 5]
    torch.testing.assert_close(Continued(model).logits(text, proposed), afresh(model, text + proposed)[2:])


def test_rejected_tokens_leave_no_trace(model):
    reader = Continued(model)
    reader.logits([1, 2, 3], [4, 5, 6])
    torch.testing.assert_close(reader.logits([1, 2, 3, 4, 9], [8]), afresh(model, [1, 2, 3, 4, 9, 8])[4:])


def test_only_what_is_new_is_computed(model):
    reader = Continued(model)
    reader.logits([1, 2, 3])
    reader.logits([1, 2, 3, 4])
    assert (reader.runs, reader.positions) == (2, 4)


def test_another_text_is_read_from_where_it_differs(model):
    reader = Continued(model)
    ids = random_ids(model, 1, 6)[0].tolist()
    reader.logits(ids)
    other = [*ids[:2], *reversed(ids[2:])]
    torch.testing.assert_close(reader.logits(other), afresh(model, other)[-1:])
    torch.testing.assert_close(reader.logits(ids[:3]), afresh(model, ids[:3])[-1:])  # a text that is shorter


def test_probabilities_are_those_of_the_decoding(model):
    greedy = Continued(model, GREEDY)
    assert greedy.next([1, 2]).max() == 1
    assert greedy.next([1, 2]).argmax() == afresh(model, [1, 2])[-1].argmax()


def test_an_empty_text_is_refused(model):
    with pytest.raises(ValueError, match="at least one token"):
        Continued(model).logits([])
