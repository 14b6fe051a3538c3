"""Stories with a list of questions: the answers stand where they are said to, and hidden ones cannot be read."""

import itertools
import random

import pytest
import torch

from companion.data.batch import IGNORED
from companion.storyworld import QUESTIONS, World
from companion.storyworld.questionnaire import (
    FACT,
    SPECIALS,
    hide,
    hide_answers,
    lay_out,
    questionnaire_batches,
    vocabulary_of,
)
from companion.storyworld.views import questions, summary, told

WORLD = World()
STORIES = WORLD.stories(40, seed=5)
CLS, SEP, MASK = vocabulary_of(WORLD).encode(SPECIALS)


def laid(n_questions=6, seed=0, **settings):
    return lay_out(STORIES, n_questions, random.Random(seed), **settings)


def words(ids):
    return vocabulary_of(WORLD).decode(ids)


def second_part(batch, row):
    return words(batch.ids[row][batch.token_type_ids[row] == 1])


def sentences(batch, row):
    return " ".join(second_part(batch, row)[:-1]).removesuffix(" .").split(" . ")


def test_the_numbers_are_those_of_the_worlds_own_tokenizer():
    batch = laid()
    tokenizer = WORLD.tokenizer(SPECIALS)
    for row, story in enumerate(STORIES):
        encoding = tokenizer.encode(list(told(story)), second_part(batch, row)[:-1], is_pretokenized=True)
        real = batch.attention_mask[row]
        assert batch.ids[row][real].tolist() == encoding.ids
        assert batch.token_type_ids[row][real].tolist() == encoding.type_ids
    assert tokenizer.get_vocab_size() == len(vocabulary_of(WORLD))


def test_what_happened_stands_first_and_each_part_ends_with_its_own_separator():
    batch = laid()
    for row, story in enumerate(STORIES):
        real = batch.attention_mask[row]
        first = words(batch.ids[row][real & (batch.token_type_ids[row] == 0)])
        assert first == ["[CLS]", *told(story), "[SEP]"]
        assert second_part(batch, row)[-1] == "[SEP]"


def test_padding_stands_at_the_end_and_belongs_to_nothing():
    batch = laid()
    assert not batch.attention_mask.all()
    for column in (batch.ids, batch.token_type_ids, batch.kinds):
        assert not column[~batch.attention_mask].any()
    assert (batch.attention_mask.int().diff(dim=1) <= 0).all()


@pytest.mark.parametrize("kind", QUESTIONS)
def test_the_kinds_mark_exactly_the_true_answers(kind):
    able = [story for story in STORIES if WORLD.process.questions_of(story.end, kind)]
    batch = lay_out(able, 1, random.Random(0), kinds=[kind])
    for row, story in enumerate(able):
        marked = batch.kinds[row] > 0
        assert set(batch.kinds[row][marked].tolist()) == {QUESTIONS.index(kind) + 1}
        said = second_part(batch, row)[:-1]
        answer = words(batch.ids[row][marked])
        assert any(
            [*asked.question, *asked.answer, "."] == said and [*asked.answer] == answer for asked in questions(story)
        )


def test_each_story_is_asked_so_many_questions_and_none_twice():
    batch = laid(n_questions=4)
    for row, story in enumerate(STORIES):
        said = sentences(batch, row)
        assert len(said) == len(set(said)) == min(4, len(list(questions(story))))


def test_kinds_are_asked_in_turn():
    batch = laid(n_questions=len(QUESTIONS))
    for row, story in enumerate(STORIES):
        possible = {asked.kind for asked in questions(story)}
        found = {QUESTIONS[number - 1] for number in batch.kinds[row].tolist() if number}
        assert found == possible


def test_facts_are_told_beside_the_questions_and_one_word_of_each_is_asked_for():
    batch = laid(n_questions=3, facts=True)
    for row, story in enumerate(STORIES):
        true = " ".join(summary(story)).removesuffix(" .").split(" . ")
        told_again = [said for said in sentences(batch, row) if said in true]
        assert sorted(told_again) == sorted(true)
        assert len(sentences(batch, row)) == len(true) + min(3, len(list(questions(story))))
        assert (batch.kinds[row] == FACT).sum() == len(true)


