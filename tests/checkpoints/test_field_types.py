"""A configuration with fields of a wrong type or size is refused by name, before anything is made from it."""

import inspect
import json
import math
import re
from functools import partial

import pytest

from companion.checkpoints import bert, bert_heads, gpt2, modern_bert, modern_decoder, t5, xlnet
from companion.checkpoints.bert_names import FIELDS
from companion.checkpoints.errors import CheckpointError
from companion.checkpoints.field_types import (
    ACTIVATION,
    BELOW_ONE,
    COUNT,
    FLAG,
    FRACTION,
    NUMBER,
    OBJECT,
    POSITIVE,
    SIZE,
    WORD,
    WORDS,
    Kind,
    check_depth,
    check_fields,
    check_flags,
    kinds_of,
    or_null,
)
from companion.finetuning.gpt_classifier import GPTClassifier
from companion.finetuning.heads import ExtractiveQA, SequenceClassifier, TokenClassifier
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig
from companion.models.modern_bert import ModernBertConfig, ModernBertForMaskedLM
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.models.t5 import T5, T5Config
from companion.models.xlnet import XLNet, XLNetConfig
from companion.nn.positions import RopeScaling

TINY = {"vocab_size": 9, "context_length": 8, "n_layers": 1, "n_heads": 2, "d_model": 4}
XLNET = {name: size for name, size in TINY.items() if name != "context_length"}
BERTS = {"bert": BertConfig, "roberta": BertConfig.roberta, "albert": BertConfig.albert}
BERTS |= {"distilbert": BertConfig.distilbert, "electra": BertConfig.electra}
LABELS = ("no", "yes")


def body(family):
    return Bert(BERTS[family](**TINY))


def decoder():
    return ModernDecoder(ModernConfig(**TINY, rope_scaling=RopeScaling(2.0, 4)))


# name -> (a model to save, what each field of its config.json may hold)
SAVED = {
    "gpt2": (lambda: GPT(GPTConfig(**TINY)), gpt2.KINDS),
    "gpt2 classifier": (lambda: GPTClassifier(GPT(GPTConfig(**TINY)), LABELS), bert_heads.KINDS),
    "t5": (lambda: T5(T5Config(**TINY)), t5.KINDS),
    "xlnet": (lambda: XLNet(XLNetConfig(**XLNET)), xlnet.KINDS),
    **{name: (partial(body, name), kinds_of(FIELDS[name]) | bert.KINDS) for name in BERTS},
    "sequence": (lambda: SequenceClassifier(body("albert"), LABELS), bert_heads.KINDS),
    "token": (lambda: TokenClassifier(body("roberta"), LABELS), bert_heads.KINDS),
    "span": (lambda: ExtractiveQA(body("bert")), {"architectures": or_null(WORDS)}),
    "modernbert": (lambda: ModernBertForMaskedLM(ModernBertConfig(**TINY, d_ff=4)), modern_bert.KINDS),
    "decoder": (decoder, modern_decoder.KINDS),  # its families' fields are checked as one
}
ALL_KINDS = set(modern_decoder.SCALING).union(*(kinds for _, kinds in SAVED.values()))
STRANGE = [0, -1, 2**31, 10**400, 2.5, 16.0, True, False, None, "", "x", "16", [], [1], ["x"], {}, {"x": 1}]
STRANGE += [math.nan, math.inf, -math.inf, 1e308]


@pytest.mark.parametrize("name", SAVED)
def test_each_field_of_a_wrong_type_or_an_impossible_value_is_named_with_it(tmp_path, name):
    make, kinds = SAVED[name]
    model = make()
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    right = json.loads(path.read_text())
    for field, kind in kinds.items():
        for value in STRANGE:
            if not kind.allows(value):
                path.write_text(json.dumps(right | {field: value}))
                with pytest.raises(CheckpointError, match=rf"config\.json\b.*\b{field}\b") as caught:
                    type(model).from_pretrained(tmp_path)
                assert repr(value)[:60] in str(caught.value)


