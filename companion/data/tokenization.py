"""From text to token ids and back: byte-level BPE, WordPiece and unigram, over Hugging Face ``tokenizers``.

Chapter: ``book/concepts/tokenization.ipynb``; :mod:`companion.data.subwords` and :mod:`companion.data.unigram` build
the three by hand. Sources: Sennrich et al. 2016 (BPE); Radford et al. 2019, section 2.2 (bytes); Devlin et al. 2019,
section 3 (WordPiece with [CLS] and [SEP]); Kudo 2018 and Kudo & Richardson 2018 (unigram over text whose spaces are
symbols); Raffel et al. 2020 (</s>).
"""

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from companion.data.checks import check_characters, check_list, check_string, whole
from companion.nn.checks import check_integer

END_OF_TEXT = "<|endoftext|>"
WORDPIECE_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
UNIGRAM_SPECIALS = ("<pad>", "</s>", "<unk>")
LARGEST = 2_000_000  # tokens that training may ask for; vocabularies in use have up to about a million
SPACE = "▁"  # how a unigram vocabulary writes a space
NEVER = -1e4  # score of a special token, so that a text that spells its name is cut into other pieces
WRITTEN = "\ufdd0"  # and this very sign where a text holds it; Unicode gives the code to no character
SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", WRITTEN: f"⟨{ord(SPACE):04X}⟩"}
EMOJI_STYLE = "\ufe0f"  # drawn with the sign before it
BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE0F)))  # without ink
INVISIBLE = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")  # Unicode's kinds of characters without a picture


