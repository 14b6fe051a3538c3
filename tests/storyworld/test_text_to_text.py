"""Every task is one text to read and one to write, in one vocabulary; the examples say what the world says."""

import itertools
import random

import pytest
import torch

from companion.data.batch import IGNORED
from companion.models.t5 import T5, T5Config
from companion.storyworld import QUESTIONS, World
from companion.storyworld.text_to_text import (
    CHINESE,
    END,
    END_ID,
    ENGLISH,
    LONGEST,
    PREFIXES,
    SENTINELS,
    START_ID,
    TEXT_TO_TEXT_TASKS,
    VOCABULARY,
    Example,
    collate,
    examples,
    generate_texts,
    majority,
    span_corruption,
    span_corruption_batches,
    t5_learning_rates,
    task_mixture,
)
from companion.storyworld.views import summary, told

STORIES = ENGLISH.stories(60, seed=3)
EVEN = dict.fromkeys(TEXT_TO_TEXT_TASKS, 1.0)


def words_of(row):
    return VOCABULARY.decode(i for i in row.tolist() if i > END_ID)


def test_start_and_end_have_the_numbers_that_t5_gives_them():
    assert VOCABULARY.encode(["<pad>", "</s>"]) == [START_ID, END_ID] == [0, 1]


def test_the_vocabulary_is_both_languages_the_prefixes_and_the_sentinels():
    assert {*ENGLISH.vocabulary[2:], *CHINESE.vocabulary[2:], *PREFIXES, *SENTINELS} <= set(VOCABULARY.tokens)
    assert len(VOCABULARY) == 2 + len(ENGLISH.vocabulary) + len(CHINESE.vocabulary) - 4 + len(PREFIXES + SENTINELS)


@pytest.mark.parametrize("task", TEXT_TO_TEXT_TASKS)
def test_every_text_of_a_task_is_in_the_vocabulary_and_fits(task):
    for example in examples(task, STORIES):
        assert max(len(example.source), len(example.target)) < LONGEST
        VOCABULARY.encode((*example.source, *example.target))


def test_a_translation_tells_the_same_events():
    for story, there, back in zip(
        STORIES, examples("to Chinese", STORIES), examples("to English", STORIES), strict=True
    ):
        assert there.source[0] == "translate to Chinese:"
        assert back.source[0] == "translate to English:"
        assert there.source[1:] == back.target == told(story)
        assert there.target == back.source[1:]
        assert World(language="zh").read(there.target) == list(story.statements)


def test_a_summary_is_that_of_the_world():
    example = examples("summary", STORIES)[0]
    assert example.source == ("summarize:", *told(STORIES[0]))
    assert example.target == summary(STORIES[0])


def test_an_answer_is_true_at_the_end_of_its_story():
    for story, example in zip(STORIES, examples("answer", STORIES), strict=True):
        context = example.source.index("context:")
        assert example.source[0] == "question:"
        assert example.source[context + 1 :] == told(story)
        if example.kind == "where":
            assert example.target == (story.end.place[example.source[context - 1]],)


def test_every_kind_of_question_is_asked():
    assert {example.kind for example in examples("answer", STORIES)} == set(QUESTIONS)


def test_the_seed_draws_the_questions():
    assert examples("answer", STORIES, seed=1) == examples("answer", STORIES, seed=1)
    assert examples("answer", STORIES, seed=1) != examples("answer", STORIES, seed=2)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="task must be one of to Chinese, to English, summary, answer; got 'rhyme'"):
        examples("rhyme", STORIES)


def test_a_batch_reads_to_the_end_token_and_is_asked_for_one():
    batch = collate([Example(("summarize:", "Tom", "."), ("Tom",)), Example(("context:",), ("Anna", "Tom", "."))])
    assert words_of(batch.inputs[0]) == ["summarize:", "Tom", "."]
    assert batch.inputs[0].tolist()[-1] == END_ID
    assert batch.targets[0].tolist() == [VOCABULARY.number("Tom"), END_ID, IGNORED, IGNORED]
    assert batch.decoder_inputs[0, 0] == START_ID


