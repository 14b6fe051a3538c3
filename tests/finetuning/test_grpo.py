"""GRPO as a training: what is rewarded becomes likely, and what is drawn is drawn by the model itself."""

import copy

import pytest
import torch

from companion.finetuning.grpo import Grpo, grpo, write_answers
from companion.generation import GREEDY, Sampling
from companion.models.gpt import GPT, GPTConfig

STOP = 0
SMALL = Grpo(steps=25, prompts=2, group_size=8, max_new_tokens=2, learning_rate=0.03)
PROMPTS = [[1, 2], [3], [4, 5, 6]]


def model(seed: int = 0) -> GPT:
    torch.manual_seed(seed)
    return GPT(GPTConfig(vocab_size=9, context_length=12, n_layers=1, n_heads=2, d_model=8))


def seven(number: int, answer: list[int]) -> float:
    return float(answer[0] == 7)


def test_an_answer_that_is_rewarded_becomes_the_usual_one():
    policy = model()
    rounds = grpo(policy, PROMPTS, seven, stop=STOP, settings=SMALL)
    assert sum(rounds[0].rewards) < len(rounds[0].rewards) / 2
    assert [answer[0] for answer in write_answers(policy, PROMPTS, 1, STOP, GREEDY)] == [7, 7, 7]


def test_a_reward_that_never_differs_changes_no_weight():
    policy, before = model(), model()
    grpo(policy, PROMPTS, lambda number, answer: 1.0, stop=STOP, settings=Grpo(steps=3, prompts=2, max_new_tokens=2))
    for one, other in zip(policy.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_same_seed_gives_the_same_run_and_another_another():
    first, again, other = (
        grpo(copy.deepcopy(model()), PROMPTS, seven, stop=STOP, settings=Grpo(steps=2, prompts=2), seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_round_has_each_prompt_with_its_group():
    (one,) = grpo(model(), PROMPTS, seven, stop=STOP, settings=Grpo(steps=1, prompts=2, group_size=3, max_new_tokens=4))
    assert [one.prompts.count(number) for number in set(one.prompts)] == [3, 3]
    assert [seven(*pair) for pair in zip(one.prompts, one.answers, strict=True)] == one.rewards
    assert all(STOP not in answer[:-1] and len(answer) <= 4 for answer in one.answers)


def test_prompts_of_unequal_length_are_answered_as_if_alone():
    policy = model()
    together = write_answers(policy, PROMPTS, 3, STOP, GREEDY)
    assert together == [write_answers(policy, [prompt], 3, STOP, GREEDY)[0] for prompt in PROMPTS]


def test_answers_are_drawn_from_the_model():
    """Every token is as frequent as it is likely: chi-square, 8 degrees of freedom, at one in ten thousand."""
    policy, n = model(), 2000
    likely = policy.eval()(torch.tensor([[1, 2]])).detach()[0, -1].softmax(-1) * n
    drawn = torch.tensor([answer[0] for answer in write_answers(policy, [[1, 2]] * n, 1, STOP, Sampling(seed=0))])
    counts = drawn.bincount(minlength=9)
    assert float(((counts - likely) ** 2 / likely).sum()) < 31.8


def test_too_few_prompts_are_refused():
    with pytest.raises(ValueError, match="a round takes 8 prompts; there are 3"):
        grpo(model(), PROMPTS, seven, stop=STOP)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("prompts", True),
        ("group_size", 1),
        ("updates", 1.5),
        ("max_new_tokens", 0),
        ("learning_rate", -1e-3),
        ("epsilon", "0.2"),
        ("beta", float("nan")),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(field: str, value: object):
    with pytest.raises(ValueError, match=f"{field} must be"):
        Grpo(**{field: value})
