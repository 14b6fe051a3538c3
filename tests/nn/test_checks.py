"""What a model refuses before it computes, and what the message says."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from companion.models.bert import BertConfig
from companion.models.gpt import GPTConfig
from companion.models.modern_decoder import ModernConfig
from companion.models.t5 import T5Config
from companion.models.transformer import TransformerConfig
from companion.models.xlnet import XLNetConfig
from companion.nn.checks import (
    check_attention,
    check_dropout,
    check_eps,
    check_heads,
    check_ids,
    check_integer,
    check_mask,
    check_segments,
    check_sizes,
)

IDS = torch.tensor([[0, 1, 2], [2, 1, 0]])


def sizes(**changed):
    return SimpleNamespace(**{"d_model": 8, "n_layers": 2, **changed})


def test_a_size_below_one_is_named_with_its_value():
    check_sizes(sizes(), ("d_model", "n_layers"))
    with pytest.raises(ValueError, match="n_layers must be at least 1; got 0"):
        check_sizes(sizes(n_layers=0), ("d_model", "n_layers"))


@pytest.mark.parametrize("dropout", [1.0, -0.1])
def test_a_dropout_that_is_no_probability_below_one_is_refused(dropout):
    check_dropout(0.0)
    with pytest.raises(ValueError, match=rf"dropout must be in \[0, 1\); got {dropout}"):
        check_dropout(dropout)


def test_the_width_must_be_a_multiple_of_the_heads():
    check_heads(12, 3)
    with pytest.raises(ValueError, match="multiple of n_heads; got 12 and 5"):
        check_heads(12, 5)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([0, 1]), r"\(batch, length\), neither of them 0; got shape \(2,\)"),
        (torch.zeros(0, 3, dtype=torch.long), r"got shape \(0, 3\)"),
        (torch.tensor([[0, 3]]), "token id 3 is outside the vocabulary, 0 to 2"),
        (torch.tensor([[-1, 0]]), "token id -1 is outside the vocabulary, 0 to 2"),
    ],
    ids=["no batch", "empty", "too high", "negative"],
)
def test_ids_of_another_shape_or_outside_the_vocabulary_are_refused(ids, message):
    check_ids(IDS, 3)
    with pytest.raises(ValueError, match=message):
        check_ids(ids, 3)


def test_a_text_that_is_too_long_counts_what_went_before():
    check_ids(IDS, 3, longest=5, past=2)
    with pytest.raises(ValueError, match="6 tokens do not fit into the context of 5"):
        check_ids(IDS, 3, longest=5, past=3)


def test_a_mask_is_boolean_and_has_the_shape_of_the_batch():
    check_mask(None, 2, 3)
    check_mask(torch.ones(2, 3, dtype=torch.bool), 2, 3)
    with pytest.raises(TypeError, match="must be boolean, True = a real token; got torch.float32"):
        check_mask(torch.ones(2, 3), 2, 3)
    with pytest.raises(ValueError, match=r"= \(2, 3\); got \(3, 2\)"):
        check_mask(torch.ones(3, 2, dtype=torch.bool), 2, 3)


@pytest.mark.parametrize(
    ("segments", "n_segments", "message"),
    [
        (IDS, 0, "this model has no segments"),
        (IDS[:, :2], 2, r"must be \(2, 3\), as ids; got \(2, 2\)"),
        (IDS, 2, "must be 0 to 1; got 2"),
    ],
    ids=["none known", "another shape", "too high"],
)
def test_segments_fit_the_ids_and_the_model(segments, n_segments, message):
    check_segments(None, IDS, 0)
    check_segments(IDS.clamp(max=1), IDS, 2)
    with pytest.raises(ValueError, match=message):
        check_segments(segments, IDS, n_segments)


def test_attention_refuses_keys_and_values_of_different_lengths():
    query, key, value = torch.zeros(2, 4), torch.zeros(3, 4), torch.zeros(3, 5)
    check_attention(query, key, value, None)
    with pytest.raises(ValueError, match="key and value must have the same length m; got 3 and 2"):
        check_attention(query, key, value[:2], None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
def test_ids_that_are_no_integers_are_refused(dtype):
    with pytest.raises(TypeError, match=f"ids must be integers, torch.int64 or torch.int32; got {dtype}"):
        check_ids(torch.ones(1, 3, dtype=dtype), 9)


@pytest.mark.parametrize("value", [2.0, 2.5, float("nan"), "2", None, True, [2], torch.tensor(2)], ids=str)
def test_a_count_that_is_no_integer_is_named(value):
    with pytest.raises(ValueError, match="steps must be an integer; got"):
        check_integer("steps", value)


def test_a_count_may_be_of_numpy_and_has_its_bounds():
    check_integer("steps", np.int64(3), least=3, most=3)
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        check_integer("steps", 0)
    with pytest.raises(ValueError, match="steps must be at most 5; got 6"):
        check_integer("steps", 6, most=5)


@pytest.mark.parametrize("eps", [-1, 1.0, 1e308, float("nan"), float("inf")])
def test_an_eps_that_would_spoil_a_norm_is_refused(eps):
    check_eps(0.0)
    with pytest.raises(ValueError, match="norm_eps must be at least 0 and below 1; got"):
        check_eps(eps)


@pytest.mark.parametrize("config", [GPTConfig, BertConfig, XLNetConfig, TransformerConfig, T5Config, ModernConfig])
@pytest.mark.parametrize("wrong", [{"norm_eps": float("nan")}, {"n_layers": 1.5}, {"vocab_size": "9"}], ids=str)
def test_a_configuration_refuses_what_no_model_can_be_made_of(config, wrong):
    fields = {"vocab_size": 9, "n_layers": 1, "n_heads": 1, "d_model": 4} | wrong
    context = {} if config in (XLNetConfig, T5Config) else {"context_length": 4}
    extra = {"start_id": 0} if config is TransformerConfig else {}
    with pytest.raises(ValueError, match=f"{next(iter(wrong)).replace('norm_', '')}"):
        config(**fields | context | extra)


@pytest.mark.parametrize("ids", [[[1, 2]], "ab", None, IDS.float(), IDS.bool(), IDS.to(torch.uint8)], ids=str)
def test_ids_that_are_no_tensor_of_integers_are_refused(ids):
    with pytest.raises(TypeError, match="ids must be .*integers"):
        check_ids(ids, 9)
