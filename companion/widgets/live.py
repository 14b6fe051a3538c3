"""What a live :class:`companion.widgets.AttentionView` asks of its model.

Chapter: ``book/concepts/attention.ipynb``.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel
from torch import Tensor

from companion.data.checks import check_characters
from companion.data.tokenization import token_labels
from companion.generation import GREEDY, generate
from companion.models.bert import BertConfig, BertForPreTraining, segments_of
from companion.models.modern_bert import ModernBertForMaskedLM
from companion.models.transformer import EncoderDecoder
from companion.nn.capture import capture
from companion.nn.checks import check_numbers
from companion.nn.modes import evaluating
from companion.widgets.encoding import as_array

CANDIDATES = 5
MASKS = "[MASK]", "<mask>"  # names of the mask in the vocabulary of BERT, and of RoBERTa
FILLS_IN = BertForPreTraining, ModernBertForMaskedLM
ANSWER = 40  # tokens that a decoder writes, at most


@runtime_checkable
class Limited(Protocol):
    """The configuration of a model that reads a longest text; XLNet's names none.

    Attributes:
        context_length: the most tokens.
    """

    context_length: int


@dataclass(frozen=True)
class AttentionTrace:
    """One run of the model over one text of n tokens.

    Attributes:
        tokens: n labels.
        attention: (layers, heads, n, n); of an encoder–decoder model its cross-attention, (layers, heads, m, n).
        next_tokens: the likeliest continuations of a causal model, or the likeliest words behind the last mask
            of one that reads both ways, each with token, probability and text.
        mask: what in the text a choice of these takes the place of; "" = it is appended.
        device: where it ran.
        latency_ms: from text to answer.
        segments: of each token, 0 up to the first ``[SEP]`` and 1 after it; none where the model has no such token.
        model_layers: of the model, where some have no attention to record; 0 = all have.
        target: m labels of what the decoder of an encoder–decoder model read while it wrote its answer.
        maps: of such a model, attention by kind, as :meth:`companion.widgets.AttentionView.encoder_decoder` takes it.
    """

    tokens: list[str]
    attention: np.ndarray
    next_tokens: list[dict[str, Any]]
    mask: str
    device: str
    latency_ms: float
    segments: list[int] = field(default_factory=list)
    model_layers: int = 0
    target: list[str] = field(default_factory=list)
    maps: dict[str, np.ndarray] = field(default_factory=dict)


class Tracer:
    """Attention tracer: runs a model over a text, on the model's own device, and keeps what a picture needs."""

    def __init__(self, model: Any, tokenizer: Tokenizer) -> None:
        """Keep the two; the model must be one that :func:`companion.nn.capture.capture` can look into.

        Raises:
            ValueError: on another kind of tokenizer.
        """
        self.model = model
        self.tokenizer = without_padding(inner_tokenizer(tokenizer))

    def __call__(self, text: str) -> AttentionTrace:
        """Attention trace of ``text``.

        Raises:
            ValueError: when it has no token, or more than the model's context holds.
        """
        start = time.perf_counter()
        numbers = self.numbers(text)
        if isinstance(self.model, EncoderDecoder):
            return self._written(numbers, start)
        output, attention = self.run(numbers)
        mask = self.mask
        return AttentionTrace(
            tokens=token_labels(self.tokenizer, numbers),
            attention=attention,
            next_tokens=self._behind_mask(output, numbers) if mask else self._next(output, attention, numbers),
            mask=mask,
            device=self.device,
            latency_ms=(time.perf_counter() - start) * 1000,
            segments=self.segments(numbers),
            model_layers=self._layers_beside(len(attention)),
        )

    @torch.no_grad()
    def _written(self, numbers: list[int], start: float) -> AttentionTrace:
        """Trace of a source and of the likeliest answer to it, token by token: each row is about to write the next."""
        ids = torch.tensor([numbers], device=next(self.model.parameters()).device)
        count = min(ANSWER, self.model.config.context_length - 1)
        answer = generate(self.model, ids, count, decoding=GREEDY, stop=self.tokenizer.token_to_id("</s>"))
        read = answer[:, :-1]
        with evaluating(self.model), capture(self.model) as record:
            self.model(ids, read)
        depth = len(self.model.encoder.blocks)
        kinds = {"encoder": record.attention[:depth], "decoder": record.attention[depth:]}
        maps = {kind: as_array(layers) for kind, layers in kinds.items()}
        maps["cross"] = as_array(record.cross_attention, square=False)
        return AttentionTrace(
            tokens=token_labels(self.tokenizer, numbers),
            attention=maps["cross"],
            next_tokens=[],
            mask="",
            device=self.device,
            latency_ms=(time.perf_counter() - start) * 1000,
            target=token_labels(self.tokenizer, read[0].tolist()),
            maps=maps,
        )

    @property
    def mask(self) -> str:
        """The token whose place the model fills in; "" = it does not fill in."""
        return mask_of(self.tokenizer) if isinstance(self.model, FILLS_IN) else ""

    @property
    def device(self) -> str:
        """Where the model runs, in words."""
        return device_name(next(self.model.parameters()).device)

    def numbers(self, text: str) -> list[int]:
        """Ids of the tokens of ``text``.

        Raises:
            ValueError: when it has no token, or more than the model's context holds.
        """
        numbers = read_by(self.tokenizer, text)
        config = self.model.config
        if not numbers:
            raise ValueError("the text is empty: the model needs at least one token")
        if isinstance(config, Limited) and len(numbers) > config.context_length:
            raise ValueError(f"the text has {len(numbers)} tokens; the model reads at most {config.context_length}")
        return numbers

    def segments(self, numbers: list[int]) -> list[int]:
        """Sentence of each token of a model that is given pairs: 0 up to the first ``[SEP]``, 1 after it; else none."""
        sep_id = self.tokenizer.token_to_id("[SEP]")
        if sep_id is None or not self._is_given_pairs:
            return []
        return segments_of(torch.tensor([numbers]), sep_id)[0].tolist()

    @property
    def _is_given_pairs(self) -> bool:
        return isinstance(self.model.config, BertConfig)

    def _layers_beside(self, maps: int) -> int:
        """Number of the model's layers where it is not that of the maps."""
        layers = getattr(self.model.config, "n_layers", maps)
        return 0 if layers == maps else layers

    def run(self, numbers: list[int]) -> tuple[Tensor, np.ndarray]:
        """What the model computes last, (1, n, vocab_size) where it scores tokens, and its attention.

        Raises:
            ValueError: when the model has an encoder and a decoder.
        """
        if isinstance(self.model, EncoderDecoder):
            name = type(self.model).__name__
            raise ValueError(f"this needs one stack of layers; {name} has an encoder and a decoder")
        ids = torch.tensor([numbers], device=next(self.model.parameters()).device)
        with torch.no_grad(), evaluating(self.model), capture(self.model) as record:
            output = self.model(ids, *self._segments(ids))
        if isinstance(self.model, BertForPreTraining):
            output, _ = output  # the other one judges the pair of sentences
        return output, as_array(record.attention)

    def _segments(self, ids: Tensor) -> tuple[Tensor, ...]:
        """The second argument of a BERT that tells segments apart."""
        segments = self.segments(ids[0].tolist())
        if not segments or self.model.config.n_segments < 2:
            return ()
        return (torch.tensor([segments], device=ids.device),)

    def _next(self, output: Tensor, attention: np.ndarray, numbers: list[int]) -> list[dict[str, Any]]:
        """Return the likeliest next tokens, or none where a token sees what follows it."""
        scores_vocabulary = output.size(-1) == self.model.config.vocab_size
        if not scores_vocabulary or np.triu(attention, 1).any():
            return []
        return candidates(self.tokenizer, output[0, -1], numbers[-1])

    def _behind_mask(self, logits: Tensor, numbers: list[int]) -> list[dict[str, Any]]:
        """Return the likeliest tokens at the last mask of the text, or none where it has none."""
        mask_id = self.tokenizer.token_to_id(self.mask)
        if mask_id not in numbers:
            return []
        place = len(numbers) - 1 - numbers[::-1].index(mask_id)
        return candidates(self.tokenizer, logits[0, place])


