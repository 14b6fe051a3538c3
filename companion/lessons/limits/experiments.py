"""Questions to a published chat model, and probabilities of texts under it, many at once.

Chapter: ``book/concepts/limits.ipynb``; ``benchmarks/limits_real.py`` asks more of them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer

from companion import zoo
from companion.data.batch import padded
from companion.generation import GREEDY, Sampling, generate
from companion.generation.sampling import left_padded

CHAT_MODEL = "smollm2-135m"
END = "<|im_end|>"  # of a message
BATCH = 40  # texts computed at once


def replies(
    model: Any, tokenizer: Tokenizer, questions: Sequence[str], longest: int = 24, system: str | None = None
) -> list[str]:
    """Greedy answers of the chat model "smollm2-135m", each question in a chat of its own.

    Args:
        model: as :func:`companion.zoo.load` returns it.
        tokenizer: of the model.
        questions: what the user says.
        longest: largest number of tokens of an answer; what is longer is cut off.
        system: what the model is told before; the template's own sentence when not given.

    Raises:
        companion.data.fetched.NotFetchedError: when the model cannot be fetched.
    """
    before = [] if system is None else [{"role": "system", "content": system}]
    chats = [[*before, {"role": "user", "content": question}] for question in questions]
    texts = [zoo.chat_text(CHAT_MODEL, chat) for chat in chats]
    return [answer.strip() for answer in continuations(model, tokenizer, texts, longest)]


def continuations(
    model: Any, tokenizer: Tokenizer, texts: Sequence[str], longest: int, decoding: Sampling = GREEDY
) -> list[str]:
    """Texts with which the model goes on, up to the end of the message.

    Args:
        model: decoder-only.
        tokenizer: of the model.
        texts: what is continued, as it stands.
        longest: largest number of new tokens.
        decoding: how they are chosen.
    """
    stop = tokenizer.token_to_id(END)
    found = []
    for first in range(0, len(texts), BATCH):
        ids, real = left_padded([tokenizer.encode(text).ids for text in texts[first : first + BATCH]])
        new = generate(model, ids, longest, attention_mask=real, decoding=decoding, stop=stop)[:, ids.size(1) :]
        found += [tokenizer.decode(row, skip_special_tokens=True) for row in new.tolist()]
    return found


@torch.no_grad()
def log_probabilities(model: Any, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]) -> list[tuple[float, int]]:
    """Log-probability of each text's end after its beginning, and the number of the end's tokens.

    Args:
        model: decoder-only.
        tokenizer: of the model.
        texts: pairs of beginning and end; they are encoded apart, and the end is not empty.
    """
    found = []
    for first in range(0, len(texts), BATCH):
        encoded = [[tokenizer.encode(part).ids for part in pair] for pair in texts[first : first + BATCH]]
        ids, _ = padded([begin + end for begin, end in encoded])
        log_p = model(ids[:, :-1]).log_softmax(-1)  # (texts, length - 1, vocab)
        each = log_p.gather(-1, ids[:, 1:, None])[..., 0]
        for row, (begin, end) in zip(each, encoded, strict=True):
            at = len(begin) - 1
            found.append((row[at : at + len(end)].sum().item(), len(end)))
    return found
