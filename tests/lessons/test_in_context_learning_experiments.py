"""What the chapter on in-context learning runs: fair lists, codes nobody has read, and dictionaries."""

import math

import pytest
import torch

from companion.lessons.in_context_learning import experiments
from companion.lessons.in_context_learning.experiments import TASKS, WORDS, code, mispaired

each_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


@each_task
def test_no_demonstration_gives_an_item_of_the_test_away(task):
    shown = {word for pair in task.train for word in pair}
    assert [pair for pair in task.test if pair[0] in shown] == []
    assert [pair for pair in task.train if pair in task.test] == []


@each_task
def test_no_input_comes_twice_in_the_test(task):
    assert len({given for given, _ in task.test}) == len(task.test) == 30


@each_task
def test_a_draw_has_no_pair_twice_and_another_seed_another_order(task):
    first, second = task.draw(8, seed=0), task.draw(8, seed=1)
    assert len(set(first)) == 8
    assert first != second


def test_a_code_pairs_each_word_once():
    pairs = code(8, seed=3)
    assert len({given for given, _ in pairs}) == len({output for _, output in pairs}) == 8
    assert pairs != code(8, seed=4)


def test_after_mispairing_no_input_keeps_its_output_and_no_output_is_lost():
    pairs = TASKS["capital"].draw(8, seed=0)
    wrong = mispaired(pairs, seed=0)
    assert not set(pairs) & set(wrong)
    assert sorted(output for _, output in wrong) == sorted(output for _, output in pairs)


@pytest.mark.parametrize("count", [1, 50])
def test_a_text_has_one_dictionary(count):
    dictionaries = experiments.few_dictionaries(3, seed=0)
    for row in experiments.texts(dictionaries, count, seed=1):
        inputs, outputs = row[::2], row[1::2] - WORDS
        assert any(torch.equal(one[inputs], outputs) for one in dictionaries)


def test_every_dictionary_is_there_once():
    every = experiments.all_dictionaries()
    assert len(every.unique(dim=0)) == len(every) == WORDS**WORDS


def test_likelihoods_of_an_input_add_up_to_one():
    table = experiments.likelihoods(experiments.few_dictionaries(4, seed=0)).exp()
    torch.testing.assert_close(table.sum(-1), torch.ones(4, WORDS))


def test_a_reader_of_one_dictionary_learns_it():
    one = experiments.few_dictionaries(1, seed=0)
    model = experiments.dictionary_reader(one, seed=0, steps=40)
    loss = experiments.outputs_loss(model, experiments.texts(one, 20, seed=9))
    assert loss < math.log(WORDS) / 2
    assert experiments.output_probabilities(model, experiments.texts(one, 2, seed=9)).shape == (2, 12, WORDS)
