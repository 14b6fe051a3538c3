"""The runs of the GPT chapter: the same windows each time, and texts that stay apart."""

import pytest
import torch

from companion.data.tokenization import train_byte_bpe
from companion.lessons.gpt import experiments
from companion.losses import causal_loss
from companion.models.gpt import GPT, GPTConfig


def small() -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(vocab_size=11, context_length=8, n_layers=1, n_heads=2, d_model=8))


def test_two_runs_read_the_same_windows():
    stream, read = torch.arange(200) % 11, ([], [])
    for seen in read:
        experiments.train(small(), stream, 3, loss=lambda m, ids, seen=seen: (seen.append(ids), causal_loss(m, ids))[1])
    assert all(torch.equal(a, b) for a, b in zip(*read, strict=True))
    assert read[0][0].shape == (16, 9)


def test_the_held_out_text_is_measured_before_the_first_step_and_after_the_last():
    stream = torch.arange(200) % 11
    history = experiments.train(small(), stream, 3, held_out=stream[:40])
    assert [step for step, _ in history.evaluations] == [0, 3]


def test_a_window_lies_in_one_text_and_short_texts_have_none():
    tokenizer = train_byte_bpe([""], 257)
    windows = experiments.windows_of(tokenizer, ["abcdefghij", "klm", "nopqrstuvw"], length=4, each=3)
    written = [tokenizer.decode(row) for row in windows.tolist()]
    assert written == ["abcd", "defg", "ghij", "nopq", "qrst", "tuvw"]


def test_the_gain_has_the_sign_of_what_was_gained():
    surprise = {1: torch.tensor([[3.0, 1.0], [2.0, 2.0]]), 5: torch.tensor([[1.0, 1.0], [2.0, 1.0]])}
    assert experiments.gain(surprise, 1, 5).value == pytest.approx(0.75)
