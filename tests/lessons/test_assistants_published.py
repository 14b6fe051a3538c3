"""Fine-tuning a published chat model on answers of one word: what is learned from, and what is changed."""

from itertools import islice

import pytest
import torch

from companion import zoo
from companion.data.batch import IGNORED
from companion.data.fetched import NotFetchedError
from companion.finetuning.lora import adapters
from companion.lessons.assistants.experiments import published as lab
from companion.lessons.in_context_learning.experiments import TASKS
from companion.losses.causal import completion_loss, completions
from companion.models.modern_decoder import ModernConfig, ModernDecoder

PAIRS = TASKS["capital"].train[: lab.BATCH]


@pytest.fixture(scope="module")
def tokenizer():
    try:
        return zoo.load(lab.NAME)[1]
    except NotFetchedError as error:
        pytest.skip(f"left out, because it cannot be had: {error}")


def test_the_loss_is_that_of_all_logits():
    torch.manual_seed(0)
    model = ModernDecoder(ModernConfig(vocab_size=11, context_length=8, n_layers=1, n_heads=2, d_model=8)).eval()
    batch = completions([[1, 2], [3, 4, 5]], [[6, 7], [8]])
    torch.testing.assert_close(lab.reply_loss(model, batch), completion_loss(model, batch))


def test_replies_are_judged_by_form_and_by_word():
    said = ["Rome<|im_end|>", "It is madrid", "a b<|im_end|>"]
    assert lab.judge("capital", said) == (1 / 3, 2 / 3, 2 / 3)


@pytest.mark.slow
def test_each_round_of_demonstrations_has_each_pair_once_and_asks_for_the_word_and_the_end(tokenizer):
    stop = tokenizer.token_to_id(lab.STOP)
    for batch in islice(lab.demonstrations(tokenizer, "capital", PAIRS, 0), 2):
        rows = [row[row != IGNORED].tolist() for row in batch.targets]
        assert all(row[-1] == stop for row in rows)
        assert sorted(tokenizer.decode(row[:-1]) for row in rows) == sorted(answer for _, answer in PAIRS)


@pytest.mark.slow
def test_earlier_turns_stand_before_the_question(tokenizer):
    text = lab.ask("capital", "Italy", [("France", "Paris")])
    assert text.index("France") < text.index("Paris") < text.index("Italy")
    assert text.endswith("assistant\n")


@pytest.mark.slow
def test_only_adapters_of_the_last_ten_blocks_are_trained_and_a_seed_gives_them(tokenizer):
    before = zoo.load(lab.NAME)[0].state_dict()
    one, two = (lab.adapted("capital", PAIRS, 0, steps=1) for _ in range(2))
    layers = {name.split(".")[1] for name in adapters(one)}
    assert layers == {str(number) for number in range(20, 30)}
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
        if "lora" not in name:
            assert torch.equal(value, before[name])
