"""A GGUF file gives back the model that was written, and one that lies is refused before anything is made from it."""

import struct
import tracemalloc

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, dequantize, quantize
from gguf import GGMLQuantizationType as Kind
from small_gguf import MERGES, TEMPLATE, TOKENS, crafted, entry, text, told, write_gguf
from small_models import stir
from transformers import AutoModelForCausalLM, AutoTokenizer

from companion.checkpoints import CheckpointError
from companion.checkpoints.gguf import gguf_tokenizer, load_gguf
from companion.checkpoints.gguf_file import GGUF, READABLE
from companion.data.chat import render_chat
from companion.models.modern_decoder import ModernConfig, ModernDecoder

SIZES = {"n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 32, "d_ff": 64, "rope_base": 5000.0}


def tiny(**sizes):
    torch.manual_seed(0)
    config = ModernConfig(**{"vocab_size": len(TOKENS), "context_length": 16, "norm_eps": 2.0**-17, **SIZES, **sizes})
    model = ModernDecoder(config).eval()
    stir(model)
    return model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("tied", [True, False])
def test_the_model_that_was_written_is_read_again(path, tied):
    model = tiny(tied=tied)
    again = ModernDecoder.from_gguf(GGUF(write_gguf(path, model)))
    assert again.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert not again.training


def test_a_model_in_few_bits_is_what_its_numbers_say(path):
    model, name = tiny(), "blk.0.ffn_up.weight"
    file = GGUF(write_gguf(path, model, {name: Kind.Q4_1, "token_embd.weight": Kind.Q8_0}))
    weight = model.blocks[0].feed_forward.expand.weight.detach().numpy()
    stored = dequantize(quantize(weight, Kind.Q4_1), Kind.Q4_1)
    assert file.stored[name].kind == "Q4_1"
    assert np.array_equal(ModernDecoder.from_gguf(file).blocks[0].feed_forward.expand.weight.detach().numpy(), stored)
    assert 0 < np.abs(stored - weight).max() < np.abs(weight).max() / 7


@pytest.mark.parametrize(("kind", "bits"), [("Q4_1", 4), ("Q8_0", 8)])
def test_the_codes_of_a_matrix_and_the_numbers_of_its_blocks_make_its_weights(path, kind, bits):
    name = "blk.1.ffn_down.weight"
    file = GGUF(write_gguf(path, tiny(), {name: Kind[kind]}))
    blocks = file.quantized(name)
    assert blocks.codes.shape == (32, 2, 32)
    assert blocks.codes.max() < 2**blocks.bits == 2**bits
    scales = blocks.scales.astype(np.float32)[..., None]
    if blocks.offsets is None:
        weights = scales * (blocks.codes.astype(np.float32) - 128)
    else:
        weights = scales * blocks.codes + blocks.offsets.astype(np.float32)[..., None]
    assert np.array_equal(weights.reshape(32, 64), file.tensor(name).numpy())


def test_the_codes_of_another_kind_are_refused(path):
    file = GGUF(write_gguf(path, tiny()))
    with pytest.raises(CheckpointError, match=r"'token_embd.weight' is stored as F32; allowed here are Q4_1 and Q8_0"):
        file.quantized("token_embd.weight")


@pytest.mark.parametrize("kind", READABLE)
def test_every_kind_that_is_allowed_is_widened_to_its_shape(path, kind):
    numbers, size = GGML_QUANT_SIZES[Kind[kind]]
    length = max(numbers, 32)
    data = bytes(2 * length // numbers * size)
    path.write_bytes(crafted(tensors=[told(shape=(length, 2), kind=Kind[kind].value)], data=data))
    assert torch.equal(GGUF(path).tensor("a"), torch.zeros(2, length))


@pytest.mark.slow
def test_transformers_reads_the_same_from_the_same_file(path):
    ours = ModernDecoder.from_gguf(GGUF(write_gguf(path, tiny(), {"blk.1.attn_q.weight": Kind.Q8_0})))
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, attn_implementation="eager").eval()
    ids = torch.arange(12)[None]
    with torch.no_grad():
        assert (ours(ids) - theirs(ids).logits).abs().max() < 1e-5


def test_the_tokenizer_is_transformers_own(path):
    write_gguf(path, tiny())
    ours, theirs = gguf_tokenizer(GGUF(path)), AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    for line in ("the cat", "  the the", "12 + 345", "<|endoftext|>the<tool>", "x\ty"):
        assert ours.encode(line).ids == theirs(line)["input_ids"]


def test_digits_are_tokens_and_text_comes_back(path):
    tokenizer = gguf_tokenizer(GGUF(write_gguf(path, tiny())))
    assert tokenizer.encode("the 123").tokens == ["t", "he", "Ġ", "1", "2", "3"]
    assert tokenizer.decode(tokenizer.encode("the 123").ids) == "the 123"
    assert tokenizer.encode("<|endoftext|>").ids == [0]


def test_the_chat_template_comes_from_the_file(path):
    file = GGUF(write_gguf(path, tiny()))
    assert file.chat_template == TEMPLATE
    assert render_chat(file.chat_template, [{"role": "user", "content": "Hi."}]) == "user: Hi.\n"


# Refused: what is read is not what can be loaded


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"general__architecture": "gemma"}, "of the architecture 'gemma'; this reader loads 'llama'"),
        ({"llama__expert_count": 4}, "sets llama.expert_count"),
        ({"llama__rope__scaling__type": "yarn"}, "sets llama.rope.scaling.type"),
        ({"llama__block_count": None}, "llama.block_count must be of the kind int; got None"),
        ({"llama__block_count": 10**9}, "tensors for 1000000000 blocks"),
        ({"llama__block_count": 3}, "lacks the tensor 'blk.2.attn_norm.weight'"),
        ({"llama__block_count": 1}, "has 9 unexpected tensors, such as 'blk.1.attn_k.weight'"),
        ({"llama__embedding_length": 4 * 10**9}, "the embedding is of shape (100, 32), not of 4000000000"),
        (
            {"llama__feed_forward_length": 2 * 10**9},
            "'blk.0.ffn_gate.weight' is of shape (64, 32), not (2000000000, 32)",
        ),
        ({"llama__attention__head_count": 0}, "does not describe a Llama: n_heads"),
        ({"llama__attention__head_count": 5}, "5 heads do not divide a width of 32"),
        ({"llama__attention__head_count_kv": 3}, "n_heads must be a multiple of n_kv_heads"),
        ({"llama__attention__head_count_kv": [2, 2]}, "head_count_kv must be of the kind int"),
        ({"llama__rope__dimension_count": 4}, "rope.dimension_count must be the width of a head, 8; got 4"),
    ],
    ids=str,
)
def test_a_model_that_is_no_such_llama_is_refused(path, changes, message):
    with pytest.raises(CheckpointError) as error:
        load_gguf(ModernDecoder, ModernConfig, GGUF(write_gguf(path, tiny(), **changes)))
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["token_embd.weight", "output_norm.weight", "blk.1.attn_q.weight"])
def test_a_missing_tensor_is_named(path, name):
    with pytest.raises(CheckpointError, match=f"lacks the tensor '{name}'"):
        ModernDecoder.from_gguf(GGUF(write_gguf(path, tiny(), leave_out=(name,))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer__ggml__model": "llama"}, "must be gpt2"),
        ({"tokenizer__ggml__pre": "tekken"}, "cut as gpt-2 or smollm, .*got 'gpt2', 'tekken'"),
        ({"tokenizer__ggml__add_bos_token": True}, "add no first token"),
        ({"tokenizer__ggml__tokens": [TOKENS[0]] * len(TOKENS)}, "must differ"),
        ({"tokenizer__ggml__token_type": [1]}, "each have a kind"),
        ({"tokenizer__ggml__merges": [*MERGES, "no pair"]}, "make no tokenizer"),
        ({"tokenizer__ggml__merges": ["t"]}, "make no tokenizer"),
        ({"tokenizer__ggml__tokens": "abc"}, "tokens must be of the kind list"),
        ({"tokenizer__chat_template": None}, "chat_template must be of the kind str; got None"),
    ],
    ids=str,
)
def test_a_tokenizer_that_is_not_known_is_refused(path, changes, message):
    file = GGUF(write_gguf(path, tiny(), **changes))
    with pytest.raises(CheckpointError, match=message):
        print(gguf_tokenizer(file), file.chat_template)


