"""From text to token numbers and back: byte-level BPE and WordPiece, over Hugging Face ``tokenizers``.

Chapter: ``book/algorithms/gpt.ipynb``. Sources: Sennrich et al. 2016 (BPE); Radford et al. 2019, section 2.2 (bytes);
Devlin et al. 2019, section 3 (WordPiece with [CLS] and [SEP]).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

END_OF_TEXT = "<|endoftext|>"
WORDPIECE_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_byte_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn GPT-2's kind of vocabulary: the 256 bytes, and the merges that shorten ``texts`` most.

    Any text can be encoded, and decoding gives it back unchanged (``skip_special_tokens=False`` where it may hold one);
    id 0 is ``<|endoftext|>``.

    Args:
        texts: documents to learn from.
        vocab_size: tokens in all, bytes and ``<|endoftext|>`` included.

    Raises:
        ValueError: when there is no room for the bytes.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size <= len(alphabet):
        raise ValueError(f"a byte-level vocabulary needs more than {len(alphabet)} tokens; got {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def train_wordpiece(texts: Iterable[str], vocab_size: int, lowercase: bool = True) -> Tokenizer:
    """Learn BERT's kind of vocabulary: words, and pieces of words marked by ``##``.

    Encoding puts [CLS] first and [SEP] last; a pair of texts becomes ``[CLS] A [SEP] B [SEP]``.

    Args:
        texts: documents to learn from.
        vocab_size: tokens in all, the five special ones included.
        lowercase: fold case and strip accents, as BERT's "uncased" checkpoints do.

    Raises:
        ValueError: when there is no room beside the special tokens.
    """
    if vocab_size <= len(WORDPIECE_SPECIALS):
        raise ValueError(f"a WordPiece vocabulary needs more than {len(WORDPIECE_SPECIALS)} tokens; got {vocab_size}")
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=list(WORDPIECE_SPECIALS), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Read ``tokenizer.json`` from a checkpoint's folder.

    Raises:
        FileNotFoundError: when the folder has none.
        ValueError: when the file is not a tokenizer.
    """
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no tokenizer.json")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{path} is not a tokenizer of the `tokenizers` library: {error}") from error


def token_labels(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Name each token so that a reader can tell it apart in a picture.

    A space is shown as ␣, a line break as ⏎, a tab as ⇥; other control characters, and bytes that are only a part of
    a character, as ⟨hex⟩. The pieces of a WordPiece vocabulary and special tokens stay as they are.

    Raises:
        ValueError: on an id outside the vocabulary.
    """
    byte_level = isinstance(tokenizer.decoder, decoders.ByteLevel)
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    labels = []
    for i in ids:
        token = tokenizer.id_to_token(i) if i >= 0 else None
        if token is None:
            raise ValueError(f"token id {i} is outside the vocabulary, 0 to {tokenizer.get_vocab_size() - 1}")
        labels.append(_show(bytes(_BYTE_OF[c] for c in token)) if byte_level and token not in special else token)
    return labels


def _show(raw: bytes) -> str:
    try:
        text = raw.decode("utf8")
    except UnicodeDecodeError:
        return "".join(f"⟨{byte:02X}⟩" for byte in raw)
    visible = {" ": "␣", "\n": "⏎", "\t": "⇥"}
    return "".join(visible.get(c) or (f"⟨{ord(c):02X}⟩" if ord(c) < 32 or ord(c) == 127 else c) for c in text)


def _byte_alphabet() -> dict[str, int]:
    """Map GPT-2's visible stand-in of each byte to the byte: printable Latin-1 as itself, the rest from U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTE_OF = _byte_alphabet()
