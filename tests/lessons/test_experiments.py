"""What the chapters run has a control that learns nothing, and treats its readers alike."""

import torch

from companion.data.vocabulary import Vocabulary
from companion.lessons.rise.experiments import accuracy_by_labels, last_vectors, linear_accuracy
from companion.models.gpt import GPT, GPTConfig
from companion.storyworld import World
from companion.storyworld.tasks import meeting

WORLD = World()
WORDS = Vocabulary(WORLD.vocabulary)


def blank() -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(len(WORDS), context_length=128, n_layers=1, n_heads=2, d_model=16)).eval()


def test_a_linear_classifier_finds_what_a_line_parts_and_nothing_in_noise():
    torch.manual_seed(0)
    x, x_test = torch.randn(400, 5), torch.randn(2000, 5)
    plain = linear_accuracy(x, (x[:, 0] > 0.2).float(), x_test, (x_test[:, 0] > 0.2).float())
    noise = linear_accuracy(x, torch.randint(2, (400,)).float(), x_test, torch.randint(2, (2000,)).float())
    assert plain > 0.95
    assert abs(noise - 0.5) < 0.05


def test_the_last_vector_is_that_of_the_last_token_whatever_stands_beside_it():
    model, examples = blank(), meeting(WORLD.stories(20))[:6]
    together = last_vectors(model, WORDS, examples)
    alone = torch.cat([last_vectors(model, WORDS, [one]) for one in examples])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_readers_get_the_same_questions_and_a_draw_is_repeatable():
    model, examples = blank(), meeting(WORLD.stories(80))
    first = accuracy_by_labels(model, WORDS, examples[:32], examples[32:], (4, 16), draws=2)
    again = accuracy_by_labels(model, WORDS, examples[:32], examples[32:], (4, 16), draws=2)
    assert list(first) == ["naive Bayes", "random weights", "pre-trained"]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(((curve >= 0) & (curve <= 1)).all() for curve in first.values())
