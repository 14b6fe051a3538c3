"""What the chapter on attention asks two published models, beside its concepts: pairs of sentences, and openings.

Chapter: ``book/concepts/attention.ipynb``.
"""

from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from companion.data import prose
from companion.data.tokenization import ordinary_tokens
from companion.nn.capture import capture

TURN = "<|im_start|>"  # begins each turn of a chat


class Pronoun(NamedTuple):
    """A sentence whose last word decides which of two nouns *it* means.

    Attributes:
        sentence: with ``{}`` in the place of the last word.
        first: noun that *it* means after the first ending.
        second: noun that *it* means after the second.
        endings: the two.
    """

    sentence: str
    first: str
    second: str
    endings: tuple[str, str]


PRONOUNS = tuple(
    Pronoun(f"The {first} {verb} the {second} because it was too {{}}.", first, second, endings)
    for first, verb, second, endings in (
        ("animal", "didn't cross", "street", ("tired", "wide")),
        ("piano", "didn't fit through", "door", ("large", "narrow")),
        ("knife", "didn't cut", "rope", ("dull", "thick")),
        ("boat", "couldn't pass under", "bridge", ("tall", "low")),
        ("nail", "didn't go into", "wall", ("blunt", "hard")),
        ("dog", "couldn't follow", "train", ("lazy", "fast")),
        ("horse", "couldn't climb", "hill", ("weak", "steep")),
        ("box", "fell through", "shelf", ("heavy", "thin")),
        ("ladder", "didn't reach", "roof", ("short", "high")),
        ("bird", "couldn't lift", "stone", ("young", "heavy")),
        ("car", "couldn't use", "road", ("broad", "narrow")),
        ("cat", "couldn't catch", "mouse", ("old", "quick")),
        ("fire", "didn't burn", "wood", ("small", "wet")),
        ("sheet", "didn't cover", "bed", ("small", "long")),
        ("wagon", "couldn't leave", "field", ("heavy", "muddy")),
        ("key", "didn't open", "lock", ("short", "rusty")),
    )
)  # fmt: skip


@torch.no_grad()
def lean(model: nn.Module, tokenizer: Tokenizer, pair: Pronoun) -> Tensor:
    """How far each head leans the right way: what *it* gives the first noun above the second, after either ending.

    Positive where the weight on the first noun, less that on the second, is larger after the ending that makes *it* the
    first: ``(a_first - a_second)[first ending] - (a_first - a_second)[second ending]``.

    >>> from companion.data.tokenization import train_wordpiece
    >>> from companion.models.bert import Bert, BertConfig
    >>> words = train_wordpiece([PRONOUNS[0].sentence] * 2, 80)
    >>> lean(Bert(BertConfig(80, 40, n_layers=2, n_heads=3, d_model=12)), words, PRONOUNS[0]).shape
    torch.Size([2, 3])

    Returns:
        (layers, heads).

    Raises:
        ValueError: when a noun is not one token.
    """
    found = []
    for ending in pair.endings:
        encoded = tokenizer.encode(pair.sentence.format(ending))
        for noun in (pair.first, pair.second):
            if noun not in encoded.tokens:
                raise ValueError(f"{noun!r} must be one token; got {encoded.tokens}")
        with capture(model) as record:
            model(torch.tensor([encoded.ids]))
        weights = torch.cat(record.attention)[:, :, encoded.tokens.index("it")]  # (layer, head, key)
        first, second = (weights[..., encoded.tokens.index(noun)] for noun in (pair.first, pair.second))
        found.append(first - second)
    return found[0] - found[1]


def beginnings(tokenizer: Tokenizer, texts: int = 10, length: int = 48) -> dict[str, Tensor]:
    """Openings of held-out texts of the book's primer, with four things to stand first: (texts, length) each.

    >>> from companion.data.tokenization import train_byte_bpe
    >>> tokenizer = train_byte_bpe(["The cat."], 259)
    >>> _ = tokenizer.add_special_tokens([TURN])
    >>> [ids.shape for ids in beginnings(tokenizer, texts=2, length=5).values()][0]
    torch.Size([2, 5])

    Args:
        tokenizer: of SmolLM2, or another that has the sign that begins a turn.
        texts: how many.
        length: tokens of each.

    Raises:
        ValueError: when fewer texts are as long.
    """
    _, held_out = prose.split(prose.documents(["primer"]))
    written = prose.openings(tokenizer, held_out, texts, length)
    ordinary = torch.tensor(ordinary_tokens(tokenizer))
    any_token = ordinary[torch.randint(len(ordinary), (texts, 1), generator=torch.Generator().manual_seed(0))]
    turn = torch.tensor(tokenizer.encode(TURN).ids).expand(texts, 1)
    return {
        "as written": written,
        "first two exchanged": written[:, [1, 0, *range(2, length)]],
        "begin of a turn, then the text": torch.cat([turn, written[:, :-1]], dim=1),
        "a random token for the first": torch.cat([any_token, written[:, 1:]], dim=1),
    }
