"""The Llama of a GGUF file as ONNX: the file's own codes, and the answers of torch."""

import numpy as np
import onnx
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from onnx.reference import ReferenceEvaluator
from small_gguf import TOKENS, write_gguf
from small_models import stir

from companion import zoo
from companion.checkpoints import CheckpointError
from companion.checkpoints.gguf_file import GGUF
from companion.data.fetched import NotFetchedError
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.nn.capture import ablate, capture
from companion.widgets.browser.onnx import head_sizes
from companion.widgets.browser.onnx_gguf import MatMulNBits, export_gguf

SIZES = {"context_length": 24, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 64, "d_ff": 96}
TABLE = {"token_embd.weight": Kind.Q8_0}
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def written(path, kinds=None, **sizes) -> GGUF:
    """A file of a small Llama whose matrices have 4 bits."""
    torch.manual_seed(0)
    model = ModernDecoder(ModernConfig(vocab_size=len(TOKENS), **SIZES, **sizes)).eval()
    stir(model)
    names = [f"blk.{layer}.{name}.weight" for layer in range(SIZES["n_layers"]) for name in MATRICES]
    return GGUF(write_gguf(path, model, {**dict.fromkeys(names, Kind.Q4_1), **TABLE, **(kinds or {})}))


def answers(path, model, ids, off=(), places=(-1,)):
    """(logits of these positions, attention) of the written file, and of torch, with these heads ablated."""
    with torch.no_grad(), capture(model) as record, ablate(model, off):
        logits = model(ids)[:, list(places)]
    layers, heads, d_head = head_sizes(model)
    mask = np.ones((layers, heads), np.float32)
    for layer, head in off:
        mask[layer, head] = 0
    inputs = {
        "ids": ids.numpy(),
        "head_mask": mask,
        "patch": np.zeros((layers, heads, ids.size(1), d_head), np.float32),
        "places": np.array(places),
    }
    page = ReferenceEvaluator(str(path), new_ops=[MatMulNBits]).run(["logits", "attention"], inputs)
    return page, (logits.numpy(), torch.cat(record.attention).numpy())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("length", [1, 2, 9, 24])
def test_the_file_answers_as_torch_does_at_any_length(tmp_path, length, tied):
    untied = {} if tied else {"output.weight": Kind.Q8_0}
    file = written(tmp_path / "model.gguf", untied, tied=tied, rope_base=500.0)
    model = ModernDecoder.from_gguf(file)
    export_gguf(model, file, tmp_path / "model.onnx")
    ids = torch.randint(0, len(TOKENS), (1, length), generator=torch.Generator().manual_seed(length))
    (logits, attention), (expected, maps) = answers(tmp_path / "model.onnx", model, ids)
    assert logits.shape == (1, 1, len(TOKENS))
    assert attention.shape == (2, 4, length, length)
    assert np.abs(logits - expected).max() < 1e-4
    assert np.abs(attention - maps).max() < 1e-5


def test_heads_are_ablated_and_any_positions_scored_as_torch_does(tmp_path):
    file = written(tmp_path / "model.gguf")
    model = ModernDecoder.from_gguf(file)
    export_gguf(model, file, tmp_path / "model.onnx")
    ids = torch.arange(9)[None]
    off = [(0, 3), (1, 0), (1, 1)]
    (logits, _), (expected, _) = answers(tmp_path / "model.onnx", model, ids, off, places=[0, 5, 8])
    assert logits.shape == (1, 3, len(TOKENS))
    assert np.abs(logits - expected).max() < 1e-4
    assert np.abs(logits - answers(tmp_path / "model.onnx", model, ids, (), [0, 5, 8])[0][0]).max() > 1e-2


def test_the_file_has_the_codes_of_the_gguf_file_and_hardly_a_byte_more(tmp_path):
    file = written(tmp_path / "model.gguf")
    export_gguf(ModernDecoder.from_gguf(file), file, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    packed = stored["blk.1.ffn_down codes"]
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(64, 3, 32)
    assert np.array_equal(codes, file.quantized("blk.1.ffn_down.weight").codes)
    matrices = sum(one.length for one in file.stored.values() if one.kind != "F32")
    held = sum(values.nbytes for name, values in stored.items() if name.split()[-1] in ("codes", "scales", "offsets"))
    assert held == matrices


@pytest.mark.parametrize(
    ("kinds", "error", "message"),
    [
        ({"token_embd.weight": Kind.Q4_1}, ValueError, "the token embedding must be in 8 bits; got 4"),
        ({"blk.1.attn_k.weight": Kind.Q8_0}, ValueError, r"codes of as many bits; got \[4, 8, 4\]"),
        ({"blk.0.ffn_up.weight": Kind.F16}, CheckpointError, "'blk.0.ffn_up.weight' is stored as F16"),
    ],
    ids=["the embedding in 4 bits", "a key matrix in 8 bits", "a matrix in 16 bits"],
)
def test_what_is_stored_otherwise_is_refused_and_nothing_is_written(tmp_path, kinds, error, message):
    file = written(tmp_path / "model.gguf", kinds)
    with pytest.raises(error, match=message):
        export_gguf(ModernDecoder.from_gguf(file), file, tmp_path / "page" / "model.onnx")
    assert not (tmp_path / "page").exists()


def test_another_model_than_the_files_is_noticed(tmp_path):
    file = written(tmp_path / "model.gguf")
    model = ModernDecoder.from_gguf(file)
    model.blocks[1].feed_forward.expand.weight.data *= 2
    with pytest.raises(RuntimeError, match="logits of the exported model"):
        export_gguf(model, file, tmp_path / "model.onnx")


@pytest.mark.slow
def test_the_published_model_answers_as_torch_does(tmp_path):
    try:
        model, tokenizer = zoo.load("smollm2-135m")
    except NotFetchedError as error:
        pytest.skip(f"left out, because it cannot be had: {error}")
    export_gguf(model, GGUF(zoo.folder("smollm2-135m") / zoo.GGUF_NAME), tmp_path / "model.onnx")
    text = "When Mary and John went to the store, John gave a drink to"
    ids = torch.tensor([tokenizer.encode(text).ids])
    (logits, attention), (expected, maps) = answers(tmp_path / "model.onnx", model, ids)
    assert np.abs(logits - expected).max() < 1e-3
    assert np.abs(attention - maps).max() < 1e-4
    assert tokenizer.decode([int(logits.argmax())]) == " Mary"
