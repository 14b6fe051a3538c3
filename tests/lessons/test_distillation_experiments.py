"""The stories, students and writers of the chapter on distillation."""

import pytest
import torch

from companion.finetuning.heads import TokenClassifier
from companion.lessons.distillation import experiments as e
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig


def tiny_teacher() -> TokenClassifier:
    config = BertConfig(e.TOKENIZER.get_vocab_size(), context_length=224, n_layers=4, n_heads=4, d_model=16)
    return TokenClassifier(Bert(config), e.NAMES).eval()


def test_the_students_stories_are_the_first_of_the_teachers():
    lesson, few, test = e.told(many=6, few=2, test=3)
    assert few.words == lesson.words[:2]
    assert len(test.words) == 3
    assert not {tuple(text) for text in lesson.words} & {tuple(text) for text in test.words}


def test_stories_score_a_tagger():
    _, few, _ = e.told(many=2, few=2, test=1)
    assert 0 <= few.f1(tiny_teacher()) <= 1


def test_students_of_one_seed_begin_alike_and_with_half_of_the_layers():
    teacher = tiny_teacher()
    one, same, usual = (e.student_of(teacher, positional=positional) for positional in (True, True, False))
    assert one.config.n_layers == 2
    assert one.config.d_model == teacher.config.d_model
    assert torch.equal(one.bert.token_embedding.weight, same.bert.token_embedding.weight)
    query = "encoder.blocks.0.attention.query.weight"
    assert not torch.equal(one.bert.get_parameter(query), usual.bert.get_parameter(query))


def test_attention_has_a_map_for_each_layer():
    text = e.TOKENIZER.encode("Tom is in the garden .")
    assert len(e.attention(tiny_teacher(), text)) == 4


def test_things_lie_together_or_apart():
    every, kinds = e.asked_of(60)
    assert len(every) == 60
    assert kinds["together"]
    assert kinds["apart"]
    assert all(story.end.holder for some in kinds.values() for story in some)


def test_a_true_story_is_possible_and_one_that_is_cut_off_or_shuffled_is_not():
    words = list(e.WORLD.stories(1, "a test")[0].tokens)
    assert e.is_possible(words)
    assert not e.is_possible(words[:7])
    assert not e.is_possible(words[::-1])


def test_a_small_writer_has_half_of_everything_but_the_words():
    writer = GPT(GPTConfig(len(e.WORLD.vocabulary), context_length=32, n_layers=4, n_heads=4, d_model=16))
    small = e.small_writer(writer).config
    assert (small.n_layers, small.d_model, small.vocab_size) == (2, 8, writer.config.vocab_size)


def test_words_of_a_row_leave_its_padding_out():
    assert e.words_of(torch.tensor([3, 4, -100])) == [e.WORLD.vocabulary[3], e.WORLD.vocabulary[4]]


def test_slips_are_counted_per_token_up_to_and_with_the_first():
    row = {"excess": 0.1, "entropy": 1.0, "tokens before a slip": 9.0, "without a slip": 0.0}
    run = {"own": row, "few": row | {"without a slip": 1.0, "excess": 0.3}}
    writers = e.Writers({"runs": [run, run], "teacher": row})
    assert writers.means["own"]["slips"] == pytest.approx(0.1)
    assert writers.means["few"]["slips"] == 0
    assert writers.between("own", "few")["excess"].mean == pytest.approx(-0.2)
