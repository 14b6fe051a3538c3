"""Byte-level vocabularies as a page reads them: the tokens in the order of their merges, and the rule that cuts first.

Two neighbours merge whenever what they make is a token, the earliest one first; so no list of merges is needed, and a
file is a fifth as large. In the page ``frontend/byte_bpe.js`` reads it. Chapter: ``book/concepts/tokenization.ipynb``.
"""

import json
from typing import Any

from tokenizers import Tokenizer

from companion.data.fetched import folder
from companion.data.published_tokenizers import ENDINGS, KINDS, NAMES, read_ranks
from companion.data.tokenization import BYTE_OF, END_OF_TEXT

GPT2_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPELLED_OUT = "(?:'(?:[sſtmd]|[STMD]|[rR][eE]|[vV][eE]|[lL][lL]))"  # not every browser has (?i: )


def vocabulary(tokenizer: Tokenizer) -> dict[str, Any]:
    """Vocabulary of a byte-level BPE tokenizer: tokens by id (in signs that stand for bytes), pieces, nfc, added.

    >>> from companion.data.tokenization import train_byte_bpe
    >>> found = vocabulary(train_byte_bpe(["low lower lowest"], vocab_size=259))
    >>> found["tokens"][-2:], found["added"]
    (['lo', 'low'], {'<|endoftext|>': 0})

    Raises:
        ValueError: on a tokenizer of another kind.
    """
    described = json.loads(tokenizer.to_str())
    steps = described["pre_tokenizer"] or {}
    *split, last = steps.get("pretokenizers", [steps])
    cut = split[0].get("pattern", {}).get("Regex") if split else GPT2_PIECES
    if described["model"]["type"] != "BPE" or last.get("type") != "ByteLevel" or not cut or len(split) > 1:
        raise ValueError(f"a tokenizer here must be byte-level BPE; got {described['model']['type']}")
    added = {one["content"]: one["id"] for one in described["added_tokens"]}
    tokens = described["model"]["vocab"]
    ordered = sorted(tokens, key=tokens.__getitem__)
    return _finished(ordered, cut, (described["normalizer"] or {}).get("type") == "NFC", added)


def published_vocabulary(name: str) -> dict[str, Any]:
    """Vocabulary of GPT-2, GPT-4o or Qwen3, as :func:`vocabulary` gives it, without building a tokenizer.

    Args:
        name: as :func:`companion.data.published_tokenizers.published_tokenizer` has it.

    Raises:
        ValueError: on another name.
        companion.data.fetched.NotFetchedError: when it is not in the cache and cannot be downloaded.
    """
    if name not in NAMES:
        raise ValueError(f"no published tokenizer is called {name!r}; there is {', '.join(NAMES)}")
    if name not in KINDS:
        tokens = json.loads((folder(name) / "vocab.json").read_text(encoding="utf-8"))
        return _finished(sorted(tokens, key=tokens.__getitem__), GPT2_PIECES, False, {END_OF_TEXT: tokens[END_OF_TEXT]})
    kind, ranks = KINDS[name], read_ranks(folder(name) / "ranks.txt")
    sign_of = {byte: sign for sign, byte in BYTE_OF.items()}
    ordered = ["".join(sign_of[byte] for byte in token) for token in sorted(ranks, key=ranks.__getitem__)]
    added = {token: kind.first + place for place, token in enumerate((*kind.special, *kind.marks))}
    return _finished(ordered, kind.pieces, kind.nfc, added)


def _finished(tokens: list[str], pieces: str, nfc: bool, added: dict[str, int]) -> dict[str, Any]:
    """JavaScript's ``\\s`` is another set than the tokenizers', so the property that they mean is named."""
    spaces = pieces.replace(ENDINGS, SPELLED_OUT).replace(r"\s", r"\p{White_Space}").replace(r"\S", r"\P{White_Space}")
    return {"tokens": tokens, "pieces": spaces, "nfc": nfc, "added": added}
