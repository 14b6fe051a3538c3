"""LoRA: nothing changes at first, only the adapters learn, and merged and unmerged are the same model."""

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import random_ids, stir, tiny_bert, tiny_gpt
from torch import nn

from companion.checkpoints import CheckpointError
from companion.finetuning.heads import SequenceClassifier
from companion.finetuning.lora import (
    LoRALinear,
    adapters,
    add_lora,
    load_adapters,
    merge,
    remove_lora,
    save_adapters,
    unmerge,
)
from companion.losses import causal_loss
from companion.models.bert import Bert
from companion.models.gpt import GPT
from companion.nn.capture import capture
from companion.training import Optimization, Runtime, fit

QUERY_VALUE = r"attention\.(query|value)$"


def adapted(rank=3, alpha=6.0, **options):
    """A GPT whose adapters have learned something, the same model without, and ids."""
    model, plain = tiny_gpt(), tiny_gpt()
    add_lora(model, QUERY_VALUE, rank=rank, alpha=alpha, **options)
    for layer in adapters(model).values():
        stir(layer_of_adapters(layer))
    return model, plain, random_ids(plain, 2, 9)


def layer_of_adapters(layer):
    return nn.ParameterList([layer.lora_a, layer.lora_b])


def values(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


# The idea


def test_at_first_nothing_changes():
    model, ids = tiny_gpt(), random_ids(tiny_gpt(), 2, 9)
    before = model(ids)
    add_lora(model, QUERY_VALUE)
    assert torch.equal(model(ids), before)


def test_the_matrix_is_the_old_one_and_a_product_of_two_narrow_ones():
    linear = nn.Linear(5, 7)
    layer = LoRALinear(linear, rank=2, alpha=3.0)
    stir(layer)
    whole = linear.weight + 3.0 / 2 * layer.lora_b @ layer.lora_a
    x = torch.randn(4, 6, 5)
    torch.testing.assert_close(layer(x), x @ whole.T + linear.bias, rtol=0, atol=1e-5)
    assert torch.linalg.matrix_rank(layer.change()) == 2


def test_its_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(4, 3).double(), rank=2, alpha=1.5)
    stir(layer)
    x = torch.randn(5, 4, dtype=torch.float64)

    def out(a, b):
        return torch.func.functional_call(layer, {"lora_a": a, "lora_b": b}, (x,))

    assert torch.autograd.gradcheck(out, (layer.lora_a, layer.lora_b))


def test_at_first_only_b_has_a_gradient():
    layer = LoRALinear(nn.Linear(4, 3), rank=2, alpha=1.0)
    layer(torch.randn(5, 4)).square().sum().backward()
    assert layer.lora_a.grad.abs().max() == 0
    assert layer.lora_b.grad.abs().max() > 0


def test_a_layer_without_bias_stays_without():
    model = nn.Sequential(nn.Linear(4, 4, bias=False))
    add_lora(model, "0", rank=1)
    assert model[0].bias is None
    assert model(torch.randn(2, 4)).shape == (2, 4)


def test_the_layers_that_are_named_get_adapters_and_no_others():
    model = tiny_gpt()
    names = add_lora(model, QUERY_VALUE)
    assert names == [f"blocks.{i}.attention.{which}" for i in (0, 1) for which in ("query", "value")]
    assert list(adapters(model)) == names


def test_attention_is_seen_through_adapters():
    model, plain, ids = adapted()
    with capture(model) as with_, capture(plain) as without:
        model(ids)
        plain(ids)
    assert all(len(record.attention) == 2 for record in (with_, without))
    assert not torch.allclose(with_.attention[0], without.attention[0])


def test_a_block_that_all_layers_share_has_one_adapter_for_all_of_them():
    model = tiny_bert(family="albert", n_layers=3, d_embedding=6)
    names = add_lora(model, QUERY_VALUE, rank=2)
    assert names == ["encoder.blocks.0.attention.query", "encoder.blocks.0.attention.value"]
    stir(adapters(model)[names[0]])
    ids = random_ids(model, 2, 6)
    before = model(ids)
    merge(model)
    torch.testing.assert_close(model(ids), before, rtol=0, atol=1e-5)


# Merged and unmerged


def test_merged_says_the_same_as_unmerged():
    model, plain, ids = adapted()
    before = model(ids)
    assert (before - plain(ids)).abs().max() > 1e-2
    merge(model)
    assert (model(ids) - before).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merging_can_be_undone(dtype):
    model, plain, _ = adapted()
    model.to(dtype)
    merge(model)
    unmerge(model)
    limit = 1e-6 if dtype == torch.float32 else 1e-14
    for name, p in plain.named_parameters():
        assert (model.get_parameter(name) - p.to(dtype)).abs().max() < limit


