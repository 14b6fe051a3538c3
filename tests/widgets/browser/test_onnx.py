"""A GPT as ONNX: the same numbers, for any length, in half the bytes."""

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from companion.models.bert import Bert, BertConfig, BertForPreTraining, segments_of
from companion.models.gpt import GPT, GPTConfig
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.capture import ablate, capture
from companion.nn.intervention import intervene
from companion.widgets.browser.onnx import export_onnx, head_sizes

pytestmark = pytest.mark.slow


def inputs(model, ids, off=(), patch=None) -> dict[str, np.ndarray]:
    """What the file of ``model`` takes: with these heads (layer, head) ablated, or with a patch."""
    layers, heads, d_head = head_sizes(model)
    mask = np.ones((layers, heads), np.float32)
    for layer, head in off:
        mask[layer, head] = 0
    nothing = np.zeros((layers, heads, ids.size(1), d_head), np.float32)
    return {"ids": ids.numpy(), "head_mask": mask, "patch": nothing if patch is None else patch}


def answers(path, model, ids, outputs=("logits", "attention"), **how) -> list[np.ndarray]:
    return ReferenceEvaluator(str(path)).run(list(outputs), inputs(model, ids, **how))


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=90, context_length=24, n_layers=2, n_heads=3, d_model=48)).eval()
    for parameter in model.parameters():
        parameter.data = (4 * parameter.data).half().float()  # sharp attention, and weights that 16 bits can hold
    return model


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "new" / "model.onnx"
    export_onnx(model, path)
    return path


@pytest.mark.parametrize("length", [1, 2, 9, 24])
def test_the_file_answers_as_torch_does_at_any_length(model, path, length):
    ids = torch.randint(0, 90, (1, length), generator=torch.Generator().manual_seed(length))
    with torch.no_grad(), capture(model) as record:
        expected = model(ids)
    logits, attention = answers(path, model, ids)
    assert np.abs(logits - expected.numpy()).max() < 1e-4
    assert attention.shape == (2, 3, length, length)
    assert np.abs(attention - torch.cat(record.attention).numpy()).max() < 1e-4


@pytest.mark.parametrize("off", [[(0, 1)], [(1, 0), (1, 2)]])
def test_a_head_that_the_mask_takes_away_is_ablated_as_torch_does(model, path, off):
    ids = torch.randint(0, 90, (1, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), ablate(model, off):
        expected = model(ids)
    with torch.no_grad():
        whole = model(ids)
    (logits,) = answers(path, model, ids, ("logits",), off=off)
    assert np.abs(logits - expected.numpy()).max() < 1e-4
    assert (whole - expected).abs().max() > 1e-2


def test_the_output_of_a_head_can_be_taken_from_another_text(model, path):
    draw = torch.Generator().manual_seed(2)
    ids, other = torch.randint(0, 90, (2, 1, 9), generator=draw)
    (heads,) = answers(path, model, other, ("heads",))
    patch = np.zeros_like(heads)
    patch[1, 2] = heads[1, 2]
    (logits,) = answers(path, model, ids, ("logits",), off=[(1, 2)], patch=patch)
    with torch.no_grad(), capture(model) as record:
        model(other)
    of_other = record.heads[1]
    with torch.no_grad(), intervene(model, heads={1: lambda own: torch.cat([own[:, :2], of_other[:, 2:]], dim=1)}):
        expected = model(ids)
    assert np.abs(logits - expected.numpy()).max() < 1e-4


def test_layers_that_share_their_weights_have_masks_of_their_own(tmp_path):
    torch.manual_seed(0)
    sizes = {"context_length": 12, "n_layers": 2, "n_heads": 2, "d_model": 16, "n_groups": 1}
    model = BertForPreTraining(BertConfig(30, **sizes)).eval()
    for parameter in model.parameters():
        parameter.data = (4 * parameter.data).half().float()
    export_onnx(model, tmp_path / "model.onnx")
    ids = torch.arange(7)[None]
    with torch.no_grad(), ablate(model, [(1, 0)]):
        expected, _ = model(ids)
    (logits,) = answers(tmp_path / "model.onnx", model, ids, ("logits",), off=[(1, 0)])
    assert np.abs(logits - expected.numpy()).max() < 1e-4


def test_weights_are_halved_and_the_tied_embedding_is_stored_once(model, path):
    tensors = onnx.load(path).graph.initializer
    large = [tensor for tensor in tensors if np.prod(tensor.dims) >= 1024]
    assert {tensor.data_type for tensor in large} == {onnx.TensorProto.FLOAT16}
    assert sum(list(tensor.dims) in ([90, 48], [48, 90]) for tensor in large) == 1
    assert path.stat().st_size < 2.3 * sum(parameter.numel() for parameter in model.parameters()) + 30_000


def test_nothing_but_the_file_is_left_and_it_names_no_folder_of_the_machine(path):
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]
    assert b"site-packages" not in path.read_bytes()


