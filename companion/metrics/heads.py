"""Scores of attention heads: the sink, the token before, and induction, on text and on repeated random tokens.

Each takes the attention that :func:`companion.nn.capture.capture` recorded of a run over texts without padding, one
tensor (batch, heads, query, key) per layer, and returns a score per head, (layers, heads), between 0 and 1. Chapters:
``book/concepts/attention.ipynb``, "The sink"; ``book/algorithms/modern_decoder.ipynb``, "A circuit of two heads".
Sources: Xiao et al. 2024, "Efficient Streaming Language Models with Attention Sinks", section 3.1; Olsson et al. 2022,
"In-context Learning and Induction Heads", "Prefix matching" (there of four copies, here of two).
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def sink_score(attention: Sequence[Tensor]) -> Tensor:
    """Sink score of each head: the weight of the first token, ``mean a_{i1}`` over the queries ``i > 1``.

    The first query itself is left out: a causal model leaves it nothing else to attend to.

    >>> weights = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.7, 0.1, 0.2]])
    >>> sink_score([weights[None, None]])  # one layer, one text, one head
    tensor([[0.8000]])

    Raises:
        ValueError: when there is no layer, or texts are shorter than two tokens.
    """
    return _per_head([weights[..., 1:, 0] for weights in _checked(attention)])


def offset_score(attention: Sequence[Tensor], offset: int) -> Tensor:
    """Weight that a query gives to the token ``offset`` places after it, ``mean a_{i,i+offset}`` where there is one.

    At offset -1 it is the previous-token score.

    >>> weights = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.2, 0.7, 0.1]])
    >>> offset_score([weights[None, None]], offset=-1)
    tensor([[0.8000]])

    Args:
        attention: weights by layer.
        offset: from the query to the key, negative = before it.

    Raises:
        ValueError: when there is no layer, or the texts are too short to have such a key.
    """
    layers = _checked(attention)
    if abs(offset) >= layers[0].size(-1):
        raise ValueError(f"offset must be less than the {layers[0].size(-1)} tokens of a text; got {offset}")
    return _per_head([weights.diagonal(offset, dim1=-2, dim2=-1) for weights in layers])


def induction_score(attention: Sequence[Tensor]) -> Tensor:
    """Induction score of each head, on texts that are one passage of n tokens, twice: ``mean a_{i,i-n+1}``, i > n.

    It is the weight that a token of the second copy gives to the token that *followed* it in the first. For texts that
    repeat, see :func:`repeated_tokens`.

    >>> weights = torch.eye(4)
    >>> weights[2] = torch.tensor([0.0, 0.9, 0.1, 0.0])  # a b a b: the second a looks at the first b
    >>> weights[3] = torch.tensor([0.1, 0.0, 0.7, 0.2])  # the second b at what followed the first
    >>> induction_score([weights[None, None]])
    tensor([[0.8000]])

    Raises:
        ValueError: when there is no layer, or the texts have an odd number of tokens.
    """
    layers = _checked(attention)
    length, odd = divmod(layers[0].size(-1), 2)
    if odd:
        raise ValueError(f"a passage twice has an even number of tokens; got {layers[0].size(-1)}")
    # the diagonal begins at query n - 1, the last of the first copy, which has no earlier self
    return _per_head([weights.diagonal(1 - length, dim1=-2, dim2=-1)[..., 1:] for weights in layers])


def repeated_tokens(choices: Tensor, texts: int, length: int, seed: int) -> Tensor:
    """Texts of random tokens, each a passage of ``length`` that comes twice: (texts, 2 length).

    What comes next in the first copy cannot be known, and in the second it can be read off, but nowhere else than in
    the first: a model that predicts the second copy finds it there.

    >>> repeated_tokens(torch.arange(10, 100), texts=1, length=3, seed=0)
    tensor([[54, 19, 93, 54, 19, 93]])

    Args:
        choices: token ids to draw from, each as likely as any other.
        texts: how many.
        length: tokens of a passage.
        seed: of the draw.

    Raises:
        ValueError: when there is nothing to draw from.
    """
    if not len(choices):
        raise ValueError("choices must hold at least one token id; got none")
    draw = torch.Generator().manual_seed(seed)
    passage = choices[torch.randint(len(choices), (texts, length), generator=draw)]
    return torch.cat([passage, passage], dim=1)


def _checked(attention: Sequence[Tensor]) -> Sequence[Tensor]:
    if not attention:
        raise ValueError("attention must hold at least one layer; got none")
    if attention[0].size(-1) < 2:
        raise ValueError(f"a text must have at least 2 tokens; got {attention[0].size(-1)}")
    return attention


def _per_head(weights: Sequence[Tensor]) -> Tensor:
    """Mean over texts and positions of what each layer has, (batch, heads, positions): (layers, heads)."""
    return torch.stack([layer.mean((0, 2)) for layer in weights])
