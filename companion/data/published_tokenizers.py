"""Published tokenizers, made of the files in which they were published: GPT-2's, GPT-4o's and Qwen3's.

All are byte-level BPE; they differ in how text is cut before any merge, and in the vocabulary. GPT-2's merges are
published as a list. The others are published as *ranks*: token and id, the id being the order of the merges, and two
neighbours merge whenever what they make is a token. :mod:`companion.data.fetched` fetches them.
Chapter: ``book/concepts/tokenization.ipynb``. Sources: Radford et al. 2019, section 2.2; OpenAI's ``tiktoken`` (ranks,
o200k_base); Yang et al. 2025, "Qwen3 Technical Report", section 2.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel, Split

from companion.data.fetched import folder
from companion.data.tokenization import BYTE_OF, END_OF_TEXT

ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
BEFORE, UPPER, LOWER = r"[^\r\n\p{L}\p{N}]?", r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
GPT4O_PIECES = (
    rf"{BEFORE}[{UPPER}]*[{LOWER}]+{ENDINGS}?|{BEFORE}[{UPPER}]+[{LOWER}]*{ENDINGS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_PIECES = rf"{ENDINGS}|{BEFORE}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN_ROLES = (
    *(END_OF_TEXT, "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
QWEN_MARKS = (
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
    *("<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
)


class Kind(NamedTuple):
    """How a tokenizer that is published as ranks cuts text, and what is no text.

    Attributes:
        pieces: regular expression of the pieces that no merge crosses.
        first: id of the first special token; the others follow.
        special: tokens that stand for no text.
        marks: tokens after these that are never cut, and are text all the same.
        nfc: whether characters are composed first (é as one, not as e and an accent).
    """

    pieces: str
    first: int
    special: Sequence[str]
    marks: Sequence[str] = ()
    nfc: bool = False


KINDS = {
    "gpt4o-tokenizer": Kind(GPT4O_PIECES, 199_999, [END_OF_TEXT]),
    "qwen3-tokenizer": Kind(QWEN_PIECES, 151_643, QWEN_ROLES, QWEN_MARKS, nfc=True),
}
NAMES = ("gpt2-tokenizer", *KINDS)


def published_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of GPT-2, GPT-4o or Qwen3, token for token.

    >>> published_tokenizer("bert")
    Traceback (most recent call last):
        ...
    ValueError: no published tokenizer is called 'bert'; there is gpt2-tokenizer, gpt4o-tokenizer, qwen3-tokenizer

    Args:
        name: "gpt2-tokenizer", "gpt4o-tokenizer" or "qwen3-tokenizer"; fetched when it is not in the cache.

    Raises:
        ValueError: on another name.
        companion.data.fetched.NotFetchedError: when it is not in the cache and cannot be downloaded.
    """
    if name not in NAMES:
        raise ValueError(f"no published tokenizer is called {name!r}; there is {', '.join(NAMES)}")
    place = folder(name)
    if name in KINDS:
        return tokenizer_of_ranks(read_ranks(place / "ranks.txt"), KINDS[name])
    lines = (place / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]  # the first names a version
    vocabulary = json.loads((place / "vocab.json").read_text(encoding="utf-8"))
    pairs = (line.partition(" ") for line in lines)
    tokenizer = Tokenizer(models.BPE(vocabulary, [(left, right) for left, _, right in pairs]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return _finished(tokenizer, [END_OF_TEXT])


def read_ranks(path: Path) -> dict[bytes, int]:
    """Ranks out of a file: on each line a token, its bytes in base 64, and its rank.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     path = Path(place, "ranks.txt")
    ...     _ = path.write_text("YQ== 0\\nYg== 1\\nYWI= 2\\n")
    ...     read_ranks(path)
    {b'a': 0, b'b': 1, b'ab': 2}
    """
    rows = (line.split() for line in path.read_text(encoding="ascii").splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in rows}


def tokenizer_of_ranks(ranks: Mapping[bytes, int], kind: Kind) -> Tokenizer:
    """A tokenizer out of ranks: every two tokens that make a third are a merge, in the order of the ranks.

    >>> made = tokenizer_of_ranks({b"a": 0, b"b": 1, b"ab": 2, b"aba": 3}, Kind(r"\\S+", 5, ["<end>"]))
    >>> made.encode("ababa<end>").ids
    [2, 3, 5]
    """
    merges = [
        (token[:cut], token[cut:])
        for token in sorted(ranks, key=ranks.__getitem__)
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    sign_of = {byte: sign for sign, byte in BYTE_OF.items()}
    written = {token: "".join(sign_of[byte] for byte in token) for token in ranks}
    vocabulary = {written[token]: rank for token, rank in ranks.items()}
    vocabulary |= {token: kind.first + place for place, token in enumerate((*kind.special, *kind.marks))}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(written[left], written[right]) for left, right in merges]))
    if kind.nfc:
        tokenizer.normalizer = normalizers.NFC()
    steps = [Split(Regex(kind.pieces), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return _finished(tokenizer, kind.special, kind.marks)


def _finished(tokenizer: Tokenizer, special: Sequence[str], marks: Sequence[str] = ()) -> Tokenizer:
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in marks])
    return tokenizer
