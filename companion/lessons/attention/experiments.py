"""What the chapter on attention asks its models: stories with questions, pairs of sentences, and openings of texts.

Chapter: ``book/concepts/attention.ipynb``.
"""

from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from companion.data import prose
from companion.data.tokenization import ordinary_tokens
from companion.nn.capture import capture
from companion.storyworld import QUESTIONS, World, rows
from companion.storyworld.language import say
from companion.zoo.recipes.storyworld_gpt import HELD_OUT_SEED

TURN = "<|im_start|>"  # begins each turn of a chat


def asked_stories(count: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Held-out stories, and the places of their tokens by kind: those of all, and of the answers to each question.

    >>> ids, kinds = asked_stories(20)
    >>> sorted(kinds)
    ['all tokens', 'find', 'how', 'see', 'where', 'who']

    Returns:
        ids (stories, longest), ``<|endoftext|>`` first, and zeros after the end; and, for each kind, whether the token
        after a place is one: (stories, longest - 1). Of an answer of two words it is the first.
    """
    stories = World().stories(count, HELD_OUT_SEED)
    laid = rows(stories)
    kinds = {kind: torch.zeros(laid[:, 1:].shape, dtype=torch.bool) for kind in QUESTIONS}
    for number, story in enumerate(stories):
        position = 0
        for event in story.events:
            sentence = say(event, "en")
            if event.kind in kinds:
                kinds[event.kind][number, position + len(sentence) - (3 if event.kind == "find" else 2)] = True
            position += len(sentence)
    return laid.clamp(min=0), {"all tokens": laid[:, 1:] >= 0, **kinds}


def story_windows(count: int, length: int, seed: int = HELD_OUT_SEED) -> Tensor:
    """Beginnings of stories that are long enough: (count, length).

    >>> story_windows(2, length=9, seed=0).shape
    torch.Size([2, 9])
    """
    laid = rows(World().stories(3 * count, seed))[:, :length]
    return laid[(laid >= 0).all(1)][:count]


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
