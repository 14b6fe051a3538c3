"""A planted fault shows from its layer on and not before; examples for `Trainer` say which tokens have no loss."""

import pytest
import torch

from companion import zoo
from companion.lessons.huggingface import experiments as e

MODEL = zoo.load("storyworld-en")[0]
IDS = e.story_ids(3)


@pytest.mark.parametrize("layer", range(4))
@pytest.mark.parametrize("fault", e.FAULTS)
def test_a_fault_changes_all_states_after_its_layer_and_none_before(fault: str, layer: int):
    sound, found = e.hidden_states(MODEL, IDS), e.hidden_states(e.with_fault(MODEL, fault, layer), IDS)
    assert [torch.equal(a, b) for a, b in zip(sound, found, strict=True)] == [state <= layer for state in range(5)]


def test_the_model_itself_stays_sound():
    before = [parameter.clone() for parameter in MODEL.parameters()]
    e.with_fault(MODEL, "two heads are swapped", 1)
    assert all(torch.equal(a, b) for a, b in zip(before, MODEL.parameters(), strict=True))


def test_an_unknown_fault_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="no fault 'typo'; choose from the query"):
        e.with_fault(MODEL, "typo", 0)


def test_stories_are_long_enough_and_begin_with_the_end_of_a_text():
    assert IDS.shape == (3, e.LENGTH)
    assert IDS[:, 0].tolist() == [0, 0, 0]
    assert IDS.min() >= 0


@pytest.mark.parametrize("ignored", [True, False])
def test_the_first_label_is_left_out_when_it_is_asked_for(ignored: bool):
    first = e.as_examples(IDS, ignored)[0]
    assert torch.equal(first["input_ids"], IDS[0])
    assert first["labels"][0] == (-100 if ignored else 0)
    assert torch.equal(first["labels"][1:], IDS[0, 1:])


def test_the_losses_of_a_log_are_those_of_its_steps():
    assert e.losses_of([{"loss": 2.0, "epoch": 1}, {"train_runtime": 3.0}, {"loss": 1.0}]) == [2.0, 1.0]