def test_after_it_is_undone_the_adapters_go_on_learning():
    model, _, ids = adapted()
    merge(model)
    unmerge(model)
    before = values(model)
    fit(model, [ids], steps=2, runtime=Runtime(device="cpu"), progress=False)
    changed = {name for name, p in values(model).items() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if "lora" in name}


def test_a_merged_model_without_its_adapters_is_an_ordinary_one(tmp_path):
    model, _, ids = adapted()
    expected = model(ids)
    merge(model)
    remove_lora(model)
    assert not any(isinstance(module, LoRALinear) for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())
    model.save_pretrained(tmp_path)
    assert (GPT.from_pretrained(tmp_path)(ids) - expected).abs().max() < 1e-5


def test_adapters_that_are_not_merged_can_be_thrown_away():
    model, plain, ids = adapted()
    remove_lora(model)
    assert torch.equal(model(ids), plain(ids))
    assert set(dict(model.named_parameters())) == set(dict(plain.named_parameters()))


def test_a_checkpoint_does_not_lose_adapters_without_a_word(tmp_path):
    model, _, _ = adapted()
    with pytest.raises(CheckpointError, match=r"no place for blocks\.0\.attention\.query\.lora_a"):
        model.save_pretrained(tmp_path)


# Only the adapters learn


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_the_weights_stay_bit_for_bit_and_the_adapters_learn(optimizer):
    model, ids = tiny_gpt(), random_ids(tiny_gpt(), 4, 9)
    add_lora(model, QUERY_VALUE, rank=2)
    before = values(model)
    history = fit(
        model,
        [ids],
        steps=20,
        learning_rate=3e-2,
        optimization=Optimization(optimizer),
        runtime=Runtime(device="cpu"),
        progress=False,
    )
    changed = {name for name, p in values(model).items() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if "lora" in name}
    assert history.loss[-1] < history.loss[0]


def test_a_new_head_learns_with_them():
    model = SequenceClassifier(tiny_bert(), ["no", "yes"])
    add_lora(model, QUERY_VALUE, rank=2, also="classifier|pooler")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name in trained if "lora" not in name} == {
        "bert.pooler.weight",
        "bert.pooler.bias",
        "classifier.weight",
        "classifier.bias",
    }


def test_the_model_is_trained_by_few_numbers():
    model = tiny_gpt()
    add_lora(model, QUERY_VALUE, rank=2)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == 2 * 2 * 2 * (12 + 12)  # layers, matrices, rank, sides


# Saved alone


def test_adapters_are_saved_alone_and_loaded_onto_the_same_base(tmp_path):
    model, plain, ids = adapted(also="final_norm")
    save_adapters(model, tmp_path / "adapters.safetensors")
    saved = load_file(tmp_path / "adapters.safetensors")
    assert {name for name in saved if "lora" not in name} == {"final_norm.weight", "final_norm.bias"}
    load_adapters(plain, tmp_path / "adapters.safetensors")
    assert torch.equal(plain(ids), model(ids))
    trained = [{name for name, p in m.named_parameters() if p.requires_grad} for m in (model, plain)]
    assert trained[0] == trained[1] == set(saved)


def test_a_file_for_another_model_is_refused_and_changes_nothing(tmp_path):
    model, _, _ = adapted()
    path = tmp_path / "adapters"
    save_adapters(model, path)
    with pytest.raises(ValueError, match=r"'blocks\.1\.attention\.query', and the model has no such linear layer"):
        load_adapters(tiny_gpt(n_layers=1), path)
    wider = tiny_gpt(d_model=16)
    before = values(wider)
    with pytest.raises(ValueError, match=r"lora_a' is of shape \(3, 12\) in .* and \(3, 16\) in the model"):
        load_adapters(wider, path)
    assert all(torch.equal(p, before[name]) for name, p in values(wider).items())
    assert set(values(wider)) == set(before)


