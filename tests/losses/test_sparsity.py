"""The objective of a sparse autoencoder: an error and a price."""

import pytest
import torch

from companion.losses.sparsity import sparse_reconstruction


def test_a_perfect_reconstruction_costs_what_its_features_cost():
    x, features = torch.ones(3, 4), torch.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, 3.0]])
    assert sparse_reconstruction(x, x, features, penalty=0.5).item() == pytest.approx(1.0)


def test_without_a_penalty_it_is_the_squared_error_of_a_vector():
    loss = sparse_reconstruction(torch.ones(2, 4), torch.zeros(2, 4), torch.ones(2, 9), penalty=0.0)
    assert loss.item() == 4


def test_a_negative_penalty_is_refused():
    with pytest.raises(ValueError, match="not be negative; got -1"):
        sparse_reconstruction(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1), penalty=-1)
