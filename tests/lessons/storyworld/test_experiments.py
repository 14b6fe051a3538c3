"""Where a story may end, and how long the stories are that a model tells."""

import torch

from companion.lessons.storyworld.experiments import end_probabilities, lengths
from companion.models.gpt import GPT, GPTConfig
from companion.storyworld import World


def small(world: World) -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(len(world.vocabulary), 48, n_layers=1, n_heads=2, d_model=8)).eval()


def test_the_exact_chances_of_an_end_add_up_to_the_number_of_stories():
    world = World("tiny")
    stories = world.stories(600, seed=3)
    said, exact = end_probabilities(small(world), stories)
    assert len(said) == len(exact)
    assert abs(exact.sum().item() / len(stories) - 1) < 0.1  # each story ends once
    assert 0 < exact.min() <= exact.max() <= 1


def with_an_end_that_is(world: World, sign: int) -> GPT:
    """A model whose logit of the end is far above all others, or far below, whatever was read."""
    model = small(world)
    with torch.no_grad():
        model.token_embedding.weight[0].mul_(1000)
        model.final_norm.weight.zero_()
        model.final_norm.bias.copy_(sign * model.token_embedding.weight[0])
    return model


def test_a_story_is_as_long_as_the_tokens_up_to_its_end():
    assert lengths(with_an_end_that_is(World("tiny"), 1), 3).tolist() == [1, 1, 1]


def test_a_story_without_an_end_is_as_long_as_the_context_allows():
    assert lengths(with_an_end_that_is(World("tiny"), -1), 2).tolist() == [48, 48]