def test_a_mixture_holds_its_tasks_in_their_shares():
    prefixes = []
    for batch in itertools.islice(task_mixture({"to Chinese": 3, "summary": 1}, 16, seed=1), 32):
        prefixes += [VOCABULARY.tokens[i] for i in batch.inputs[:, 0].tolist()]
    assert set(prefixes) == {"translate to Chinese:", "summarize:"}
    assert 0.65 < prefixes.count("translate to Chinese:") / len(prefixes) < 0.85


def test_a_mixture_is_the_same_each_time():
    first, again = (list(itertools.islice(task_mixture(EVEN, 4, seed=2), 5)) for _ in range(2))
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))


def test_held_out_stories_are_not_taught():
    shown = ENGLISH.stories(64, seed="0/0")
    taught = {
        tuple(words_of(row))
        for batch in itertools.islice(task_mixture({"to Chinese": 1}, 4, 0, shown[:32]), 8)
        for row in batch.inputs
    }
    assert not taught & {("translate to Chinese:", *told(story)) for story in shown[:32]}
    assert taught & {("translate to Chinese:", *told(story)) for story in shown[32:]}


@pytest.mark.parametrize("shares", [{}, {"rhyme": 1.0}, {"summary": -1.0, "answer": 2.0}, {"summary": 0.0}], ids=str)
def test_shares_that_say_nothing_are_refused(shares):
    with pytest.raises(ValueError, match="weights must be of to Chinese, to English, summary, answer, none negative"):
        task_mixture(shares)


def test_a_batch_of_no_examples_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        next(task_mixture(EVEN, 0))


def test_gaps_put_back_give_the_text():
    texts = [told(story) for story in STORIES]
    batch = span_corruption(texts, torch.Generator().manual_seed(0))
    for text, read, asked in zip(texts, batch.inputs, batch.targets, strict=True):
        spans, mark = {}, ""
        for word in words_of(asked):
            mark = word if word in SENTINELS else mark
            spans.setdefault(mark, []).extend([] if word in SENTINELS else [word])
        restored = [w for word in words_of(read) for w in (spans[word] if word in SENTINELS else [word])]
        assert tuple(restored) == text


def test_gapped_stories_come_in_both_languages():
    seen = {
        word
        for batch in itertools.islice(span_corruption_batches(8), 3)
        for row in batch.inputs
        for word in words_of(row)
    }
    assert {"is", "在"} <= seen


def test_the_rates_slow_queries_and_hasten_the_bias_of_distances():
    model = T5(T5Config(20, 1, 2, 8))
    share = t5_learning_rates(16)
    found = {name: share(name, 1) for name, _ in model.named_parameters()}
    assert {name for name, own in found.items() if own == 0.25} == {n for n in found if n.endswith("query.weight")}
    assert {name for name, own in found.items() if own == 30} == {n for n in found if n.endswith("table.weight")}
    assert set(found.values()) == {0.25, 1.0, 30.0}


def test_what_is_written_does_not_depend_on_the_company():
    torch.manual_seed(0)
    model = T5(T5Config(len(VOCABULARY), 1, 2, 16, context_length=LONGEST)).eval()
    sources = [example.source for example in examples("to Chinese", STORIES[:5])]
    alone = [generate_texts(model, [source], at_most=6)[0] for source in sources]
    assert generate_texts(model, sources, at_most=6, together=2) == alone
    assert all(len(text) <= 6 and END not in text for text in alone)


def test_the_majority_is_the_most_frequent_answer_of_the_same_kind():
    training = [
        Example((), (word,), kind) for word, kind in [("no", "see"), ("no", "see"), ("yes", "see"), ("Tom", "who")]
    ]
    assert majority(training, [Example((), ("yes",), "see"), Example((), ("x",), "who")]) == [("no",), ("Tom",)]


def test_a_task_draws_from_what_it_is_given():
    assert TEXT_TO_TEXT_TASKS["answer"](STORIES[0], random.Random(1)) == TEXT_TO_TEXT_TASKS["answer"](
        STORIES[0], random.Random(1)
    )
