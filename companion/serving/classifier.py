"""Classifier of a folder, as a service runs it: from texts to labels with their probabilities.

Chapter: ``book/practice/train_save_serve.ipynb``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding

from companion.checkpoints.weight_files import WEIGHTS
from companion.data.batch import padded
from companion.data.downloads import sha256_of
from companion.data.tokenization import encode_as_text, load_tokenizer
from companion.finetuning.heads import SequenceClassifier
from companion.nn.checks import check_numbers


def load_classifier(folder: str | Path) -> Callable[[Sequence[str]], list[dict[str, Any]]]:
    """The function from texts to answers of a saved :class:`companion.finetuning.heads.SequenceClassifier`.

    An answer names the label, its probability, and how many tokens the model read. The function raises ValueError on a
    text that is longer than the model's context, or that has a word for which the tokenizer only has [UNK]: a model
    would answer all the same.

    >>> import tempfile
    >>> from companion.data.tokenization import train_wordpiece
    >>> from companion.models.bert import Bert, BertConfig
    >>> bert = Bert(BertConfig(vocab_size=14, context_length=8, n_layers=1, n_heads=1, d_model=4))
    >>> with tempfile.TemporaryDirectory() as place:
    ...     SequenceClassifier(bert, ["bad", "good"]).save_pretrained(place)
    ...     train_wordpiece(["so good"], 14).save(place + "/tokenizer.json")
    ...     sorted(load_classifier(place)(["so"])[0])
    ['label', 'probability', 'tokens']

    Args:
        folder: with config.json, model.safetensors and tokenizer.json.

    Raises:
        companion.checkpoints.CheckpointError: see :func:`companion.checkpoints.load_model`.
        FileNotFoundError: when there is no tokenizer.
    """
    model, tokenizer = SequenceClassifier.from_pretrained(folder), load_tokenizer(folder)
    unknown = tokenizer.token_to_id("[UNK]")
    longest = model.config.context_length

    @torch.inference_mode()
    def answer(texts: Sequence[str]) -> list[dict[str, Any]]:
        encodings = encode_as_text(tokenizer, texts)
        for number, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
            _check(number, text, encoding, longest, unknown)
        ids, real = padded([encoding.ids for encoding in encodings])
        logits = model(ids, attention_mask=real)
        check_numbers("logits", logits)
        probabilities = logits.softmax(-1)  # (texts, labels)
        return [
            {"label": model.labels[int(row.argmax())], "probability": row.max().item(), "tokens": len(encoding.ids)}
            for row, encoding in zip(probabilities, encodings, strict=True)
        ]

    return answer


def about(folder: str | Path) -> dict[str, str]:
    """What tells one model from another: the folder's name, and the SHA-256 of its weights.

    >>> from companion import zoo
    >>> about(zoo.folder("storyworld-bert"))["model"]
    'storyworld-bert'

    Raises:
        FileNotFoundError: when the folder has no model.safetensors.
    """
    return {"model": Path(folder).name, "sha256": sha256_of(Path(folder) / WEIGHTS)}


def _check(number: int, text: str, encoding: Encoding, longest: int, unknown: int | None) -> None:
    if len(encoding.ids) > longest:
        raise ValueError(f"text {number} must have at most {longest} tokens; got {len(encoding.ids)}")
    if unknown in encoding.ids:
        start, end = encoding.offsets[encoding.ids.index(unknown)]
        raise ValueError(f"text {number} has a word that the model has never read: {text[start:end]!a:.60}")
