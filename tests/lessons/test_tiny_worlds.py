"""Models of small worlds know what they are said to know."""

import math
from itertools import permutations

import pytest
import torch
from torch import nn

from companion.lessons import random_inputs, tiny_worlds


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_table_gives_each_text_its_probability_as_a_product(generator):
    joint = random_inputs.distribution(generator, 8).reshape(2, 2, 2)
    model = tiny_worlds.Table(joint)
    assert len(tiny_worlds.texts(2, 3)) == 8
    for text in tiny_worlds.texts(2, 3):
        ids = torch.tensor(text)
        logits = model(tiny_worlds.started(ids)[:, :-1])[0]
        assert math.exp(logits.gather(1, ids[:, None]).sum()) == pytest.approx(float(joint[text]))


def test_what_enters_a_part_is_what_the_part_before_it_gave(generator):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    x = torch.ones(1, 3)
    torch.testing.assert_close(tiny_worlds.entering(model[1], lambda: model(x)), model[0](x))
    assert not model[1]._forward_pre_hooks


def test_in_any_order_the_product_of_the_conditionals_is_the_probability_of_the_text(generator):
    joint = random_inputs.distribution(generator, 8).reshape(2, 2, 2)
    for text in tiny_worlds.texts(2, 3):
        ids = torch.tensor(text)[None]
        model = tiny_worlds.any_order_model(joint, ids[0])
        for order in permutations(range(3)):
            logits = model(ids, order=torch.tensor([order]), targets=torch.arange(3)[None])
            log_p = logits.log_softmax(-1).gather(2, ids[..., None]).sum()
            assert math.exp(log_p) == pytest.approx(float(joint[text]))


def test_fixed_outputs_are_returned_whatever_is_read():
    assert tiny_worlds.FixedOutputs(3.0)(torch.ones(2), 5) == 3.0
