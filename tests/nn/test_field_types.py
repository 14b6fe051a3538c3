"""Every field of every configuration refuses a value of a wrong type, or an impossible one, by its name and value."""

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import get_args, get_origin, get_type_hints

import numpy as np
import pytest

import companion
from companion.finetuning.grpo import Grpo
from companion.finetuning.run import Settings
from companion.generation.beam_search import BeamSearch
from companion.generation.costs import Machine, ServedModel
from companion.generation.sampling import Sampling
from companion.models.baselines.feed_forward import FeedForwardLMConfig
from companion.models.baselines.ngram import NGramConfig
from companion.models.baselines.recurrent import LSTMConfig, RNNConfig
from companion.models.bert import BertConfig
from companion.models.gpt import GPTConfig
from companion.models.modern_bert import ModernBertConfig
from companion.models.modern_decoder import ModernConfig
from companion.models.t5 import T5Config
from companion.models.transformer import TransformerConfig
from companion.models.xlnet import XLNetConfig
from companion.nn.field_types import DerivedSize, check_field_types
from companion.nn.latent_attention import LatentSizes
from companion.nn.positions import RopeScaling, YarnScaling
from companion.nn.quantization import Grid
from companion.serving.requests import Limits
from companion.training import Checkpoint, Evaluation, Optimization, Runtime

SIZES = {"vocab_size": 11, "context_length": 8, "n_layers": 2, "n_heads": 2, "d_model": 8}
UNPOSITIONED = {name: size for name, size in SIZES.items() if name != "context_length"}
RECURRENT = {"vocab_size": 11, "d_model": 4, "d_hidden": 4}
RIGHT = {
    GPTConfig: SIZES,
    BertConfig: SIZES,
    T5Config: SIZES,
    XLNetConfig: UNPOSITIONED,
    TransformerConfig: SIZES,
    ModernBertConfig: SIZES | {"d_ff": 8},
    ModernConfig: SIZES | {"family": "gemma3_text", "window": 4, "full_layers": (1,)},
    RNNConfig: RECURRENT,
    LSTMConfig: RECURRENT,
    FeedForwardLMConfig: RECURRENT | {"order": 3},
    NGramConfig: {"vocab_size": 11, "order": 2},
    RopeScaling: {"factor": 2.0, "original_length": 8},
    YarnScaling: {"factor": 2.0, "original_length": 8},
    Grid: {"bits": 4},
    LatentSizes: {"n_heads": 2, "d_latent": 4, "d_head": 4, "d_rotary": 2, "d_value": 4},
    Optimization: {},
    Evaluation: {"function": len},
    Checkpoint: {"path": "run"},
    Runtime: {},
    Sampling: {},
    BeamSearch: {"beams": 2},
    Machine: {"flops": 1.0, "bandwidth": 1.0},
    ServedModel: {"parameters": 9, "n_layers": 2, "d_attention": 4, "cache_bytes": 8},
    Settings: {},
    Grpo: {},
    Limits: {},
}
FIELDS = [(config, field.name) for config in RIGHT for field in fields(config)]
STRANGE = ("x", "", "1", "False", b"1", 2.5, 1, True, None, [1], {}, (), ("x",), object(), 10**30, -(10**30), 1j)
IMPOSSIBLE = {int: (-1, 2**62), float: (math.nan, -math.inf, -21.0), str: ("X",)}
# What may be: a seed has no range but that of 64 bits, these have no upper end, and the name of a file is free.
ALLOWED = {("path", "X"), ("seed", 2**62), ("warmup", 2**62), ("pad_id", 2**62), ("original_length", 2**62)}
ENDLESS = {"every", "patience", "gradient_accumulation_steps", "top_k", "block_size"} | {
    field.name for config in (ServedModel, Limits, Grpo) for field in fields(config)
}


def named(case):
    config, name = case
    return f"{config.__name__}.{name}"


def allowed(config, name):
    """The types that a field may have, and whether it may be None."""
    hint = get_type_hints(config)[name]
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    return {int, NoneType} if kinds == (DerivedSize,) else {get_origin(kind) or kind for kind in kinds}


def fits(value, kinds):
    if type(value) in kinds or (type(value) is int and float in kinds):
        return type(value) is not int or abs(value) < 2**63 or float in kinds
    return isinstance(value, str) and Path in kinds


def refused(config, name, value):
    with pytest.raises(ValueError, match=re.escape(name)) as caught:
        config(**RIGHT[config] | {name: value})
    assert repr(value)[:40] in str(caught.value)


def test_every_configuration_of_the_package_is_swept():
    source = "".join(path.read_text(encoding="utf8") for path in Path(companion.__file__).parent.rglob("*.py"))
    checking = source.count("        check_field_types(self)\n")
    inherited = {LSTMConfig, YarnScaling}
    assert len(RIGHT.keys() - inherited) == checking
    found = set(re.findall(r"^class (\w+(?:Config|Scaling))\b", source, re.MULTILINE))
    assert found <= {config.__name__ for config in RIGHT}


@pytest.mark.parametrize("case", FIELDS, ids=named)
def test_a_value_of_a_wrong_type_is_named(case):
    config, name = case
    kinds = allowed(config, name)
    for value in STRANGE:
        if not fits(value, kinds):
            refused(config, name, value)


@pytest.mark.parametrize("case", FIELDS, ids=named)
def test_an_impossible_value_is_named(case):
    config, name = case
    for kind in allowed(config, name) & IMPOSSIBLE.keys():
        for value in IMPOSSIBLE[kind]:
            if (name, value) not in ALLOWED and not (value == 2**62 and name in ENDLESS):
                refused(config, name, value)


@pytest.mark.parametrize("config", RIGHT, ids=lambda config: config.__name__)
def test_what_is_right_is_taken(config):
    assert config(**RIGHT[config]) == config(**RIGHT[config])


def test_numbers_of_numpy_are_numbers():
    config = GPTConfig(**{name: np.int64(size) for name, size in SIZES.items()}, dropout=np.float32(0.5))
    assert config.d_model == 8


@dataclass
class Loose:
    anything: object = None
    names: list[str] | None = None


def test_other_annotations_are_not_looked_at():
    check_field_types(Loose(anything=3, names="x"))
