"""Sparse autoencoders of hidden states, and facts that their features are held against.

Chapter: ``book/practice/interpretability.ipynb``.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from companion import zoo
from companion.lessons.interpretability.experiments.known import NUMBER, WORLD, Known, known, neurons, states, untrained
from companion.losses.sparsity import sparse_reconstruction
from companion.metrics.probing import Detectors
from companion.models.gpt import GPT
from companion.models.sparse_autoencoder import SparseAutoencoder
from companion.nn.intervention import intervene

RATE = 1e-2  # of Adam


class Scale(NamedTuple):
    """Mean and spread that hidden states are brought to a common size with: (x - mean) / spread.

    Attributes:
        mean: (d_model,).
        spread: root of the mean squared distance from the mean per dimension, one number.
    """

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, x: Tensor) -> "Scale":
        """Of vectors (vectors, d_model)."""
        mean = x.mean(0)
        return cls(mean, (x - mean).square().mean().sqrt())

    def __call__(self, x: Tensor) -> Tensor:
        """Vectors of mean 0 and mean square 1."""
        return (x - self.mean) / self.spread

    def back(self, x: Tensor) -> Tensor:
        """The vectors as they were."""
        return x * self.spread + self.mean


def train_autoencoder(
    x: Tensor, *, penalty: float, seed: int, n_features: int = 256, steps: int = 300, batch: int = 256
) -> SparseAutoencoder:
    """A sparse autoencoder of scaled vectors, trained with Adam; the rate falls to nothing over the last two fifths.

    Args:
        x: (vectors, d_model), see :class:`Scale`.
        penalty: weight of the L1 norm.
        seed: of the directions and of the batches.
        n_features: directions.
        steps: of ``batch`` vectors each.
        batch: vectors per step.
    """
    sae = SparseAutoencoder(x.size(1), n_features, seed=seed)
    optimizer = torch.optim.Adam(sae.parameters(), lr=RATE, fused=True)
    draw = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, 2.5 * (1 - step / steps))
        some = x[torch.randint(len(x), (batch,), generator=draw)]
        optimizer.zero_grad()
        reconstruction, features = sae(some)
        sparse_reconstruction(some, reconstruction, features, penalty).backward()
        optimizer.step()
    return sae.requires_grad_(False)


def shuffled(x: Tensor, seed: int) -> Tensor:
    """Vectors with each dimension dealt anew among them: every dimension as before, and nothing goes together."""
    draw = torch.Generator().manual_seed(seed)
    return torch.stack([column[torch.randperm(len(x), generator=draw)] for column in x.T], dim=1)


class Facts(NamedTuple):
    """Facts of one family over the tokens where it is defined, in stories to learn from and in others.

    Attributes:
        values: what each fact says, as numbers in the vocabulary, (facts,).
        learn: numbers of the tokens to learn from.
        test: numbers of the others.
        learn_true: boolean (tokens, facts).
        test_true: the same of the others.
    """

    values: Tensor
    learn: Tensor
    test: Tensor
    learn_true: Tensor
    test_true: Tensor


FAMILIES = ("word", "subject", "place")
FEWEST = 5  # tokens that a fact must be true of


def facts_of(family: str, learn: Known, test: Known, most: int = 800) -> Facts:
    """Facts "the token is …", "the sentence is about …", or "the person whom it is about is in the …".

    Args:
        family: one of ``FAMILIES``.
        learn: tokens of stories.
        test: tokens of other stories.
        most: number of tokens to learn from.

    Raises:
        ValueError: on another family.
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}; got {family!r}")
    mine, theirs = getattr(learn, family), getattr(test, family)
    at, others = (mine >= 0).nonzero()[:most, 0], (theirs >= 0).nonzero()[:, 0]
    counted = zip(mine[at].bincount(minlength=len(NUMBER)), theirs[others].bincount(minlength=len(NUMBER)), strict=True)
    values = torch.tensor([value for value, both in enumerate(counted) if min(both) >= FEWEST])
    return Facts(values, at, others, mine[at, None] == values, theirs[others, None] == values)


