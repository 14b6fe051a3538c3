"""Text comes back as it went in, and each token has a label that a reader can tell apart."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PATIENT
from tokenizers import Tokenizer, pre_tokenizers
from transformers.models.gpt2.tokenization_gpt2 import GPT2Tokenizer
from transformers.models.t5.tokenization_t5 import T5Tokenizer

from companion.data.tokenization import (
    END_OF_TEXT,
    SPACE,
    WORDPIECE_SPECIALS,
    encode_as_text,
    load_tokenizer,
    ordinary_tokens,
    token_labels,
    train_byte_bpe,
    train_unigram,
    train_wordpiece,
    visible,
)
from companion.data.unigram import encode_unigram

TEXTS = ["the cat sat on the mat, and the cat ate\n\tthe hat"] * 3 + ["a fish, a dish", "naïve café: 语言模型 🙂"]


@pytest.fixture(scope="module")
def byte_bpe():
    return train_byte_bpe(TEXTS, 300)


@pytest.fixture(scope="module")
def wordpiece():
    return train_wordpiece(TEXTS, 60)


@pytest.fixture(scope="module")
def unigram():
    return train_unigram(TEXTS, 60)


def labels(tokenizer, text):
    return token_labels(tokenizer, tokenizer.encode(text).ids)


# Byte-level BPE


@settings(PATIENT, max_examples=200)
@given(text=st.text(max_size=60))
def test_any_text_comes_back_unchanged(byte_bpe, text):
    assert byte_bpe.decode(byte_bpe.encode(text).ids) == text


@pytest.mark.parametrize(
    "text", ["", " ", "  two  spaces  ", "\r\n\t\0", "naïve café", "语言模型", "👩‍👩‍👧 🏳️‍🌈", "\u202eabc\u200b"]
)
def test_hard_texts_come_back_unchanged(byte_bpe, text):
    assert byte_bpe.decode(byte_bpe.encode(text).ids) == text


def test_id_0_is_the_end_of_text(byte_bpe):
    assert byte_bpe.token_to_id(END_OF_TEXT) == 0
    assert byte_bpe.encode(f"a{END_OF_TEXT}").ids[-1] == 0


def test_the_vocabulary_holds_every_byte_and_has_the_size_that_was_asked_for(byte_bpe):
    assert byte_bpe.get_vocab_size() == 300
    assert set(pre_tokenizers.ByteLevel.alphabet()) < set(byte_bpe.get_vocab())


def test_merges_shorten_what_was_seen_often(byte_bpe):
    assert labels(byte_bpe, "the cat") == ["the", "␣cat"]
    assert len(byte_bpe.encode("the cat").ids) < len(train_byte_bpe(TEXTS, 257).encode("the cat").ids)


def test_training_is_deterministic(byte_bpe):
    assert train_byte_bpe(TEXTS, 300).to_str() == byte_bpe.to_str()


def test_it_splits_as_the_tokenizer_of_transformers_does(byte_bpe):
    merges = [tuple(pair) for pair in json.loads(byte_bpe.to_str())["model"]["merges"]]
    theirs = GPT2Tokenizer(vocab=byte_bpe.get_vocab(), merges=merges)
    for text in [*TEXTS, "It's  the CAT’s 12345 hats...\n\n  ok"]:
        assert theirs(text)["input_ids"] == byte_bpe.encode(text).ids


@pytest.mark.parametrize("size", [0, 256])
def test_a_vocabulary_too_small_for_the_bytes_is_refused(size):
    with pytest.raises(ValueError, match=f"needs more than 256 tokens; got {size}"):
        train_byte_bpe(TEXTS, size)


# WordPiece


def test_special_tokens_come_first_in_the_vocabulary(wordpiece):
    assert [wordpiece.id_to_token(i) for i in range(5)] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_a_text_stands_between_cls_and_sep(wordpiece):
    tokens = wordpiece.encode("the cat").tokens
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")


def test_a_pair_is_divided_by_sep_and_numbered_by_type(wordpiece):
    pair = wordpiece.encode("cat", "mat")
    first = len(wordpiece.encode("cat").ids)
    assert [t for t in pair.tokens if t.startswith("[")] == ["[CLS]", "[SEP]", "[SEP]"]
    assert pair.type_ids == [0] * first + [1] * (len(pair.ids) - first)


def test_pieces_inside_a_word_are_marked(wordpiece):
    assert wordpiece.encode("cats").tokens == ["[CLS]", "cat", "##s", "[SEP]"]


def test_case_is_folded_unless_told_otherwise(wordpiece):
    assert wordpiece.encode("The CAT").ids == wordpiece.encode("the cat").ids
    cased = train_wordpiece(["The Cat", "the cat"], 60, lowercase=False)
    assert cased.encode("The Cat").ids != cased.encode("the cat").ids


def test_what_was_never_seen_is_unknown(wordpiece):
    assert wordpiece.encode("Ω").tokens == ["[CLS]", "[UNK]", "[SEP]"]


def test_words_are_put_together_again(wordpiece):
    assert wordpiece.decode(wordpiece.encode("the cat ate").ids) == "the cat ate"


@pytest.mark.parametrize("size", [0, 5])
def test_a_vocabulary_too_small_for_the_special_tokens_is_refused(size):
    with pytest.raises(ValueError, match=f"needs more than 5 tokens; got {size}"):
        train_wordpiece(TEXTS, size)


def test_a_wordpiece_vocabulary_too_small_for_the_characters_is_refused():
    with pytest.raises(ValueError, match="the special tokens and characters alone need 25 tokens; got 24"):
        train_wordpiece(["abcdefghij", "jihgfedcba"], 24)
    assert train_wordpiece(["abcdefghij", "jihgfedcba"], 25).get_vocab_size() == 25


@pytest.mark.parametrize("size", [30, 60])
def test_wordpiece_training_is_deterministic(size):
    texts = ["abcdefgh hgfedcba", "acegbdfh", "bdfhaceg"]  # equally frequent pairs, whose order nothing else decides
    assert len({train_wordpiece(texts, size).to_str() for _ in range(6)}) == 1


def test_each_chinese_character_is_a_word_of_its_own():
    tokens = train_wordpiece(["语言模型语言模型"], 60).encode("语言模型").tokens
    assert tokens == ["[CLS]", "语", "言", "模", "型", "[SEP]"]


# Unigram


def pieces(tokenizer):
    return [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]


def known_text():
    return st.text("".join(sorted(set("".join(TEXTS)))), max_size=40)


@settings(PATIENT, max_examples=200)
@given(text=known_text())
def test_known_characters_come_back_but_for_a_space_at_the_start(unigram, text):
    assert unigram.decode(unigram.encode(text).ids) == text.removeprefix(" ")


def test_the_sign_by_which_spaces_are_written_comes_back_as_itself():
    tokenizer = train_unigram(["a▁b stands for a b", "b a stands"] * 5, 60)
    assert tokenizer.decode(tokenizer.encode("a▁b for a b").ids) == "a▁b for a b"
    assert "⟨2581⟩" in "".join(labels(tokenizer, "a▁b"))


def test_a_space_is_a_symbol_of_the_text(unigram):
    assert "".join(unigram.encode("the cat", add_special_tokens=False).tokens) == f"{SPACE}the{SPACE}cat"


def test_special_tokens_of_unigram_come_first_and_the_likeliest_piece_next(unigram):
    assert [unigram.id_to_token(i) for i in range(3)] == ["<pad>", "</s>", "<unk>"]
    scores = [score for _, score in pieces(unigram)[3:]]
    assert scores == sorted(scores, reverse=True)


def test_a_text_ends_with_its_mark_and_so_does_each_of_a_pair(unigram):
    assert unigram.encode("the cat").tokens[-1] == "</s>"
    assert unigram.encode("the cat", "the mat").tokens.count("</s>") == 2


def test_a_character_never_seen_is_unknown(unigram):
    assert labels(unigram, "Ω")[-2:] == ["<unk>", "</s>"]


@settings(PATIENT, max_examples=50)
@given(text=st.text("thecasmondi", min_size=1, max_size=12))
def test_it_takes_the_likeliest_segmentation(unigram, text):
    log_p = dict(pieces(unigram)[3:])
    ours = encode_unigram(SPACE + text, log_p)
    theirs = unigram.encode(text, add_special_tokens=False).tokens
    assert sum(log_p[p] for p in theirs) == pytest.approx(sum(log_p[p] for p in ours))


def test_unigram_training_is_deterministic(unigram):
    assert {train_unigram(TEXTS, 60).to_str() for _ in range(5)} == {unigram.to_str()}


def test_it_splits_as_the_t5_tokenizer_of_transformers_does(unigram):
    theirs = T5Tokenizer(vocab=pieces(unigram), extra_ids=0)
    for text in ["the cat sat on the mat", "a fish, a dish", "the hat ate Ω"]:
        assert theirs(text)["input_ids"] == unigram.encode(text).ids


@pytest.mark.parametrize("size", [0, 6])
def test_a_unigram_vocabulary_too_small_for_the_characters_is_refused(size):
    with pytest.raises(ValueError, match=f"the special tokens and characters alone need 7 tokens; got {size}"):
        train_unigram(["a b c"], size)
    assert train_unigram(["a b c"], 7).get_vocab_size() == 7


def test_texts_may_be_read_only_once():
    assert train_unigram(iter(TEXTS), 60).to_str() == train_unigram(TEXTS, 60).to_str()


# Labels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" ", ["␣"]),
        ("\n", ["⏎"]),
        ("\t", ["⇥"]),
        ("\0", ["⟨00⟩"]),
        ("\x7f", ["⟨7F⟩"]),
        ("\x85", ["⟨C2⟩", "⟨85⟩"]),
        ("the cat", ["the", "␣cat"]),
        (END_OF_TEXT, [END_OF_TEXT]),
    ],
)
def test_labels_show_what_cannot_be_seen(byte_bpe, text, expected):
    assert labels(byte_bpe, text) == expected


@pytest.mark.parametrize("invisible", ["\x85", "\xa0", "\xad", "\u200b", "\u2028", "\u3000", "\ufeff", "\U000e0041"])
def test_a_character_without_a_picture_is_shown_by_its_code(invisible):
    tokenizer = train_byte_bpe([" ".join([invisible * 3] * 20)], 400)
    (token,) = {tokenizer.token_to_id(one) for one in tokenizer.encode(invisible).tokens}
    assert token_labels(tokenizer, [token]) == [f"⟨{ord(invisible):02X}⟩"]


def test_a_line_break_in_a_piece_of_another_vocabulary_is_shown_too():
    unigram = train_unigram(["the cat\tsat\n"] * 5, 40)
    assert not {"\t", "\n"} & set("".join(labels(unigram, "the\tcat\n")))


def test_markup_stays_text(byte_bpe):
    assert "".join(labels(byte_bpe, "<img src=x>")) == "<img␣src=x>"


def test_a_part_of_a_character_is_shown_as_bytes(byte_bpe):
    assert labels(byte_bpe, "貓") == ["⟨E8⟩", "⟨B2⟩", "⟨93⟩"]


def test_joined_bytes_that_are_no_character_are_shown_together():
    tokenizer = train_byte_bpe(["貓貓" * 9], 258)  # one merge: two of the three bytes
    assert sorted(labels(tokenizer, "貓"), key=len) in (["⟨93⟩", "⟨E8⟩⟨B2⟩"], ["⟨E8⟩", "⟨B2⟩⟨93⟩"])


def test_joined_bytes_that_are_a_character_are_shown_as_the_character():
    assert labels(train_byte_bpe(["é" * 9], 258), "é") == ["é"]


def test_every_byte_has_a_label_of_its_own(byte_bpe):
    ids = [byte_bpe.token_to_id(letter) for letter in pre_tokenizers.ByteLevel.alphabet()]
    assert len(set(token_labels(byte_bpe, ids))) == 256


def test_there_is_one_label_a_token(byte_bpe):
    for text in TEXTS:
        assert len(labels(byte_bpe, text)) == len(byte_bpe.encode(text).ids)


def test_wordpiece_labels_are_its_tokens(wordpiece):
    assert labels(wordpiece, "cats Ω") == wordpiece.encode("cats Ω").tokens


def test_unigram_labels_are_its_pieces(unigram):
    assert labels(unigram, "the cat") == unigram.encode("the cat").tokens


@pytest.mark.parametrize("bad", [-1, 300, 10**6])
def test_an_id_outside_the_vocabulary_is_refused(byte_bpe, bad):
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary, 0 to 299"):
        token_labels(byte_bpe, [1, bad])


# Files


def test_a_saved_tokenizer_is_loaded_again(tmp_path, byte_bpe):
    byte_bpe.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path).to_str() == byte_bpe.to_str()


def test_a_loaded_tokenizer_shows_the_text_and_no_padding(tmp_path, wordpiece):
    """Sentence encoders ship with a fixed length, to which every text is padded or cut."""
    text = "the cat sat on the mat"
    fixed = Tokenizer.from_str(wordpiece.to_str())
    for length in (4, 128):
        fixed.enable_truncation(length)
        fixed.enable_padding(length=length)
        fixed.save(str(tmp_path / "tokenizer.json"))
        assert load_tokenizer(tmp_path).encode(text).tokens == wordpiece.encode(text).tokens


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no tokenizer.json"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"model": 3}'])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path, text):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match="tokenizer.json is not a tokenizer"):
        load_tokenizer(tmp_path)


# Texts of other people


@pytest.mark.parametrize(
    ("train", "name"), [(train_byte_bpe, END_OF_TEXT), (train_wordpiece, "[SEP]"), (train_unigram, "</s>")]
)
def test_a_text_that_spells_a_special_token_is_that_text(train, name):
    tokenizer = train([*TEXTS, *name], 300)
    (encoding,) = encode_as_text(tokenizer, [f"the {name} cat"], add_special_tokens=False)
    assert tokenizer.token_to_id(name) not in encoding.ids
    assert tokenizer.token_to_id(name) in tokenizer.encode(f"the {name} cat", add_special_tokens=False).ids  # as before


def test_words_may_be_given_as_lists(wordpiece):
    (encoding,) = encode_as_text(wordpiece, [["the", "[MASK]"]], is_pretokenized=True)
    assert wordpiece.token_to_id("[MASK]") not in encoding.ids
    assert encoding.word_ids[1] == 0


@pytest.mark.parametrize("half", [chr(0xD83D), chr(0xDC31)])
@pytest.mark.parametrize("words", [False, True])
def test_half_of_a_character_is_refused_by_name(wordpiece, half, words):
    text = ["the", half] if words else f"the{half}"
    with pytest.raises(ValueError, match=f"unpaired surrogate, half of a character, U.{ord(half):04X} at 3"):
        encode_as_text(wordpiece, [text], is_pretokenized=words)


def test_a_whole_character_is_none(wordpiece):
    assert encode_as_text(wordpiece, ["🐱"])


@pytest.mark.parametrize("train", [train_byte_bpe, train_wordpiece, train_unigram])
def test_a_vocabulary_that_no_memory_holds_is_refused(train):
    with pytest.raises(ValueError, match="a vocabulary may have at most 2000000 tokens; got 1000000000000"):
        train(TEXTS, 10**12)


def test_ordinary_tokens_are_all_but_the_special_ones(wordpiece):
    ordinary = ordinary_tokens(wordpiece)
    assert len(ordinary) == wordpiece.get_vocab_size() - len(WORDPIECE_SPECIALS)
    assert not set(ordinary) & {wordpiece.token_to_id(token) for token in WORDPIECE_SPECIALS}


ALONE = "\u0301\u0e31\u20dd\ufe0f\u3164\u2800\u115f\u1160\uffa0\u034f\u17b4\u2060\u00ad\u202e␣⏎⇥"


@pytest.mark.parametrize("char", ALONE, ids=lambda c: f"{ord(c):04X}")
def test_a_token_of_one_character_without_a_picture_of_its_own_is_told(char):
    label = visible(char)
    assert label in (f"⟨{ord(char):02X}⟩", f"◌{char}")
    assert label.strip("\u115f\u1160\u3164\uffa0\u2800").isprintable()


@pytest.mark.parametrize("text", ["é", "e\u0301", "❤\ufe0f", "नमस्ते", "你好"])
def test_marks_that_stand_on_a_letter_stay(text):
    assert visible(text) == text


def test_a_tokenizer_that_contradicts_itself_is_refused_before_it_encodes(tmp_path):
    content = json.loads(train_wordpiece(["the dog"], 30).to_str())
    content["post_processor"]["special_tokens"].pop("[CLS]")
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="tokenizer.json is not a"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_a_token_for_the_unknown_says_so():
    content = json.loads(train_unigram(["the dog"] * 3, 30).to_str())
    content["model"]["unk_id"] = None
    with pytest.raises(ValueError, match="this tokenizer cannot encode the texts: .*unk_id"):
        encode_as_text(Tokenizer.from_str(json.dumps(content)), ["你"])


NAMED = [(train_byte_bpe, END_OF_TEXT), *((train_wordpiece, name) for name in WORDPIECE_SPECIALS)]
NAMED += [(train_unigram, name) for name in ("<pad>", "</s>", "<unk>")]
FORMS = {
    "alone": "{}",
    "at the start": "{} the cat",
    "at the end": "the cat {}",
    "without spaces": "the{}cat",
    "twice": "{}{}",
    "in quotes": "<b>'{}'</b>",
    "on a line of its own": "the\n{}\ncat",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(("train", "name"), NAMED, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_wherever_a_text_spells_a_special_token_it_stays_text(train, name, form):
    text = form.format(*[name] * 2)
    tokenizer = train([*TEXTS, *[text, text.lower()] * 3], 400)
    before = tokenizer.encode(text).ids
    (encoding,) = encode_as_text(tokenizer, [text], add_special_tokens=False)
    assert tokenizer.token_to_id(name) not in encoding.ids
    assert tokenizer.encode(text).ids == before  # the tokenizer is left as it was


MARKED = {  # texts that hold what a tokenizer writes for a space, or before a piece inside a word
    "a block": "a\u2581b",
    "a block alone": "\u2581",
    "blocks in a row": "a \u2581\u2581\u2581 b",
    "a block before a space": "a\u2581 b",
    "a block after a space": "a \u2581b",
    "a block at the end": "a b\u2581",
    "the letter for a space": "a\u0120b \u0120",
    "the letter for a line break": "a\u010ab",
    "two hashes": "a ##b ## b",
    "the end of a word": "a</w> b</w>",
}


@pytest.mark.parametrize("text", MARKED.values(), ids=MARKED)
@pytest.mark.parametrize("train", [train_byte_bpe, train_unigram])
def test_a_text_that_holds_a_sign_of_the_tokenizer_comes_back(train, text):
    tokenizer = train([text, "b a stands for a b"] * 5, 300)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


@pytest.mark.parametrize("text", ["a ##b", "##", "a##b ##c"])
def test_hashes_of_a_text_are_no_pieces_inside_a_word(text):
    tokenizer = train_wordpiece([text, "a b c #"] * 5, 60)
    assert tokenizer.decode(tokenizer.encode(text).ids).replace(" ", "") == text.replace(" ", "")
