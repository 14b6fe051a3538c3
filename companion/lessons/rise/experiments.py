"""The experiment of the chapter: how many labels a linear classifier needs on the last vector of a text.

Chapter: ``book/background/rise.ipynb``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from companion.data.batch import padded
from companion.data.vocabulary import Vocabulary
from companion.models.baselines.naive_bayes import NaiveBayes
from companion.models.gpt import GPT
from companion.storyworld.tasks import Example

BATCH, WEIGHT_DECAY = 64, 0.01


def accuracy_by_labels(
    pretrained: GPT,
    words: Vocabulary,
    train: Sequence[Example],
    test: Sequence[Example],
    amounts: Sequence[int],
    draws: int = 5,
) -> dict[str, Tensor]:
    """Held-out accuracy of three readers by the number of labels, each (draws, amounts).

    The readers are naive Bayes, a GPT of random weights and the pre-trained one, both with a linear classifier. A draw
    takes other labelled stories and other random weights; the two questions of a story stay together.

    Args:
        pretrained: model whose configuration the random one has, too.
        words: vocabulary of both.
        train: examples to draw from, the two of a story side by side.
        test: examples to judge by.
        amounts: numbers of labels, all of them even.
        draws: number of draws.

    >>> from companion.models.gpt import GPTConfig
    >>> from companion.storyworld import World
    >>> from companion.storyworld.tasks import meeting
    >>> world = World()
    >>> words, examples = Vocabulary(world.vocabulary), meeting(world.stories(60))
    >>> blank = GPT(GPTConfig(len(words), context_length=128, n_layers=1, n_heads=1, d_model=8))
    >>> curves = accuracy_by_labels(blank, words, examples[:16], examples[16:], (4, 8), draws=2)
    >>> {name: tuple(curve.shape) for name, curve in curves.items()}
    {'naive Bayes': (2, 2), 'random weights': (2, 2), 'pre-trained': (2, 2)}
    """
    y, y_test = _is_yes(train), _is_yes(test)
    questions, answers = [e.tokens for e in test], [e.label for e in test]
    curves: dict[str, list[list[float]]] = {"naive Bayes": [], "random weights": [], "pre-trained": []}
    read, read_test = last_vectors(pretrained, words, train), last_vectors(pretrained, words, test)
    for seed in range(draws):
        torch.manual_seed(seed)
        blank = GPT(pretrained.config).to(pretrained.token_embedding.weight.device).eval()
        stories = torch.randperm(len(train) // 2)
        order = (2 * stories[:, None] + torch.arange(2)).flatten()[: max(amounts)]
        drawn, target = [train[i] for i in order], y[order]
        x, x_test = last_vectors(blank, words, drawn), last_vectors(blank, words, test)
        rows: dict[str, list[float]] = {name: [] for name in curves}
        for n in amounts:
            counted = NaiveBayes([e.tokens for e in drawn[:n]], [e.label for e in drawn[:n]])
            rows["naive Bayes"].append(counted.accuracy(questions, answers))
            rows["random weights"].append(linear_accuracy(x[:n], target[:n], x_test, y_test))
            rows["pre-trained"].append(linear_accuracy(read[order][:n], target[:n], read_test, y_test))
        for name, row in rows.items():
            curves[name].append(row)
    return {name: torch.tensor(runs) for name, runs in curves.items()}


@torch.no_grad()
def last_vectors(model: GPT, words: Vocabulary, examples: Sequence[Example]) -> Tensor:
    """Hidden state at the last token of each example, (examples, d_model), on the CPU."""
    last = []
    for start in range(0, len(examples), BATCH):
        ids, real = padded([[0, *words.encode(e.tokens)] for e in examples[start : start + BATCH]])
        hidden = model.hidden(ids.to(model.token_embedding.weight.device))
        last.append(hidden[torch.arange(len(ids)), real.sum(1) - 1].cpu())
    return torch.cat(last)


def linear_accuracy(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor) -> float:
    """Held-out accuracy of a logistic regression with a small weight decay, on standardized features.

    Args:
        x: features, (examples, features).
        y: targets, 0.0 or 1.0, (examples,).
        x_test: held-out features.
        y_test: their targets.

    >>> x = torch.tensor([[-1.0], [1.0], [-2.0], [2.0]])
    >>> linear_accuracy(x, (x[:, 0] > 0).float(), 3 * x, (x[:, 0] > 0).float())
    1.0
    """
    mean, spread = x.mean(0), x.std(0) + 1e-3
    x, x_test = (x - mean) / spread, (x_test - mean) / spread
    w = torch.zeros(x.size(1) + 1, requires_grad=True)
    solver = torch.optim.LBFGS([w], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = binary_cross_entropy_with_logits(x @ w[:-1] + w[-1], y) + WEIGHT_DECAY * w[:-1].square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    guessed = x_test @ w[:-1] + w[-1] > 0
    return float((guessed == y_test.bool()).float().mean())


def _is_yes(examples: Sequence[Example]) -> Tensor:
    return torch.tensor([float(e.label == "yes") for e in examples])