def detected(facts: Facts, learn: Tensor, test: Tensor) -> Tensor:
    """Held-out F1 of the best single score for each fact, chosen with its threshold on the stories to learn from.

    Args:
        facts: of one family.
        learn: scores of all tokens to learn from, (tokens, scores).
        test: scores of the others.

    Returns:
        (facts,).
    """
    chosen = Detectors.choose(learn[facts.learn], facts.learn_true)
    return chosen.f1(test[facts.test], facts.test_true)


def both_signs(scores: Tensor) -> Tensor:
    """Scores and their negatives, (…, 2 scores): a direction may say yes at either end."""
    return torch.cat([scores, -scores], dim=-1)


class Sparse:
    """Hidden states of the story GPT after its first block, and what is true of them: two sets of stories.

    Attributes:
        model: the story GPT.
        scale: of the states to learn from.
        learned: tokens of the stories to learn from.
        x: states to learn from, scaled, (tokens, d_model).
        y: the others.
    """

    LAYER = 1

    def __init__(self, learn: int = 250, test: int = 100) -> None:
        """Tell so many stories, and read them."""
        self.model, _ = zoo.load("storyworld-en")
        self.learned, self._others = (known(WORLD.stories(count, f"sparse/{count}")) for count in (learn, test))
        self._facts = {name: facts_of(name, self.learned, self._others) for name in FAMILIES}
        self.scale, self.x, self.y = self._read(self.model)

    def _read(self, model: GPT) -> tuple[Scale, Tensor, Tensor]:
        raw, held_out = (
            states(model, one.ids, one.row, one.position)[self.LAYER] for one in (self.learned, self._others)
        )
        scale = Scale.of(raw)
        return scale, scale(raw), scale(held_out)

    def f1(self, learn: Tensor, test: Tensor) -> dict[str, float]:
        """Mean held-out F1 of the best score for each fact, by family."""
        return {name: detected(facts, learn, test).mean().item() for name, facts in self._facts.items()}

    def controls(self, seed: int, penalty: float) -> dict[str, dict[str, float]]:
        """Mean F1 by family of other scores: two autoencoders, random directions, axes, neurons, and a probe.

        Args:
            seed: of the shuffle, the untrained model, the autoencoders and the directions.
            penalty: of the autoencoders.
        """
        _, raw, held_out = self._read(untrained(self.model.config, seed))
        shuffle = train_autoencoder(shuffled(self.x, seed), penalty=penalty, seed=seed)
        empty = train_autoencoder(raw, penalty=penalty, seed=seed)
        random = torch.randn(shuffle.decoder.T.shape, generator=torch.Generator().manual_seed(seed))
        axes = torch.linalg.svd(self.x, full_matrices=False).Vh.T
        return {
            "random directions": self.f1((self.x @ random).relu(), (self.y @ random).relu()),
            "principal components": self.f1(both_signs(self.x @ axes), both_signs(self.y @ axes)),
            "shuffled states": self.f1(shuffle.encode(self.x), shuffle.encode(self.y)),
            "untrained model": self.f1(empty.encode(raw), empty.encode(held_out)),
        }

    def neurons(self) -> dict[str, float]:
        """Mean F1 by family of the neurons of the block, at either sign."""
        inside = (
            neurons(self.model, one.ids, one.row, one.position, self.LAYER - 1) for one in (self.learned, self._others)
        )
        return self.f1(*map(both_signs, inside))

    @torch.no_grad()
    def loss(self, sae: SparseAutoencoder | None = None) -> float:
        """Nats per token of the stories to test on, all states but the first replaced by their reconstruction."""

        def rebuilt(hidden: Tensor) -> Tensor:
            if sae is None:
                return hidden
            return torch.cat([hidden[:, :1], self.scale.back(sae(self.scale(hidden[:, 1:]))[0])], dim=1)

        ids = self._others.ids
        with intervene(self.model, hidden={self.LAYER: rebuilt}):
            log_p = self.model(ids)[:, :-1].log_softmax(-1)
        nats = -log_p.gather(-1, ids[:, 1:, None])[..., 0][ids[:, 1:] > 0]
        return float(nats.mean())
