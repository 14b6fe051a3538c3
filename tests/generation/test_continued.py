"""A reader that takes tokens back gives the logits of a model that reads the text afresh."""

import pytest
import torch
from small_models import random_ids, tiny_gpt

from companion.generation import GREEDY
from companion.generation.continued import Continued
from companion.nn.capture import ablate


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


def test_what_was_read_with_other_weights_is_read_again():
    model = tiny_gpt()
    reader = Continued(model)
    reader.logits([1, 2, 3])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    torch.testing.assert_close(reader.logits([1, 2, 3, 4])[0], afresh(model, [1, 2, 3, 4])[-1])
    assert reader.positions == 7


def test_what_was_read_without_a_head_is_read_again_with_it():
    model = tiny_gpt()
    with ablate(model, [(0, 0), (1, 1)]):
        reader = Continued(model)
        without = reader.logits([1, 2, 3])[0]
        torch.testing.assert_close(without, afresh(model, [1, 2, 3])[-1])
    torch.testing.assert_close(reader.logits([1, 2, 3, 4])[0], afresh(model, [1, 2, 3, 4])[-1])
    with ablate(model, [(0, 0), (1, 1)]):
        torch.testing.assert_close(reader.logits([1, 2, 3, 5])[0], afresh(model, [1, 2, 3, 5])[-1])


def test_a_run_that_failed_leaves_the_reader_as_good_as_new():
    model = tiny_gpt()
    reader = Continued(model)
    reader.logits([1, 2, 3])

    def fail(*_):
        raise MemoryError

    hook = model.blocks[-1].register_forward_pre_hook(fail)
    with pytest.raises(MemoryError):
        reader.logits([1, 2, 3, 4, 5])
    hook.remove()
    torch.testing.assert_close(reader.logits([1, 2, 3, 4, 5, 6])[0], afresh(model, [1, 2, 3, 4, 5, 6])[-1])
