"""In-context learning: prompts with demonstrations, answers to many queries after one prompt, and Bayes' reading of it.

Chapter: ``book/algorithms/in_context_learning.ipynb``. Sources: Brown et al. 2020, "Language Models are Few-Shot
Learners"; Zhao et al. 2021, "Calibrate Before Use"; Xie et al. 2022, "An Explanation of In-context Learning as Implicit
Bayesian Inference".
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from companion.data.batch import padded
from companion.data.checks import check_characters, check_list
from companion.generation.decoding import check_logits

Pair = tuple[str, str]  # input and output
BATCH = 32  # queries computed at once


class Format(NamedTuple):
    """Format of a demonstration: what stands before the input, between input and output, and after the output.

    Attributes:
        before: text before the input.
        between: text after the input, without the space before the output.
        after: text after the output.

    >>> arrow = Format("", " ->", "\\n")
    >>> arrow.query("take")
    'take ->'
    """

    before: str
    between: str
    after: str

    def query(self, given: str) -> str:
        """Text that asks for the output of one input."""
        return f"{self.before}{given}{self.between}"

    def prompt(self, demonstrations: Sequence[Pair]) -> str:
        """Demonstrations one after the other: the beginning that all queries share.

        >>> Format("", " ->", "\\n").prompt([("go", "went"), ("see", "saw")])
        'go -> went\\nsee -> saw\\n'
        """
        return "".join(f"{self.query(given)} {output}{self.after}" for given, output in demonstrations)


class SharedPrompt:
    """Prompt that many texts begin with: its keys and values are computed once.

    >>> from companion.models.gpt import GPT, GPTConfig
    >>> from companion.data.tokenization import train_byte_bpe
    >>> tokenizer = train_byte_bpe(["go -> went"], 260)
    >>> model = GPT(GPTConfig(tokenizer.get_vocab_size(), 32, n_layers=1, n_heads=1, d_model=8)).eval()
    >>> shared = SharedPrompt(model, tokenizer, "go -> went\\n")
    >>> [len(logits) for logits in shared.logits([[5, 6, 7], [8]])]
    [3, 1]
    """

    def __init__(self, model: Any, tokenizer: Tokenizer, prompt: str) -> None:
        """Run a decoder-only model, such as :class:`companion.models.modern_decoder.ModernDecoder`, over the prompt."""
        self.model, self.tokenizer = model, tokenizer
        self._cache = model.new_cache()
        if ids := self._ids(prompt):
            with torch.no_grad():
                model(torch.tensor([ids]), cache=self._cache)

    @torch.no_grad()
    def logits(self, endings: Sequence[Sequence[int]]) -> list[Tensor]:
        """Logits (length, vocab) at each position of each ending, as if it stood after the prompt.

        Args:
            endings: token ids, at least one each.

        Raises:
            FloatingPointError: when the logits are not finite.
        """
        found = []
        for first in range(0, len(endings), BATCH):
            some = endings[first : first + BATCH]
            ids, _ = padded(some)  # at the end, where a causal model does not look
            logits = self.model(ids, cache=self.cache(len(some)))
            check_logits(logits.flatten(0, 1))
            found += [row[: len(one)] for row, one in zip(logits, some, strict=True)]
        return found

    def cache(self, texts: int) -> Any:
        """Keys and values of the prompt for so many texts that go on after it, to be passed to the model."""
        cache = copy.deepcopy(self._cache)
        for layer in cache:
            layer.reorder(torch.zeros(texts, dtype=torch.long))
        return cache

    def writes(self, asked: Sequence[Pair]) -> list[bool]:
        """Whether greedy decoding goes on with each output: at each of its tokens, that token is the likeliest.

        Args:
            asked: query and output; the output stands after a space, and may be followed by anything.
        """
        check_list("each pair of a query and an output", *asked)
        encoded = [(self._ids(query), self._ids(f" {output}")) for query, output in asked]
        found = self.logits([query + output[:-1] for query, output in encoded])
        return [
            logits[len(query) - 1 :].argmax(-1).tolist() == output
            for logits, (query, output) in zip(found, encoded, strict=True)
        ]

    def log_probabilities(self, queries: Sequence[str], labels: Sequence[str]) -> Tensor:
        """Log-probability of each label's first token after each query, (queries, labels), scaled to the labels alone.

        Args:
            queries: texts after the prompt.
            labels: possible outputs, each after a space.

        Raises:
            ValueError: when two labels begin with the same token, so that the first does not tell them apart.
        """
        check_list("queries", queries)
        check_list("labels", labels)
        first = [self._ids(f" {label}")[0] for label in labels]
        if len(set(first)) < len(first):
            raise ValueError(f"labels must differ in their first tokens; got {', '.join(labels)}")
        found = self.logits([self._ids(query) for query in queries])
        return torch.stack([logits[-1, first] for logits in found]).log_softmax(-1)

    def _ids(self, text: str) -> list[int]:
        check_characters(text)
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids


def contextual_calibration(log_probs: Tensor, content_free: Tensor) -> Tensor:
    """Calibrated log-probabilities of labels, ``log p(y | x) - log p(y | N/A)``, scaled so that each row sums to 1.

    A label that the prompt makes likely whatever is asked is made less likely (Zhao et al. 2021, section 5).

    >>> log_probs = torch.tensor([[0.8, 0.2], [0.6, 0.4]]).log()
    >>> contextual_calibration(log_probs, torch.tensor([0.7, 0.3]).log()).exp().round(decimals=3)
    tensor([[0.6320, 0.3680],
            [0.3910, 0.6090]])

    Args:
        log_probs: (queries, labels).
        content_free: (labels,), of a query that says nothing.
    """
    return (log_probs - content_free).log_softmax(-1)


def task_posterior(log_prior: Tensor, log_likelihoods: Tensor) -> Tensor:
    """Posterior over tasks after each number of demonstrations, ``p(t | D_k) ∝ p(t) prod_i p(y_i | x_i, t)``.

    >>> prior = torch.tensor([0.5, 0.5]).log()
    >>> task_posterior(prior, torch.tensor([[0.9, 0.3], [0.9, 0.1]]).log()).exp()
    tensor([[0.5000, 0.5000],
            [0.7500, 0.2500],
            [0.9643, 0.0357]])

    Args:
        log_prior: (tasks,).
        log_likelihoods: log p(y_i | x_i, t) of each demonstration, (demonstrations, tasks).

    Returns:
        log-probabilities (demonstrations + 1, tasks), the first row before any of them. Where no task allows what was
        shown the row is not a number.
    """
    return torch.cat([log_prior[None], log_prior + log_likelihoods.cumsum(0)]).log_softmax(-1)


def posterior_predictive(log_posterior: Tensor, log_likelihoods: Tensor) -> Tensor:
    """Prediction by all tasks, each by its weight, ``p(y | x, D_k) = sum_t p(t | D_k) p(y | x, t)``.

    >>> answers = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).log()  # of two tasks
    >>> posterior_predictive(torch.tensor([0.75, 0.25]).log(), answers).exp()
    tensor([0.8750, 0.1250])

    Args:
        log_posterior: (tasks,).
        log_likelihoods: log p(y | x, t) of each output, (tasks, outputs).

    Returns:
        log-probabilities (outputs,).
    """
    return torch.logsumexp(log_posterior[:, None] + log_likelihoods, dim=0)
