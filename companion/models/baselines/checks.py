"""What the baselines refuse alike. Chapter: ``book/concepts/language_model.ipynb``."""

from typing import Any

from torch import Tensor


def check_sizes(config: Any, *names: str) -> None:
    """Raise ValueError when a size of a config is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1; got {getattr(config, name)}")


def check_ids(ids: Tensor, vocab_size: int) -> None:
    """Raise ValueError on ids that are not (batch, length), both at least 1, or are outside the vocabulary."""
    if ids.dim() != 2 or ids.numel() == 0:
        raise ValueError(f"ids must be (batch, length), neither of them 0; got shape {tuple(ids.shape)}")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocab_size:
        bad = low if low < 0 else high
        raise ValueError(f"token id {bad} is outside the vocabulary, 0 to {vocab_size - 1}")