def test_some_stories_get_fewer_questions_when_told_to():
    counts = [len(sentences(laid(n_questions=6, fewer=share), row)) for share in (0.0, 1.0) for row in range(40)]
    all_of_them, fewer = counts[:40], counts[40:]
    assert all(0 < few <= many for few, many in zip(fewer, all_of_them, strict=True))
    assert sum(fewer) < sum(all_of_them)


def test_label_1_means_the_questions_of_the_story_before():
    own, mixed = laid(), laid(elsewhere=0.5)
    assert 0 < mixed.labels.sum() < len(STORIES)
    assert laid(elsewhere=0.0).labels.sum() == 0
    assert laid(elsewhere=1.0).labels.sum() == len(STORIES)
    for row, label in enumerate(mixed.labels.tolist()):
        assert sorted(sentences(mixed, row)) == sorted(sentences(own, row - label))


def test_hidden_answers_cannot_be_read_and_all_are_asked_for():
    batch = laid()
    inputs, targets = hide_answers(batch, WORLD)
    asked = batch.kinds > 0
    assert (inputs[asked] == MASK).all()
    assert torch.equal(inputs[~asked], batch.ids[~asked])
    assert torch.equal(targets[asked], batch.ids[asked])
    assert (targets[~asked] == IGNORED).all()


def hidden(batch, answers, share=0.15):
    draw = torch.Generator().manual_seed(0)
    return hide(batch, WORLD, answer_probability=answers, mask_probability=share, generator=draw)


def test_hide_hides_the_storys_own_answers_on_top_and_leaves_those_of_another_story():
    batch = laid(elsewhere=0.5)
    every, none = hidden(batch, 1.0), hidden(batch, 0.0)
    own = (batch.kinds > 0) & (batch.labels == 0)[:, None]
    assert (every.inputs[own] == MASK).all()
    assert torch.equal(every.targets[own], batch.ids[own])
    assert torch.equal(every.inputs[~own], none.inputs[~own])
    assert torch.equal(every.targets[~own], none.targets[~own])


@pytest.mark.parametrize(("answers", "share"), [(0.0, 0.15), (0.75, 0.15), (1.0, 0.4)])
def test_what_is_asked_for_is_the_word_that_stood_there_and_never_the_frame(answers, share):
    batch = laid(elsewhere=0.3)
    found = hidden(batch, answers, share)
    asked = found.targets != IGNORED
    assert torch.equal(found.targets[asked], batch.ids[asked])
    assert torch.equal(found.inputs[~asked], batch.ids[~asked])
    assert not torch.isin(batch.ids[asked], torch.tensor([0, CLS, SEP])).any()
    assert torch.equal(found.labels, batch.labels)
    assert torch.equal(found.token_type_ids, batch.token_type_ids)


def test_about_so_many_answers_are_hidden():
    batch = laid(n_questions=12)
    found = hidden(batch, answers=0.75)
    expected = 1 - (1 - 0.75) * (1 - 0.15 * 0.8)  # some are hidden as any other word is
    assert abs((found.inputs[batch.kinds > 0] == MASK).float().mean() - expected) < 0.1


def test_the_same_seed_gives_the_same_batches_and_another_seed_others():
    def first(seed):
        return list(itertools.islice(questionnaire_batches(WORLD, 4, seed, n_questions=3, elsewhere=0.25), 3))

    one, same, other = first(1), first(1), first(2)
    assert all(torch.equal(a, b) for x, y in zip(one, same, strict=True) for a, b in zip(x, y, strict=True))
    assert not all(torch.equal(x.inputs, y.inputs) for x, y in zip(one, other, strict=True) if len(x[0]) == len(y[0]))
    assert all(len(batch.labels) == 4 for batch in one)


@pytest.mark.parametrize(
    ("stories", "kinds", "message"),
    [
        ([], QUESTIONS, "there must be one; got 0 stories"),
        (STORIES, ["when"], "kinds must be among .*; got 'when'"),
        ([s for s in STORIES if not s.end.holder][:1], ["who"], "each story must allow a question"),
    ],
)
def test_what_cannot_be_asked_is_refused(stories, kinds, message):
    with pytest.raises(ValueError, match=message):
        lay_out(stories, 3, random.Random(0), kinds=kinds)


def test_a_batch_without_a_story_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        next(questionnaire_batches(WORLD, 0))
