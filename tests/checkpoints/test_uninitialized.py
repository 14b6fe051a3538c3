"""A model that is made for the weights of a file draws no random numbers; all else of it is as it would be."""

import torch
from torch import nn

from companion.checkpoints.uninitialized import Uninitialized
from companion.models.modern_decoder import ModernConfig, ModernDecoder

CONFIG = ModernConfig(vocab_size=7, context_length=8, n_layers=1, n_heads=2, d_model=8)


def test_nothing_is_drawn():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with Uninitialized():
        ModernDecoder(CONFIG)
    assert torch.equal(torch.rand(1), expected)


def test_names_shapes_and_tied_weights_are_those_of_the_model():
    with Uninitialized():
        model = ModernDecoder(CONFIG)
    expected = {name: weight.shape for name, weight in ModernDecoder(CONFIG).state_dict().items()}
    assert {name: weight.shape for name, weight in model.state_dict().items()} == expected
    assert model.unembedding.weight is model.token_embedding.weight


def test_what_is_made_after_it_is_drawn_again():
    with Uninitialized():
        pass
    torch.manual_seed(0)
    one = nn.Linear(3, 3)
    torch.manual_seed(0)
    assert torch.equal(nn.Linear(3, 3).weight, one.weight)
    assert one.weight.std() > 0
