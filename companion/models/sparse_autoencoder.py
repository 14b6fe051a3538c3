"""Sparse autoencoder: hidden states as sums of a few directions out of a large dictionary.

Chapter: ``book/practice/interpretability.ipynb``. Sources: Cunningham et al. 2024, "Sparse Autoencoders Find Highly
Interpretable Features in Language Models"; Bricken et al. 2023, "Towards Monosemanticity".
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.nn.checks import check_integer


class SparseAutoencoder(nn.Module):
    """Features ``f = ReLU(W_e (x - b) + b_e)`` and reconstruction ``x̂ = b + sum_i f_i d_i``, each ``|d_i| = 1``.

    Without the length of 1, small features along long directions would cost nothing.

    Example:
        >>> sae = SparseAutoencoder(d_model=4, n_features=12)
        >>> reconstruction, features = sae(torch.ones(5, 4))
        >>> reconstruction.shape, features.shape, bool((features >= 0).all())
        (torch.Size([5, 4]), torch.Size([5, 12]), True)
    """

    def __init__(self, d_model: int, n_features: int, *, seed: int = 0) -> None:
        """Make random directions; the encoder begins as the directions themselves.

        Args:
            d_model: width of the hidden states.
            n_features: number of directions, usually several times d_model.
            seed: of the directions.

        Raises:
            ValueError: on a size below 1.
        """
        super().__init__()
        check_integer("d_model", d_model)
        check_integer("n_features", n_features)
        directions = torch.randn(n_features, d_model, generator=torch.Generator().manual_seed(seed))
        self.decoder = nn.Parameter(directions)
        self.encoder = nn.Parameter(F.normalize(directions, dim=1))
        self.encoder_bias = nn.Parameter(torch.zeros(n_features))
        self.bias = nn.Parameter(torch.zeros(d_model))

    @property
    def directions(self) -> Tensor:
        """Unit vectors that the reconstruction is a sum of, (n_features, d_model)."""
        return F.normalize(self.decoder, dim=1)

    def encode(self, x: Tensor) -> Tensor:
        """(…, d_model) -> features (…, n_features), none negative."""
        return F.relu((x - self.bias) @ self.encoder.T + self.encoder_bias)

    def decode(self, features: Tensor) -> Tensor:
        """(…, n_features) -> (…, d_model)."""
        return features @ self.directions + self.bias

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(…, d_model) -> the reconstruction (…, d_model) and the features (…, n_features)."""
        features = self.encode(x)
        return self.decode(features), features
