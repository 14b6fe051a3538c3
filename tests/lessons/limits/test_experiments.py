"""Many texts at once give what each gives alone, and nothing comes back but what is new."""

import pytest
import torch

from companion.data.tokenization import train_byte_bpe
from companion.lessons.limits.experiments import continuations, log_probabilities
from companion.models.gpt import GPT, GPTConfig


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    tokenizer = train_byte_bpe(["the cat sat on the mat"], 280)
    tokenizer.add_special_tokens(["<|im_end|>"])
    size = tokenizer.get_vocab_size()
    return GPT(GPTConfig(size, context_length=64, n_layers=1, n_heads=2, d_model=16)).eval(), tokenizer


def test_texts_of_unequal_length_go_on_as_each_does_alone(reader):
    texts = ["the cat", "on", "a mat sat on the cat"]
    together = continuations(*reader, texts, longest=6)
    assert together == [continuations(*reader, [text], longest=6)[0] for text in texts]


def test_a_log_probability_is_that_of_the_end_alone(reader):
    model, tokenizer = reader
    pairs = [("the cat", " sat"), ("on", " the mat")]
    for (begin, end), (log_p, count) in zip(pairs, log_probabilities(*reader, pairs), strict=True):
        first, last = tokenizer.encode(begin).ids, tokenizer.encode(end).ids
        chances = model(torch.tensor([first + last]))[0].log_softmax(-1)
        expected = sum(chances[len(first) - 1 + n, i].item() for n, i in enumerate(last))
        assert log_p == pytest.approx(expected, abs=1e-4)
        assert count == len(last)
