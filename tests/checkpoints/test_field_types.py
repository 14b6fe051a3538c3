"""A configuration with fields of a wrong type or size is refused by name, before anything is made from it."""

import json

import pytest
import torch
from small_models import tiny_gpt
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, T5Config, XLNetConfig
from transformers import T5ForConditionalGeneration as TheirT5
from transformers import XLNetLMHeadModel as TheirXLNet

from companion.checkpoints.errors import CheckpointError
from companion.checkpoints.field_types import check_depth, check_flags, check_types
from companion.models.bert import Bert
from companion.models.gpt import GPT, GPTConfig
from companion.models.modern_decoder import ModernDecoder
from companion.models.t5 import T5
from companion.models.xlnet import XLNet

FOLDERS = {
    Bert: lambda: BertModel(
        BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
    ),
    ModernDecoder: lambda: LlamaForCausalLM(
        LlamaConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4)
    ),
    T5: lambda: TheirT5(T5Config(vocab_size=9, d_model=4, d_kv=2, d_ff=4, num_layers=1, num_heads=2)),
    XLNet: lambda: TheirXLNet(XLNetConfig(vocab_size=9, d_model=4, n_layer=1, n_head=1, d_inner=4)),
    GPT: tiny_gpt,
}
LAYERS = {Bert: "num_hidden_layers", ModernDecoder: "num_hidden_layers", T5: "num_layers", XLNet: "n_layer"}


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda kind: kind.__name__)
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.__name__)
    torch.manual_seed(0)
    FOLDERS[request.param]().save_pretrained(folder)
    return request.param, folder, (folder / "config.json").read_text()


def with_field(saved, name, value):
    kind, folder, text = saved
    (folder / "config.json").write_text(json.dumps(json.loads(text) | {name: value}))
    return kind, folder


STRANGE = [2**31, 10**30, 2.5, 16.0, True, "16", "x", None, [], {}, [[1]], float("nan"), float("inf"), -1, 0]


@pytest.mark.parametrize("value", STRANGE, ids=str)
@pytest.mark.parametrize("field", ["vocab_size", "layers", "heads", "width", "eps"])
def test_a_field_of_a_wrong_type_or_size_is_refused_or_read(saved, field, value):
    names = {
        "layers": LAYERS.get(saved[0], "n_layer"),
        "heads": {Bert: "num_attention_heads", ModernDecoder: "num_attention_heads", T5: "num_heads"},
        "width": {Bert: "hidden_size", ModernDecoder: "hidden_size", T5: "d_model", XLNet: "d_model"},
        "eps": {Bert: "layer_norm_eps", ModernDecoder: "rms_norm_eps", XLNet: "layer_norm_eps"},
    }
    usual = {"heads": "n_head", "width": "n_embd", "eps": "layer_norm_epsilon"}
    chosen = names.get(field, field)
    name = chosen if isinstance(chosen, str) else chosen.get(saved[0], usual[field])
    kind, folder = with_field(saved, name, value)
    try:
        model = kind.from_pretrained(folder)
    except CheckpointError as error:
        assert str(folder) in str(error)  # noqa: PT017 - refused, or read as it is
    else:
        assert field == "eps"
        assert value == 0
        assert model.config.norm_eps == 0


@pytest.mark.parametrize("value", ["false", "true", "False", "null", " none "])
def test_a_flag_in_quotes_is_refused(saved, value):
    kind, folder = with_field(saved, "tie_word_embeddings", value)
    with pytest.raises(CheckpointError, match=f"sets tie_word_embeddings to the string '{value}'"):
        kind.from_pretrained(folder)


def test_fields_nested_without_end_are_refused(saved):
    kind, folder, text = saved
    (folder / "config.json").write_text(text.rstrip().rstrip("}") + ', "deep": ' + "[" * 3000 + "]" * 3000 + "}")
    try:
        kind.from_pretrained(folder)
    except CheckpointError as error:
        assert "is not valid JSON" in str(error)  # noqa: PT017 - refused, or never looked at


def test_rope_scaling_that_is_no_object_is_refused(tmp_path):
    FOLDERS[ModernDecoder]().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("rope_parameters", None)
    (tmp_path / "config.json").write_text(json.dumps(config | {"rope_scaling": "x"}))
    with pytest.raises(CheckpointError, match="config.json does not describe a model of this class"):
        ModernDecoder.from_pretrained(tmp_path)


# The checks alone


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 2.5}, "vocab_size must be an integer; got 2.5"),
        ({"vocab_size": True}, "vocab_size must be an integer; got True"),
        ({"d_ff": "x"}, "d_ff must be an integer or null; got 'x'"),
        ({"dropout": float("nan")}, "dropout must be a finite number; got nan"),
        ({"tied": 1}, "tied must be true or false; got 1"),
        ({"activation": 3}, "activation must be a string; got 3"),
        ({"n_layers": 2**31}, "n_layers must be at most 2147483647; got 2147483648"),
        ({"norm_eps": 1e308}, "norm_eps must be at least 0 and below 1; got 1e.308"),
    ],
    ids=lambda one: str(one) if isinstance(one, dict) else "",
)
def test_what_a_field_must_be_is_said(fields, message):
    with pytest.raises(CheckpointError, match=f"config.json: {message}"):
        check_types(GPTConfig, fields, "config.json")


def test_a_number_may_be_an_integer_and_a_size_may_be_left_out():
    check_types(GPTConfig, {"dropout": 0, "d_ff": None, "vocab_size": 7, "tied": True}, "config.json")


def test_a_flag_without_quotes_is_one():
    check_flags({"tied": False, "name": "true north"}, "config.json")


def test_more_layers_than_tensors_are_refused():
    check_depth({"n_layers": 12, "n_experts": None}, 8, "config.json")
    with pytest.raises(CheckpointError, match="n_layers is 5000, and the weights have only 8 tensors"):
        check_depth({"n_layers": 5000}, 8, "config.json")
