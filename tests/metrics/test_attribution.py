"""Rollout is a map of distributions, the parts of the stream make the stream, and recovery has its two ends."""

import pytest
import torch
from small_models import random_ids, tiny_gpt

from companion.metrics.attribution import attention_rollout, logit_direction, recovery, written
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.capture import Record, capture


def recorded(model, ids):
    with torch.no_grad(), capture(model) as record:
        logits = model(ids)
    return record, logits


def modern(norm_family="llama"):
    sizes = {"vocab_size": 11, "context_length": 8, "n_layers": 2, "n_heads": 2, "d_model": 12}
    model = ModernDecoder(ModernConfig(**sizes, family=norm_family)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_the_rows_of_a_rollout_are_distributions():
    model = tiny_gpt(n_layers=3)
    record, _ = recorded(model, random_ids(model, 2, 5))
    rolled = attention_rollout(record.attention)
    torch.testing.assert_close(rolled.sum(-1), torch.ones(2, 5))
    assert (rolled.triu(1) == 0).all()


def test_the_first_layer_stands_on_the_right():
    first, second = torch.eye(3)[[0, 0, 1]], torch.eye(3)[[0, 1, 0]]  # where each query looks
    rolled = attention_rollout([first[None, None], second[None, None]])[0]
    expected = (second + torch.eye(3)) / 2 @ (first + torch.eye(3)) / 2
    torch.testing.assert_close(rolled, expected)


def test_a_rollout_of_no_layer_is_refused():
    with pytest.raises(ValueError, match="at least one layer"):
        attention_rollout([])


@pytest.mark.parametrize("make", [tiny_gpt, modern, lambda: modern("qwen3"), lambda: modern("stablelm")])
def test_what_was_written_adds_up_to_the_last_hidden_state(make):
    model = make()
    record, _ = recorded(model, random_ids(model, 2, 5))
    parts = written(model, record)
    stream = parts.embedding + parts.heads.sum((0, 1)) + parts.biases.sum(0) + parts.feed_forward.sum(0)
    torch.testing.assert_close(stream, record.hidden[-1])


def test_a_head_that_is_silent_wrote_nothing():
    model = tiny_gpt(n_layers=2, n_heads=2)
    record, _ = recorded(model, random_ids(model, 1, 4))
    record.heads[1][:, 0] = 0
    assert not written(model, record).heads[1, 0].any()


def test_the_record_of_another_model_is_refused():
    with pytest.raises(ValueError, match="2 layers of heads; it has 0"):
        written(tiny_gpt(n_layers=2), Record())


@pytest.mark.parametrize("make", [tiny_gpt, modern, lambda: modern("stablelm"), lambda: modern("gemma3_text")])
def test_the_direction_gives_the_logit_difference(make):
    model = make()
    with torch.no_grad():
        model.final_norm.weight.uniform_(0.5, 2)
    record, logits = recorded(model, random_ids(model, 3, 4))
    right, wrong = torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6])
    final = record.hidden[-1][:, -1]
    found = (final * logit_direction(model, final, right, wrong)).sum(-1)
    if getattr(model.final_norm, "bias", None) is not None:
        found = found + (model.unembedding.weight[right] - model.unembedding.weight[wrong]) @ model.final_norm.bias
    each = torch.arange(3)
    torch.testing.assert_close(found, logits[each, -1, right] - logits[each, -1, wrong])


def test_the_corrupted_run_recovers_nothing_and_the_clean_one_all():
    corrupted, clean = torch.tensor([-2.0, -1.0]), torch.tensor([3.0, 1.0])
    both = torch.stack([corrupted, clean])
    assert recovery(both, corrupted, clean).tolist() == [0, 1]


def test_runs_that_do_not_differ_are_refused():
    with pytest.raises(ValueError, match="must differ; both are 1"):
        recovery(torch.zeros(2), torch.ones(2), torch.ones(2))


def test_a_model_that_normalises_what_its_heads_say_is_refused():
    model = modern("gemma3_text")
    record, _ = recorded(model, random_ids(model, 1, 4))
    with pytest.raises(ValueError, match="is no sum of heads"):
        written(model, record)
