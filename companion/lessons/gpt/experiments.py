"""Training runs of the GPT chapter, the judge of its stories, and the measurement of what context is worth.

Chapter: ``book/algorithms/gpt.ipynb``.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from companion.data import prose
from companion.losses import causal_loss
from companion.metrics.language_model import Estimate, cross_entropy, per_token
from companion.models.gpt import GPT
from companion.storyworld import World
from companion.training import Evaluation, Optimization, fit
from companion.training.run_state import History


def train(
    model: GPT,
    stream: Tensor,
    steps: int,
    *,
    loss: Callable[[nn.Module, Tensor], Tensor] = causal_loss,
    held_out: Tensor | None = None,
    watch: Callable[[int, History], object] | bool = False,
) -> History:
    """Training run on random windows of a text, 16 a step, as long as the model's context; Muon and AdamW.

    >>> from companion.models.gpt import GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8))
    >>> len(train(model, torch.arange(90) % 9, steps=3).loss)
    3

    Args:
        model: trained in place.
        stream: token ids of the text, one after the other.
        steps: number of steps.
        loss: of the model and windows (16, length + 1).
        held_out: stream whose cross-entropy is measured every 30 steps.
        watch: called with each step and the history.
    """
    return fit(
        model,
        prose.random_windows(stream, batch_size=16, length=model.config.context_length, seed=0),
        steps=steps,
        loss=loss,
        learning_rate=1e-2,
        optimization=Optimization("muon"),
        evaluation=None if held_out is None else Evaluation(lambda m: cross_entropy(m, held_out), every=30),
        progress=watch,
    )


def world_stories(count: int) -> list[list[str]]:
    """Words of stories of the story world, without the mark at their end.

    >>> world_stories(1)[0][:4]
    ['Jack', 'is', 'in', 'the']
    """
    return [story.tokens[:-1] for story in World().stories(count)]


def could_be_told(words: Sequence[str]) -> bool:
    """Whether a story of the story world can begin with these words.

    >>> could_be_told("Tom is in the park . Anna is in the park . Where is Tom park".split())
    True
    >>> could_be_told("Tom is in the park . Anna is in the park . Where is Tom school".split())
    False
    """
    reader = World().reader()
    try:
        for word in words:
            reader.read(word)
    except ValueError:
        return False
    return True


def windows_of(tokenizer: Tokenizer, texts: Sequence[str], length: int, each: int) -> Tensor:
    """Windows (texts * each, length) of texts that are long enough, evenly spread over each text.

    >>> from companion.data.tokenization import train_byte_bpe
    >>> windows_of(train_byte_bpe(["ab"], 257), ["abcdef", "a"], length=3, each=2).shape
    torch.Size([2, 3])
    """
    streams = [prose.token_stream(tokenizer, [text])[1:] for text in texts]
    return torch.stack(
        [
            ids[start : start + length]
            for ids in streams
            if len(ids) >= length + each
            for start in torch.linspace(0, len(ids) - length, each).long().tolist()
        ]
    )


def gain(surprise: Mapping[int, Tensor], fewer: int, more: int) -> Estimate:
    """Mean surprise less with ``more`` tokens to go by than with ``fewer``, and its standard error over texts.

    >>> gain({1: torch.tensor([[2.0], [4.0]]), 5: torch.tensor([[1.0], [2.0]])}, 1, 5).value
    1.5

    Args:
        surprise: number of tokens to go by -> nats (texts, windows of each).
        fewer: a key of it.
        more: another.
    """
    return per_token(surprise[fewer] - surprise[more])