@pytest.mark.parametrize("what", ["missing", "text", "cut", "model"])
def test_a_file_that_holds_no_adapters_is_refused(tmp_path, what):
    model, plain, _ = adapted()
    path = tmp_path / "adapters"
    if what == "text":
        path.write_text("nothing")
    if what == "cut":
        save_adapters(model, path)
        path.write_bytes(path.read_bytes()[:-10])
    if what == "model":
        save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="adapters is missing, damaged, or no file of adapters"):
        load_adapters(plain, path)


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path):
    model, plain, _ = adapted()
    adapters(model)["blocks.0.attention.query"].lora_b.requires_grad_(False)
    save_adapters(model, tmp_path / "adapters")
    with pytest.raises(ValueError, match=r"query\.lora_b' is of shape None in .* and \(12, 3\) in the model"):
        load_adapters(plain, tmp_path / "adapters")


# What makes no sense


def test_a_pattern_that_matches_nothing_is_refused_with_what_there_is():
    message = r"pattern 'qkv' matches none of the 13 linear layers: blocks\.0\.attention\.query, .*unembedding"
    with pytest.raises(ValueError, match=message):
        add_lora(tiny_gpt(), "qkv")
    with pytest.raises(ValueError, match="also='head' matches none of the parameters"):
        add_lora(tiny_gpt(), "query", also="head")


@pytest.mark.parametrize("rank", [0, -1, 13])
def test_a_rank_out_of_range_is_refused_and_changes_nothing(rank):
    model = tiny_gpt()
    with pytest.raises(ValueError, match=f"rank must be 1 to 12, the smaller side of the matrix; got {rank}"):
        add_lora(model, QUERY_VALUE, rank=rank)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_an_alpha_that_is_not_positive_is_refused(alpha):
    with pytest.raises(ValueError, match=f"alpha must be positive and finite; got {alpha}"):
        add_lora(tiny_gpt(), QUERY_VALUE, alpha=alpha)


def test_a_tied_matrix_is_refused_because_merging_would_change_both():
    with pytest.raises(ValueError, match="the matrix of unembedding is tied to another layer's"):
        add_lora(tiny_gpt(), "unembedding")
    assert add_lora(tiny_gpt(tied=False), "unembedding") == ["unembedding"]


def test_a_second_time_is_refused():
    model = tiny_gpt()
    add_lora(model, "query")
    with pytest.raises(ValueError, match="GPT has adapters already; call remove_lora first"):
        add_lora(model, "value")


def test_merging_twice_or_nothing_is_refused():
    model, plain, _ = adapted()
    with pytest.raises(ValueError, match=r"the adapter of blocks\.0\.attention\.query is not merged"):
        unmerge(model)
    merge(model)
    with pytest.raises(ValueError, match=r"the adapter of blocks\.0\.attention\.query is merged already"):
        merge(model)
    for call in (merge, unmerge, remove_lora, lambda m: save_adapters(m, "nowhere")):
        with pytest.raises(ValueError, match="GPT has no adapters; call add_lora first"):
            call(plain)


def test_merged_adapters_are_not_trained():
    model, _, ids = adapted()
    merge(model)
    with pytest.raises(RuntimeError, match="merged into the weights; call unmerge before training them"):
        fit(model, [ids], steps=1, loss=causal_loss, runtime=Runtime(device="cpu"), progress=False)


def test_a_body_with_merged_adapters_is_saved_for_transformers(tmp_path):
    from transformers import BertModel

    model = tiny_bert()
    add_lora(model, QUERY_VALUE, rank=2)
    stir(adapters(model)["encoder.blocks.0.attention.query"])
    ids = random_ids(model, 2, 6)
    expected = model(ids)
    merge(model)
    remove_lora(model)
    model.save_pretrained(tmp_path)
    assert isinstance(Bert.from_pretrained(tmp_path), Bert)
    theirs = BertModel.from_pretrained(tmp_path).eval()(ids).last_hidden_state
    assert (theirs - expected).abs().max() < 1e-5


def test_adapters_of_a_wrapped_model_are_those_of_a_plain_one(tmp_path):
    model, plain, ids = adapted()
    save_adapters(nn.DataParallel(model), tmp_path / "adapters")
    load_adapters(nn.DataParallel(plain), tmp_path / "adapters")
    assert torch.equal(plain(ids), model(ids))


SAID = {"layers": ["blocks.0.attention.query"], "rank": 1, "alpha": 16.0}
UNTRUE = {
    "no rank": lambda said: said.pop("rank"),
    "a rank of text": lambda said: said.update(rank="1"),
    "half a rank": lambda said: said.update(rank=1.5),
    "a huge rank": lambda said: said.update(rank=10**9),
    "no alpha": lambda said: said.update(alpha=None),
    "an endless alpha": lambda said: said.update(alpha=float("inf")),
    "one name for a list": lambda said: said.update(layers="query"),
    "no layers": lambda said: said.update(layers=[]),
    "numbers for names": lambda said: said.update(layers=[1]),
    "lists for names": lambda said: said.update(layers=[["a"]]),
    "a layer twice": lambda said: said.update(layers=said["layers"] * 2),
}