def inner_tokenizer(tokenizer: Any) -> Tokenizer:
    """Return a ``tokenizers.Tokenizer`` itself, or the one inside a fast tokenizer of ``transformers``.

    Raises:
        ValueError: on any other tokenizer.
    """
    inside = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(inside, Tokenizer):
        raise ValueError(
            f"tokenizer must be a tokenizers.Tokenizer, or a fast tokenizer of transformers; "
            f"got {type(tokenizer).__name__}"
        )
    return inside


def read_by(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids of the tokens of a text; ValueError on half of a character."""
    check_characters(text)
    ids: list[int] = tokenizer.encode(text).ids
    return ids


def mask_of(tokenizer: Tokenizer) -> str:
    """Mask of a vocabulary: ``[MASK]``, or ``<mask>`` where only that is in it."""
    return next((mask for mask in MASKS if tokenizer.token_to_id(mask) is not None), MASKS[0])


def without_padding(tokenizer: Tokenizer) -> Tokenizer:
    """Tokenizer that neither pads nor cuts: itself, or a copy; sentence encoders ship with a fixed length."""
    if tokenizer.padding is None and tokenizer.truncation is None:
        return tokenizer
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    return plain


def candidates(
    tokenizer: Tokenizer, logits: Tensor, last: int | None = None, count: int = CANDIDATES
) -> list[dict[str, Any]]:
    """Return the likeliest tokens at one place, each with its label, its probability and what it adds to the text.

    A part of a character cannot be typed, and adds "". In the page, ``browser/candidates.js`` answers the same.

    Args:
        tokenizer: of the model.
        logits: (vocab_size,).
        last: the token before the place; behind a mask there is none, and a token adds its label.
        count: of tokens, at most.

    Raises:
        FloatingPointError: when the logits are not numbers.
    """
    check_numbers("logits", logits[None])
    best, numbers = logits.float().softmax(dim=-1).topk(min(count, logits.numel()))
    ids, probabilities = numbers.tolist(), best.tolist()
    labels = token_labels(tokenizer, ids)
    texts = labels if last is None else [added(tokenizer, last, [number]) for number in ids]
    return [
        {"id": number, "token": label, "probability": probability, "text": "" if "\ufffd" in text else text}
        for number, label, probability, text in zip(ids, labels, probabilities, texts, strict=True)
    ]


def added(tokenizer: Tokenizer, last: int, following: list[int]) -> str:
    """Text that tokens add to one that ends with the token ``last``."""
    if isinstance(tokenizer.decoder, ByteLevel):
        return tokenizer.decode(following)
    before = tokenizer.decode([last])  # a word carries no space: what does it add to the last?
    return tokenizer.decode([last, *following]).removeprefix(before)


def device_name(device: torch.device) -> str:
    """Name of where a model runs, as a view shows it."""
    return f"kernel · {torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type.upper()}"