def train_byte_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A trained byte-level BPE tokenizer, GPT-2's kind: the 256 bytes, and the merges that shorten ``texts`` most.

    Any text can be encoded, and decoding gives it back unchanged (``skip_special_tokens=False`` where it may hold one);
    id 0 is ``<|endoftext|>``.

    >>> tokenizer = train_byte_bpe(["low lower lowest"], vocab_size=259)
    >>> tokenizer.encode("slow").tokens
    ['s', 'low']

    Args:
        texts: documents to learn from.
        vocab_size: tokens in all, bytes and ``<|endoftext|>`` included.

    Raises:
        ValueError: when there is no room for the bytes, more than ``LARGEST`` tokens are asked for, ``texts`` is a
            string, or a text holds half of a character.
    """
    _check_room(vocab_size)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size <= len(alphabet):
        raise ValueError(f"a byte-level vocabulary needs more than {len(alphabet)} tokens; got {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(whole(texts), trainer)
    return tokenizer


def train_wordpiece(texts: Iterable[str], vocab_size: int, lowercase: bool = True) -> Tokenizer:
    """A trained WordPiece tokenizer, BERT's kind: words, and pieces inside words marked by ``##``.

    The library learns by merging the most frequent pair, as BPE does, and encodes by the longest match, as BERT does.
    Each Chinese character is a word of its own. Encoding puts [CLS] first and [SEP] last; a pair of texts becomes
    ``[CLS] A [SEP] B [SEP]``.

    >>> train_wordpiece(["low lower lowest"], vocab_size=24).encode("Lowest").tokens
    ['[CLS]', 'lowest', '[SEP]']

    Args:
        texts: documents to learn from.
        vocab_size: tokens in all, the five special ones and every character of the texts included.
        lowercase: fold case and strip accents, as BERT's "uncased" checkpoints do.

    Raises:
        ValueError: when there is no room beside the special tokens, or none for the characters; else as
            :func:`train_byte_bpe`.
    """
    _check_room(vocab_size)
    if vocab_size <= len(WORDPIECE_SPECIALS):
        raise ValueError(f"a WordPiece vocabulary needs more than {len(WORDPIECE_SPECIALS)} tokens; got {vocab_size}")
    texts = list(whole(texts))
    characters = _wordpiece_vocabulary(texts, 0, (), lowercase)  # no room for merges: the characters alone
    inside = sorted(piece for piece in characters if piece.startswith("##"))  # else numbered at random, and so are ties
    vocabulary = _wordpiece_vocabulary(texts, vocab_size, (*WORDPIECE_SPECIALS, *inside), lowercase)
    if len(vocabulary) > vocab_size:
        raise ValueError(f"the special tokens and characters alone need {len(vocabulary)} tokens; got {vocab_size}")
    tokenizer = _bert(models.WordPiece(vocabulary, unk_token="[UNK]"), lowercase)
    tokenizer.add_special_tokens(list(WORDPIECE_SPECIALS))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _check_room(vocab_size: int) -> None:
    """Refuse a size for which the library would ask for more memory than there is, and end the process."""
    check_integer("vocab_size", vocab_size, least=0)
    if vocab_size > LARGEST:
        raise ValueError(f"a vocabulary may have at most {LARGEST} tokens; got {vocab_size}")


def _bert(model: models.WordPiece, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _wordpiece_vocabulary(texts: Sequence[str], size: int, first: Sequence[str], lowercase: bool) -> dict[str, int]:
    tokenizer = _bert(models.WordPiece(unk_token="[UNK]"), lowercase)
    every = sys.maxsize  # by default only 1000 characters are kept, and chance decides among equally frequent ones
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=list(first), limit_alphabet=every, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.get_vocab()


def train_unigram(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A trained unigram tokenizer, T5's kind: pieces with probabilities, in a text whose spaces are written as ``▁``.

    Encoding finds the likeliest segmentation and puts </s> last; a pair of texts becomes ``A </s> B </s>``. Decoding
    gives back a text of known characters, except a space at its start.

    >>> train_unigram(["low lower lowest"] * 4, vocab_size=14).encode("low").tokens
    ['▁low', '</s>']

    Args:
        texts: documents to learn from.
        vocab_size: tokens at most, the three special ones and every character of the texts included.

    Raises:
        ValueError: when there is no room for the characters; else as :func:`train_byte_bpe`.
    """
    _check_room(vocab_size)
    texts = list(whole(texts))
    least = len({" ", *"".join(texts)}) + len(UNIGRAM_SPECIALS)
    if vocab_size < least:
        raise ValueError(f"the special tokens and characters alone need {least} tokens; got {vocab_size}")
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace(SPACE, WRITTEN)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE)
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(replacement=SPACE), decoders.Replace(WRITTEN, SPACE)])
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=list(UNIGRAM_SPECIALS), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.model = models.Unigram(_settled(tokenizer), unk_id=UNIGRAM_SPECIALS.index("<unk>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return tokenizer


def _settled(tokenizer: Tokenizer) -> list[tuple[str, float]]:
    """A unigram vocabulary in a fixed order, because the library's order changes from run to run.

    Its sums differ in the last digits, and the characters that its pruning dropped come back in any order, each a
    ten-thousandth above the one before, from the lowest score on.
    """
    vocabulary = dict(json.loads(tokenizer.to_str())["model"]["vocab"])
    for name in UNIGRAM_SPECIALS:
        del vocabulary[name]
    characters = {piece for piece in vocabulary if len(piece) == 1}
    lowest = min(vocabulary.values(), default=0.0)
    dropped = {piece for piece in characters if vocabulary[piece] < lowest + 1e-4 * len(characters)}
    scores = {piece: round(lowest if piece in dropped else score, 6) for piece, score in vocabulary.items()}
    special = [(name, NEVER) for name in UNIGRAM_SPECIALS]
    return [*special, *sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))]


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a checkpoint's folder, read from its ``tokenizer.json``.

    It neither pads nor truncates, whatever the file says: those of sentence encoders bring every text to one length.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     train_wordpiece(["so good"], 14).save(f"{folder}/tokenizer.json")
    ...     load_tokenizer(folder).encode("so").tokens
    ['[CLS]', 's', '##o', '[SEP]']

    Raises:
        FileNotFoundError: when the folder has none.
        ValueError: when the file is not a tokenizer.
    """
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{path} is not a tokenizer of the `tokenizers` library: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    try:
        tokenizer.encode("a"), tokenizer.encode("a", "b")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a file that contradicts itself lets the library panic, which is no Exception
        raise ValueError(f"{path} is not a sound tokenizer: it encodes nothing; {error}") from error
    return tokenizer


def encode_as_text(
    tokenizer: Tokenizer, texts: Sequence[str] | Sequence[Sequence[str]], **options: Any
) -> list[Encoding]:
    """Encodings of texts, or of lists of words, in which the name of a special token is a piece of text as any other.

    A document may write ``<|endoftext|>`` without ending there.

    >>> tokenizer = train_byte_bpe([""], vocab_size=257)
    >>> [len(tokenizer.encode("<|endoftext|>").ids), len(encode_as_text(tokenizer, ["<|endoftext|>"])[0].ids)]
    [1, 13]

    Args:
        tokenizer: any of the ``tokenizers`` library.
        texts: strings, or lists of words with ``is_pretokenized=True``.
        options: of the library's ``encode_batch``.

    Raises:
        TypeError: on what is no text, such as None.
        ValueError: on half of a character, as texts from a PDF may hold, one text that is given for several, or a
            tokenizer without a token for what it does not know.
    """
    check_list("texts", texts)
    texts = list(texts)
    for text in texts:
        check_characters("".join(_strings(text)))
    before = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        return tokenizer.encode_batch(texts, **options)
    except TypeError:  # it names what is no text
        raise
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"this tokenizer cannot encode the texts: {error}") from error
    finally:
        tokenizer.encode_special_tokens = before


def _strings(text: Any) -> Iterator[str]:
    """The strings of a text: itself, its words, or those of the two texts of a pair."""
    if isinstance(text, list | tuple):
        for part in text:
            yield from _strings(part)
    else:
        check_string(text)
        yield text


def ordinary_tokens(tokenizer: Tokenizer) -> list[int]:
    """Ids of all tokens that are no special ones, in order.

    >>> len(ordinary_tokens(train_byte_bpe(["ab"], 257)))  # 256 bytes, and <|endoftext|>
    256
    """
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return [number for number in range(tokenizer.get_vocab_size()) if number not in special]


def token_labels(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """A visible label for each token id, as figures show them.

    A space is shown as ␣, a line break as ⏎, a tab as ⇥; other characters that cannot be seen, these three signs
    themselves, and bytes that are only a part of a character, as ⟨hex⟩. An accent without a letter stands on ◌. All
    else stays as it is.

    >>> tokenizer = train_byte_bpe([""], vocab_size=257)
    >>> token_labels(tokenizer, tokenizer.encode("a é").ids)
    ['a', '␣', '⟨C3⟩', '⟨A9⟩']

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
        as_bytes = byte_level and token not in special
        labels.append(_show(bytes(BYTE_OF[c] for c in token)) if as_bytes else visible(token))
    return labels


def _show(raw: bytes) -> str:
    try:
        return visible(raw.decode("utf8"))
    except UnicodeDecodeError:
        return "".join(f"⟨{byte:02X}⟩" for byte in raw)


def visible(text: str) -> str:
    """The text with a sign in the place of each character that cannot be seen.

    >>> visible("a b\u200b"), visible("\u0301")
    ('a␣b⟨200B⟩', '◌\u0301')
    """
    start = text[:1]
    if start == EMOJI_STYLE:
        return f"⟨{ord(start):04X}⟩{visible(text[1:])}"
    accent = "◌" if start and start not in BLANK and unicodedata.category(start).startswith("M") else ""
    return accent + "".join(map(_sign, text))


def _sign(c: str) -> str:
    hidden = c in BLANK or c in SIGNS.values() or unicodedata.category(c) in INVISIBLE
    return SIGNS.get(c) or (f"⟨{ord(c):02X}⟩" if hidden else c)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's visible stand-in of each byte -> the byte: printable Latin-1 as itself, the rest from U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


BYTE_OF = _byte_alphabet()