def rewritten(path, said=SAID, change=lambda tensor: tensor):
    """A file of adapters of one layer, with other tensors, or with other things said of it."""
    model = tiny_gpt()
    add_lora(model, r"blocks\.0\.attention\.query", rank=1)
    save_adapters(model, path)
    tensors = {name: change(tensor) for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"lora": said if isinstance(said, str) else json.dumps(said)})
    return path


@pytest.mark.parametrize("change", UNTRUE.values(), ids=UNTRUE)
def test_what_is_said_of_adapters_is_checked(tmp_path, change):
    said = dict(SAID)
    change(said)
    with pytest.raises(ValueError, match=r"adapters is missing, damaged|rank must be|alpha must be"):
        load_adapters(tiny_gpt(), rewritten(tmp_path / "adapters", said))


@pytest.mark.parametrize("said", ["{", "[]", "null", "[" * 100_000, ""], ids=["cut", "list", "null", "deep", "empty"])
def test_what_is_said_in_no_json_is_refused(tmp_path, said):
    with pytest.raises(ValueError, match="adapters is missing, damaged, or no file of adapters"):
        load_adapters(tiny_gpt(), rewritten(tmp_path / "adapters", said))


@pytest.mark.parametrize("change", [torch.Tensor.long, torch.Tensor.bool, lambda tensor: tensor * torch.nan])
def test_adapters_that_are_no_finite_numbers_are_refused(tmp_path, change):
    with pytest.raises(ValueError, match="must hold finite numbers"):
        load_adapters(tiny_gpt(), rewritten(tmp_path / "adapters", change=change))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is missing, damaged, or no file of adapters"):
        load_adapters(tiny_gpt(), tmp_path / "pipe")


@pytest.mark.parametrize("place", ["a folder", "below a file"])
def test_adapters_that_cannot_be_saved_are_said_to_be_so_and_the_old_ones_stay(tmp_path, place):
    model, plain, ids = adapted()
    save_adapters(model, tmp_path / "adapters")
    path = tmp_path if place == "a folder" else tmp_path / "adapters" / "more"
    with pytest.raises(OSError, match="could not be saved"):
        save_adapters(model, path)
    load_adapters(plain, tmp_path / "adapters")
    assert torch.equal(plain(ids), model(ids))


@pytest.mark.parametrize("pattern", ["([", "*", "(?P<"])
def test_a_pattern_that_is_no_regular_expression_is_refused(pattern):
    with pytest.raises(ValueError, match="a pattern must be a regular expression"):
        add_lora(tiny_gpt(), pattern)


@pytest.mark.parametrize(("rank", "alpha"), [(np.int64(2), 16.0), (2, np.float32(16))])
def test_numbers_of_numpy_are_saved_and_loaded(tmp_path, rank, alpha):
    model, again = (nn.ModuleDict({"query": nn.Linear(6, 6)}) for _ in range(2))
    add_lora(model, "query", rank=rank, alpha=alpha)
    save_adapters(model, tmp_path / "adapters")
    load_adapters(again, tmp_path / "adapters")
    assert (again["query"].rank, again["query"].alpha) == (2, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": True}, "rank must be an integer; got True"),
        ({"rank": 2.0}, "rank must be an integer; got 2.0"),
        ({"alpha": True}, "alpha must be positive and finite; got True"),
        ({"alpha": "2"}, "alpha must be positive and finite; got '2'"),
        ({"alpha": torch.tensor(2.0)}, "alpha must be positive and finite; got tensor"),
    ],
)
def test_a_rank_or_an_alpha_that_could_not_be_saved_is_refused_before_training(settings, message):
    model = nn.ModuleDict({"query": nn.Linear(6, 6)})
    with pytest.raises(ValueError, match=message):
        add_lora(model, "query", **{"rank": 2} | settings)
    assert type(model["query"]) is nn.Linear


def test_a_layer_whose_weight_torch_reads_by_itself_is_refused():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for name in ("linear1", "self_attn.out_proj"):
        with pytest.raises(ValueError, match=f"{name} cannot be adapted: torch's "):
            add_lora(layer, name, rank=2)