@pytest.mark.parametrize("within", ["rope_scaling", "rope_parameters"])
def test_so_is_each_field_of_the_rotary_positions(tmp_path, within):
    model = decoder()
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    right = json.loads(path.read_text())
    scaling = right.pop("rope_scaling")
    for field, kind in modern_decoder.SCALING.items():
        for value in STRANGE:
            if not kind.allows(value):
                path.write_text(json.dumps(right | {within: scaling | {field: value}}))
                with pytest.raises(CheckpointError, match=rf"config\.json: {within}\.{field} must be ") as caught:
                    ModernDecoder.from_pretrained(tmp_path)
                assert repr(value)[:60] in str(caught.value)


@pytest.mark.parametrize(
    "module", [gpt2, bert, t5, xlnet, modern_decoder, modern_bert, bert_heads], ids=lambda one: one.__name__
)
def test_no_field_is_read_without_a_kind(module):
    read = set(re.findall(r"""(?:config|given)(?:\.get\(|\[)"(\w+)""", inspect.getsource(module)))
    assert read - {"model_type"} <= ALL_KINDS


@pytest.fixture(params=["gpt2", "bert", "t5", "xlnet", "modernbert", "decoder"])
def saved(request, tmp_path):
    model = SAVED[request.param][0]()
    model.save_pretrained(tmp_path)
    return type(model), tmp_path, (tmp_path / "config.json").read_text()


@pytest.mark.parametrize("value", ["false", "True", " none "])
def test_a_flag_in_quotes_is_refused(saved, value):
    kind, folder, text = saved
    (folder / "config.json").write_text(json.dumps(json.loads(text) | {"tie_word_embeddings": value}))
    with pytest.raises(CheckpointError, match=f"sets tie_word_embeddings to the string '{value}'"):
        kind.from_pretrained(folder)


def test_fields_nested_without_end_are_refused(saved):
    kind, folder, text = saved
    (folder / "config.json").write_text(text.rstrip().rstrip("}") + ', "deep": ' + "[" * 3000 + "]" * 3000 + "}")
    try:
        kind.from_pretrained(folder)
    except CheckpointError as error:
        assert "is not valid JSON" in str(error)  # noqa: PT017 - refused, or never looked at


# The checks alone


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (SIZE, [1, 2**31 - 1], [0, -1, 2**31, 2.0, True, None, "1", [1], math.nan]),
        (COUNT, [0, 7], [-1, 0.0, False, None, "", 10**400]),
        (BELOW_ONE, [0, 0.5], [1, -1e-9, math.nan, math.inf, True, "0.1", None]),
        (FRACTION, [1, 0.25], [0, 1.01, math.nan, False, "1"]),
        (POSITIVE, [1, 1e308], [0, -1, math.inf, math.nan, 10**400, "1", True, None]),
        (NUMBER, [-1, 0, 2.5], [math.nan, -math.inf, -(10**400), "0", False, []]),
        (FLAG, [True, False], [0, 1, "true", None, []]),
        (WORD, ["", "x"], [1, None, ["x"], {}]),
        (WORDS, [[], ["x"]], ["x", [1], None, {"x": 1}]),
        (OBJECT, [{}, {"x": 1}], [[], "x", None, 1]),
        (ACTIVATION, ["gelu", "relu"], ["swish", "", None, 1, ["gelu"], {}]),
        (or_null(SIZE), [None, 1], [0, "1", False]),
    ],
    ids=lambda one: one.words if isinstance(one, Kind) else "",
)
def test_a_kind_allows_what_it_says(kind, right, wrong):
    assert [value for value in right if not kind.allows(value)] == []
    assert [value for value in wrong if kind.allows(value)] == []


def test_the_message_says_what_a_field_must_be_and_where_it_stands():
    with pytest.raises(CheckpointError, match=r"config.json: n_embd must be an integer from 1 to 2147483647; got 2.5$"):
        check_fields({"n_embd": 2.5, "other": "x"}, {"n_embd": SIZE, "n_head": SIZE}, "config.json")
    with pytest.raises(CheckpointError, match=r"config.json: rope_scaling.truncate must be true or false; got 1$"):
        check_fields({"truncate": 1}, {"truncate": FLAG}, "config.json", within="rope_scaling")


def test_a_flag_without_quotes_is_one():
    check_flags({"tied": False, "name": "true north"}, "config.json")


def test_more_layers_than_tensors_are_refused():
    check_depth({"n_layers": 12, "n_experts": None}, 8, "config.json")
    with pytest.raises(CheckpointError, match="n_layers is 5000, and the weights have only 8 tensors"):
        check_depth({"n_layers": 5000}, 8, "config.json")
