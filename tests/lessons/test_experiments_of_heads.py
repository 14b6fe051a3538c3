"""What four chapters run beside their concepts: pronouns, gaps in a frame, passages, kinds of numbers."""

from types import SimpleNamespace

import pytest
import torch

from companion.data.tokenization import train_byte_bpe, train_wordpiece
from companion.lessons.attention.experiments import PRONOUNS, TURN, Pronoun, beginnings, lean
from companion.lessons.bert import experiments as bert
from companion.lessons.modern_decoder import experiments as decoder
from companion.lessons.transformer import experiments as translator
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig
from companion.models.transformer import Transformer, TransformerConfig

# attention


def test_each_pair_ends_in_two_words_and_names_two_nouns():
    for pair in PRONOUNS:
        assert pair.sentence.count("{}") == 1
        assert {pair.first, pair.second} <= set(pair.sentence.split())
        assert len({pair.first, pair.second, *pair.endings}) == 4


def small_bert(words: list[str]) -> tuple[Bert, object]:
    torch.manual_seed(0)
    tokenizer = train_wordpiece(words * 3, 200)
    size = tokenizer.get_vocab_size()
    return Bert(BertConfig(size, context_length=40, n_layers=2, n_heads=2, d_model=16)).eval(), tokenizer


def test_a_lean_changes_its_sign_with_the_endings():
    pair = Pronoun("a dog saw a cat as it was {}.", "dog", "cat", ("big", "old"))
    model, tokenizer = small_bert([pair.sentence.format(ending) for ending in pair.endings])
    one = lean(model, tokenizer, pair)
    assert one.shape == (2, 2)
    assert one.abs().max() > 0
    torch.testing.assert_close(one, -lean(model, tokenizer, pair._replace(endings=pair.endings[::-1])))


def test_a_noun_in_two_pieces_is_refused_by_name():
    pair = Pronoun("a dog saw a cat as it was {}.", "dromedary", "cat", ("big", "old"))
    model, tokenizer = small_bert([pair.sentence])
    with pytest.raises(ValueError, match="'dromedary' must be one token"):
        lean(model, tokenizer, pair)


def test_the_beginnings_differ_in_what_stands_first():
    tokenizer = train_byte_bpe(["The cat."], 259)
    tokenizer.add_special_tokens([TURN])
    found = beginnings(tokenizer, texts=3, length=20)
    written = found["as written"]
    assert all(ids.shape == (3, 20) for ids in found.values())
    assert torch.equal(found["first two exchanged"][:, :2], written[:, :2].flip(1))
    assert torch.equal(found["begin of a turn, then the text"][:, 1:], written[:, :-1])
    assert torch.equal(found["a random token for the first"][:, 1:], written[:, 1:])


# transformer


def test_passages_have_one_sentence_or_two_in_a_row():
    stories = translator.WORLDS["en"].stories(30)
    found = list(translator.passages(stories, seed=0))
    assert {len(passage) for passage in found} == {1, 2}
    for story, passage in zip(stories, found, strict=True):
        told = list(story.statements)
        begin = told.index(passage[0])
        assert told[begin : begin + len(passage)] == list(passage)


def test_a_translation_has_no_word_after_its_end():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(len(translator.VOCABULARY), 32, 1, 2, 8)).eval()
    batch = translator.collate(list(translator.passages(translator.WORLDS["en"].stories(3), seed=0)))
    assert all("<|endoftext|>" not in text for text in translator.translate(model, batch))


def test_a_translator_learns_in_a_few_steps():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(len(translator.VOCABULARY), 32, 1, 2, 16))
    history = translator.train(model, steps=20)
    assert len(history.loss) == 20
    assert history.loss[-1] < history.loss[0]


# bert


def test_a_masked_word_stands_in_its_part():
    first, second = [5, 6], [7, 8, 9]
    ids, types, real = bert.framed([[first, second], [first, [7]]], gaps=[3, 0])
    assert ids[0].tolist() == [bert.CLS, 5, 6, bert.SEP, 7, bert.MASK, 9, bert.SEP]
    assert types[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert ids[1][real[1]].tolist() == [bert.CLS, bert.MASK, 6, bert.SEP, 7, bert.SEP]


def test_both_sides_settle_what_the_left_leaves_open():
    told = "Tom is in the park . Anna is in the garden . Tom goes to the cave ."
    text = bert.WORDS.encode(told.split())
    left, both = bert.likeliest(text, gap=13)
    assert bert.WORDS.tokens[both] == "goes"
    assert bert.log_probability([*text[:13], both, *text[14:]]) >= bert.log_probability([*text[:13], left, *text[14:]])


def test_what_no_story_says_has_no_probability():
    assert bert.log_probability(bert.WORDS.encode(["park", "park"])) == float("-inf")


def test_the_commonest_word_is_the_full_stop_or_an_article():
    assert bert.WORDS.tokens[bert.commonest_word()] in (".", "the", "in")


def test_the_paraphrases_share_no_content_word():
    common = {"the", "a", "in", "of", "is", "to", "has", "that", "her", "his", "at"}
    for first, second in bert.PARAPHRASES:
        one, other = (set(text.lower().rstrip(".").split()) for text in (first, second))
        assert one & other <= common, (first, second)


# today's decoder


def test_the_inputs_of_rows_leave_out_the_last_token_and_know_the_padding():
    ids, real = decoder.inputs_of(torch.tensor([[4, 5, 6], [4, -100, -100]]))
    assert ids.shape == (2, 2)
    assert real.tolist() == [[True, True], [True, False]]


def test_kinds_of_numbers_are_counted_with_their_bits(monkeypatch):
    stored = {
        "a": SimpleNamespace(shape=(2, 32), kind="Q4_1", length=40),
        "b": SimpleNamespace(shape=(32,), kind="Q4_1", length=20),
        "norm": SimpleNamespace(shape=(3,), kind="F32", length=12),
    }
    monkeypatch.setattr(decoder, "GGUF", lambda path: SimpleNamespace(stored=stored))
    assert decoder.number_kinds("model.gguf") == [("Q4_1", 2, 96, 5.0), ("F32", 1, 3, 32.0)]


def test_the_training_run_takes_the_row_s_rate():
    torch.manual_seed(0)
    model = GPT(GPTConfig(len(decoder.WORLD.vocabulary), 144, 1, 2, 16))
    history = decoder.train(model, "GPT-2", steps=2)
    assert len(history.loss) == 2