def test_a_weight_beyond_16_bits_is_refused_and_nothing_is_written(tmp_path):
    model = GPT(GPTConfig(vocab_size=9, context_length=4, n_layers=1, n_heads=1, d_model=4))
    model.token_embedding.weight.data[0, 0] = 1e5
    with pytest.raises(ValueError, match=r"token_embedding.*65504"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_model_itself_is_not_touched(model, path):
    assert next(model.parameters()).dtype == torch.float32
    assert all(not layer.attention.observers for layer in model.blocks)


@pytest.mark.parametrize("length", [1, 2, 9, 24])
def test_a_bert_answers_as_torch_does_with_its_second_segment_after_sep(bert, length):
    model, path = bert
    ids = torch.randint(0, 90, (1, length), generator=torch.Generator().manual_seed(length))
    ids[0, length // 2] = 7
    with torch.no_grad(), capture(model) as record:
        expected, _ = model(ids, segments_of(ids, 7))
    with torch.no_grad():
        all_first, _ = model(ids)
    logits, attention = answers(path, model, ids)
    assert np.abs(logits - expected.numpy()).max() < 1e-4
    assert np.abs(attention - torch.cat(record.attention).numpy()).max() < 1e-4
    assert length < 3 or np.abs(logits - all_first.numpy()).max() > 1e-2


def test_in_8_bits_each_block_has_a_scale_and_the_answers_stay_close(model, path, tmp_path):
    export_onnx(model, tmp_path / "model.onnx", bits=8)
    tensors = onnx.load(tmp_path / "model.onnx").graph.initializer
    codes = [tensor for tensor in tensors if tensor.data_type == onnx.TensorProto.INT8]
    assert sum(int(np.prod(tensor.dims)) for tensor in codes) > 0.9 * sum(p.numel() for p in model.parameters())
    assert (tmp_path / "model.onnx").stat().st_size < 0.7 * path.stat().st_size
    ids = torch.arange(9)[None]
    with torch.no_grad(), capture(model) as record:
        model(ids)
    _, attention = answers(tmp_path / "model.onnx", model, ids)
    assert 0 < np.abs(attention - torch.cat(record.attention).numpy()).max() < 0.05


def test_another_number_of_bits_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="bits must be one of 16, 8; got 4"):
        export_onnx(model, tmp_path / "model.onnx", bits=4)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig(90, context_length=24, n_layers=2, n_heads=3, d_model=48)).eval()
    for parameter in model.parameters():
        parameter.data = (4 * parameter.data).half().float()
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export_onnx(model, path, sep_id=7)
    return model, path


def test_a_bert_without_heads_returns_its_hidden_states(tmp_path):
    torch.manual_seed(0)
    model = Bert(BertConfig(vocab_size=30, context_length=12, n_layers=2, n_heads=2, d_model=16)).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    export_onnx(model, tmp_path / "model.onnx")
    ids = torch.arange(7)[None]
    with torch.no_grad(), capture(model) as record:
        expected = model(ids)
    hidden, attention = answers(tmp_path / "model.onnx", model, ids, ("hidden", "attention"))
    assert np.abs(hidden - expected.numpy()).max() < 1e-4
    assert np.abs(attention - torch.cat(record.attention).numpy()).max() < 1e-4


def test_a_modern_decoder_answers_as_torch_does(tmp_path):
    torch.manual_seed(0)
    sizes = {"vocab_size": 30, "context_length": 12, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 16}
    model = ModernDecoder(ModernConfig(**sizes)).eval()
    for parameter in model.parameters():
        parameter.data = (4 * parameter.data).half().float()
    export_onnx(model, tmp_path / "model.onnx")
    ids = torch.arange(7)[None]
    with torch.no_grad(), capture(model) as record:
        expected = model(ids)
    logits, attention = answers(tmp_path / "model.onnx", model, ids)
    assert np.abs(logits - expected.numpy()).max() < 1e-4
    assert np.abs(attention - torch.cat(record.attention).numpy()).max() < 1e-4


def test_a_model_that_no_page_runs_is_refused_with_those_it_does(tmp_path):
    with pytest.raises(TypeError, match="GPT, ModernDecoder, Bert, BertForPreTraining; got Linear"):
        export_onnx(torch.nn.Linear(2, 2), tmp_path / "model.onnx")
