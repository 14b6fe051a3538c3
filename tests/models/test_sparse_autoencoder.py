"""A sparse autoencoder is a sum of unit directions; where states are sparse sums, it finds what they are sums of."""

import pytest
import torch
from torch.nn.functional import normalize

from companion.losses.sparsity import sparse_reconstruction
from companion.models.sparse_autoencoder import SparseAutoencoder


def test_the_directions_are_unit_vectors():
    sae = SparseAutoencoder(5, 9)
    with torch.no_grad():
        sae.decoder.mul_(torch.arange(1, 10)[:, None])
    torch.testing.assert_close(sae.directions.norm(dim=1), torch.ones(9))


def test_features_are_never_negative_and_rebuild_by_their_directions():
    sae = SparseAutoencoder(5, 9, seed=1)
    reconstruction, features = sae(torch.randn(7, 5, generator=torch.Generator().manual_seed(0)))
    assert (features >= 0).all()
    torch.testing.assert_close(reconstruction, features @ sae.directions + sae.bias)


def test_the_same_seed_makes_the_same_directions():
    assert torch.equal(SparseAutoencoder(4, 6, seed=3).decoder, SparseAutoencoder(4, 6, seed=3).decoder)
    assert not torch.equal(SparseAutoencoder(4, 6, seed=3).decoder, SparseAutoencoder(4, 6, seed=4).decoder)


def test_it_finds_the_directions_that_sparse_vectors_are_sums_of():
    draw = torch.Generator().manual_seed(0)
    true = normalize(torch.randn(12, 8, generator=draw), dim=1)  # more than dimensions
    active = (torch.rand(3000, 12, generator=draw) < 0.1) * (1 + torch.rand(3000, 12, generator=draw))
    x = active @ true
    sae = SparseAutoencoder(8, 24)
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        sparse_reconstruction(x, *sae(x), penalty=0.1).backward()
        optimizer.step()
    likeness = (true @ sae.directions.T).amax(1)
    random = (true @ SparseAutoencoder(8, 24, seed=1).directions.T).amax(1)
    assert likeness.median() > 0.95 > random.median()


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="at least 1; got 0"):
        SparseAutoencoder(*sizes)
