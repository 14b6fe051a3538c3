"""Changed bytes, changed JSON, odd texts and odd values, for ``benchmarks/fuzz.py``."""

import math
import random
from typing import Any

import torch

NUMBERS = [0, -1, 1, 2.5, 7, 2**31, 10**30, 1e308, math.nan, math.inf]
VALUES: list[Any] = [None, True, False, *NUMBERS, "", "x", "false", "1e-5", [], [1], {}]
CHARACTERS = "ab \n\t\0\x1b▁Ġ#é你\u0301\u200b\u202e\ufe0f\ud83d\udc00😀<|endoftext|>[SEP]</s>"


def changed_bytes(content: bytes, draw: random.Random) -> bytes:
    """Content with some bytes changed, cut out, put in, or with its end cut off."""
    held = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        place = draw.randrange(len(held) + 1)
        if draw.random() < 0.7:  # most of what is told stands at the beginning
            place = min(place, draw.randrange(400))
        match draw.randrange(5):
            case 0:
                held[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del held[place : place + draw.randrange(1, 9)]
            case 2:
                held[place:place] = draw.randbytes(draw.randrange(1, 9))
            case 3:
                del held[place:]
            case 4:
                held[place : place + 8] = draw.choice((0, 1, 2**31, 2**63, 2**64 - 1)).to_bytes(8, "little")
    return bytes(held)


def changed_json(content: Any, draw: random.Random) -> Any:
    """JSON in which a value, anywhere, is another one, is missing, or is nested deeply."""
    if isinstance(content, dict) and content and draw.random() < 0.9:
        key = draw.choice(list(content))
        if draw.random() < 0.15:
            return {name: value for name, value in content.items() if name != key}
        return content | {key: changed_json(content[key], draw)}
    if isinstance(content, list) and content and draw.random() < 0.7:
        place = draw.randrange(len(content))
        return [*content[:place], changed_json(content[place], draw), *content[place + 1 :]]
    if draw.random() < 0.02:
        deep: Any = 0
        for _ in range(200):
            deep = [deep]
        return deep
    return draw.choice(VALUES)


def text(draw: random.Random, longest: int = 12) -> str:
    """A text of characters that make trouble."""
    return "".join(draw.choice(CHARACTERS) for _ in range(draw.randrange(longest)))


def junk(draw: random.Random) -> Any:
    """A value that a learner may give by mistake."""
    made = (
        lambda: draw.choice(VALUES),
        lambda: text(draw),
        lambda: torch.randn(draw.randrange(3), draw.randrange(3)),
        lambda: torch.randint(-2, 13, (1, draw.randrange(1, 5))),
    )
    return draw.choice(made)()