# Refused: files that lie

HUGE = 2**62
LIES = {
    "empty": (b"", "is no file, or empty"),
    "another format": (b"PK\3\4" + bytes(64), r"is no GGUF file: it begins with b'PK\x03\x04'"),
    "cut in the counts": (b"GGUF\3\0\0\0", "claims 20 bytes at byte 4, and has 4 bytes left"),
    "an old version": (crafted(version=1), "is of version 1"),
    "big-endian": (crafted(version=3 << 24), "is of version 50331648; allowed are (2, 3), little-endian"),
    "too many entries": (crafted(counts=(0, HUGE)), f"claims {HUGE} metadata entries"),
    "too many tensors": (crafted(counts=(HUGE, 0)), f"claims {HUGE} tensors"),
    "a key without end": (crafted([struct.pack("<Q", HUGE)], counts=(0, 1)), f"claims {HUGE} bytes"),
    "a key that is no text": (crafted([entry(b"\xff\xff", 4, b"1234")]), "is not UTF-8"),
    "a key twice": (crafted([entry("k", 4, b"1234")] * 2), "has the metadata entry 'k' twice"),
    "an unknown kind": (crafted([entry("k", 99, b"1234")]), "metadata of the unknown kind 99"),
    "a list of texts without end": (crafted([entry("k", 9, struct.pack("<IQ", 8, HUGE))]), f"claims {HUGE} texts"),
    "a list of numbers without end": (crafted([entry("k", 9, struct.pack("<IQ", 12, HUGE))]), f"claims {HUGE} numbers"),
    "a list of lists": (crafted([entry("k", 9, struct.pack("<IQ", 9, 1))]), "has a list of the unknown kind 9"),
    "no alignment": (crafted([entry("general.alignment", 4, struct.pack("<I", 0))]), "must be a power of two; got 0"),
    "alignment as text": (crafted([entry("general.alignment", 8, text("8"))]), "must be a power of two; got '8'"),
    "no axes": (crafted(tensors=[told(shape=())]), "must have 1 to 4 axes; got 0"),
    "too many axes": (crafted(tensors=[told(shape=(1,) * 9)]), "must have 1 to 4 axes; got 9"),
    "an empty axis": (crafted(tensors=[told(shape=(32, 0))]), "is of shape (0, 32)"),
    "an unknown type": (crafted(tensors=[told(kind=999)]), "is stored as 999; allowed are F32"),
    "a type that is not read": (crafted(tensors=[told(kind=24)]), "is stored as I8; allowed are F32"),
    "half a block": (crafted(tensors=[told(shape=(16,), kind=3)]), "Q4_1 needs rows of a multiple of 32"),
    "more numbers than 64 bits count": (crafted(tensors=[told(shape=(2**40, 2**40))]), "is truncated: tensor 'a' ends"),
    "an offset beyond the end": (crafted(tensors=[told(offset=2**40)]), "is truncated: tensor 'a' ends"),
    "an offset between": (crafted(tensors=[told(offset=8)]), "tensor 'a' is there twice, or overlaps another"),
    "a tensor over another": (
        crafted(tensors=[told("a"), told("b", offset=32)]),
        "tensor 'b' is there twice, or overlaps",
    ),
    "a tensor twice": (crafted(tensors=[told("a"), told("a", offset=128)]), "tensor 'a' is there twice"),
    "a name without end": (crafted(tensors=[told("a" * 10**4, kind=999)]), "…"),
}


@pytest.mark.parametrize(("content", "message"), LIES.values(), ids=LIES)
def test_a_file_that_lies_is_refused_by_name_before_memory_is_given(path, content, message):
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(CheckpointError) as error:
        GGUF(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert message in str(error.value)
    assert "model.gguf" in str(error.value)
    assert len(str(error.value)) < 600
    assert peak < 2**20


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="none.gguf is no file, or empty"):
        GGUF(tmp_path / "none.gguf")


def test_a_file_cut_anywhere_is_refused(path):
    content = write_gguf(path, tiny()).read_bytes()
    for length in range(1, len(content), 997):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            GGUF(path)
