"""Models of ``transformers`` in the views: run where they are for their attention, or read into this package.

Chapter: ``book/practice/huggingface.ipynb``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from companion.models.conversion import from_transformers, is_of_transformers
from companion.nn.modes import evaluating
from companion.nn.wrappers import unwrapped
from companion.widgets.encoding import as_array
from companion.widgets.live import Tracer, inner_tokenizer, mask_of, read_by

SCORES = ("logits", "prediction_logits", "last_hidden_state")  # what a model of transformers computes last, by name


def readable(model: Any, tokenizer: Any) -> tuple[Any, Tokenizer]:
    """Return a model and its tokenizer as the views look into them.

    A model of ``transformers`` is copied, by :func:`companion.models.conversion.from_transformers`; of a fast tokenizer
    it is the one inside.

    Raises:
        ValueError: on what is no model, another kind of tokenizer, or a family that this package does not have.
    """
    model = _model(model)
    return (from_transformers(model) if is_of_transformers(model) else model), inner_tokenizer(tokenizer)


def tracer(model: Any, tokenizer: Any) -> Tracer:
    """Return what traces the attention of a model: of ``transformers``, or of this package.

    Raises:
        ValueError: on what is no model, another kind of tokenizer, or an encoder–decoder of a family that this package
            does not have.
    """
    model = _model(model)
    if is_of_transformers(model) and not model.config.is_encoder_decoder:
        return TransformersTracer(model, tokenizer)
    return Tracer(*readable(model, tokenizer))


def _model(given: Any) -> nn.Module:
    """The model inside what torch wraps around it; a compiled one gives no attention."""
    if not isinstance(given, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, of this package or of transformers; got {given!r:.60}")
    return unwrapped(given)


class TransformersTracer(Tracer):
    """Tracer of a model of ``transformers``, on its own device and with its own weights, as they are at each run."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Keep the two.

        Args:
            model: encoder, or decoder, with or without a head.
            tokenizer: its fast tokenizer, or a ``tokenizers.Tokenizer``.
        """
        super().__init__(model, tokenizer)
        self._mask_token = getattr(tokenizer, "mask_token", None) or mask_of(self.tokenizer)
        limits = model.config.get_text_config().to_dict().get("max_position_embeddings"), _longest(tokenizer)
        self._longest = min((limit for limit in limits if limit), default=None)

    @property
    def mask(self) -> str:
        """The token whose place the model fills in; "" = it does not fill in."""
        name = type(self.model).__name__
        fills_in = name.endswith(("ForMaskedLM", "ForPreTraining")) and name != "ElectraForPreTraining"
        return self._mask_token if fills_in else ""

    def numbers(self, text: str) -> list[int]:
        """Ids of the tokens of ``text``.

        Raises:
            ValueError: when it has no token, or more than the model's context holds.
        """
        numbers = read_by(self.tokenizer, text)
        if not numbers:
            raise ValueError("the text is empty: the model needs at least one token")
        if self._longest and len(numbers) > self._longest:
            raise ValueError(f"the text has {len(numbers)} tokens; the model reads at most {self._longest}")
        return numbers

    @property
    def _is_given_pairs(self) -> bool:
        return getattr(self.model.config, "type_vocab_size", 0) > 1

    def run(self, numbers: list[int]) -> tuple[Tensor, np.ndarray]:
        """What the model computes last, (1, n, vocab_size) where it scores tokens, and its attention."""
        inputs = {"input_ids": torch.tensor([numbers], device=self.model.device)}
        if segments := self.segments(numbers):
            inputs["token_type_ids"] = torch.tensor([segments], device=self.model.device)
        with torch.no_grad(), evaluating(self.model), _eager(self.model):
            found = self.model(**inputs, output_attentions=True)
        output = next(found[name] for name in SCORES if name in found)
        return output, as_array([layer for layer in found.attentions if layer is not None])

    def _layers_beside(self, maps: int) -> int:
        layers = getattr(self.model.config.get_text_config(), "num_hidden_layers", maps)
        return 0 if layers == maps else layers


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """With the attention that returns its weights, and afterwards the one that was chosen."""
    chosen = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(chosen)


def _longest(tokenizer: Any) -> int | None:
    """The most tokens that a tokenizer of ``transformers`` names; it has a huge number for none."""
    longest = getattr(tokenizer, "model_max_length", None)
    return longest if longest is not None and longest < 10**9 else None
