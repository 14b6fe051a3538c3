"""What the chapter on assistants runs: demonstrations, rewards, pairs, and what replies are judged by."""

import random

import pytest
import torch

from companion import zoo
from companion.data.batch import IGNORED
from companion.data.tokenization import END_OF_TEXT
from companion.lessons.assistants.experiments import world as lab
from companion.losses.causal import causal_targets
from companion.storyworld.requests import is_right

KNOWN, NEW = lab.asked(300, "known"), lab.asked(120, "new")
TAIL = (".", END_OF_TEXT)


def test_no_held_out_request_is_one_to_learn_from():
    assert not set(KNOWN) & set(NEW)


@pytest.mark.parametrize("style", ["direct", "worked", "padded", "mixed"])
def test_every_demonstration_is_right(style: str):
    draw = random.Random(0)
    assert all(is_right(one, lab.demonstration(one, style, draw)) for one in KNOWN)


def test_a_padded_reply_is_as_long_as_a_worked_one():
    draw = random.Random(0)
    worked, padded = (lab.demonstration(KNOWN[0], style, draw) for style in ("worked", "padded"))
    assert len(worked) == len(padded)
    assert worked[0] == KNOWN[0].holder != padded[0]


def test_some_hedged_demonstrations_name_two_moods_and_the_right_one_among_them():
    draw = random.Random(0)
    replies = [lab.demonstration(KNOWN[0], "hedged", draw) for _ in range(200)]
    hedges = [reply for reply in replies if len(reply) == 4]
    assert 0.1 < len(hedges) / len(replies) < 0.3
    assert all(lab.mentions(KNOWN[0], reply) and not lab.exact(KNOWN[0], reply) for reply in hedges)


def test_targets_in_the_prompts_too_are_all_tokens_but_the_first():
    batch = next(lab.demonstrations(KNOWN, "direct", 0))
    rows = lab.whole(batch)
    assert causal_targets(rows) == int((rows != IGNORED).sum()) - len(rows)
    assert torch.equal(rows[:, :-1][batch.targets != IGNORED], batch.inputs[batch.targets != IGNORED])


def test_replies_are_judged():
    one = KNOWN[0]
    wrong = next(mood for mood in lab.MOODS if mood != one.mood)
    judged = lab.judge([one] * 4, [one.reply(), one.reply(one.holder), (one.mood, wrong, *TAIL), (wrong, ".")])
    assert judged == (0.5, 0.75, 0.75, 0.25)


def test_the_flawed_reward_pays_for_what_the_exact_one_pays_for_and_for_more():
    one = KNOWN[0]
    both = (*lab.MOODS, *TAIL)
    assert (lab.exact(one, one.reply()), lab.mentions(one, one.reply())) == (1, 1)
    assert (lab.exact(one, both), lab.mentions(one, both)) == (0, 1)


def test_a_random_reward_reads_nothing_and_pays_as_often_as_not():
    reward = lab.rewarded(KNOWN, "random", 0)
    paid = [reward(0, []) for _ in range(400)]
    assert 160 < sum(paid) < 240


def test_the_answer_of_a_reply_is_its_last_mood():
    assert lab.answer_of(("Tom", "sad", *TAIL)) == "sad"
    assert [lab.answer_of(reply) for reply in ((), ("sad",), ("sad", "."), ("Tom", *TAIL))] == ["", "", "", ""]


def test_dpo_loss_begins_at_log_two():
    start = zoo.load("storyworld-en")[0]
    pairs = [lab.Pair(one, one.reply(), one.reply("the")) for one in KNOWN[:4]]
    batch = next(lab.preference_batches(start, pairs, 0))
    assert lab.preference_loss(start, batch).item() == pytest.approx(0.6931, abs=1e-4)


def test_a_few_steps_of_each_training_leave_the_start_as_it_was():
    start = lab.tuned(KNOWN, "mixed", steps=1)
    before = [parameter.clone() for parameter in start.parameters()]
    pairs = [lab.Pair(one, one.reply(), one.reply("the")) for one in KNOWN[:4]]
    lab.preferred(start, pairs, updates=1)
    _, rounds = lab.reinforced(start, KNOWN, "exact", rounds=1)
    assert len(lab.course(KNOWN, rounds)) == 1
    assert all(torch.equal(one, other) for one, other in zip(start.parameters(), before, strict=True))


def test_a_wrong_name_is_counted_once():
    start = zoo.load("storyworld-en")[0]
    follows, stays, total = lab.misled(start, NEW[:5])
    assert follows + stays <= total == 5
