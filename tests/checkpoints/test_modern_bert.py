"""Checkpoints of ModernBERT of the old form and the new are read; variants are refused by name."""

import json

import pytest

from companion.checkpoints import CheckpointError
from companion.checkpoints.modern_bert import FULL, SLIDING
from companion.models.modern_bert import ModernBertConfig, ModernBertForMaskedLM

SIZES = {"vocab_size": 11, "context_length": 12, "n_layers": 4, "n_heads": 2, "d_model": 8, "d_ff": 6}
CONFIG = ModernBertConfig(**SIZES, reach=1)


def saved(folder, **fields):
    ModernBertForMaskedLM(CONFIG).save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def test_the_kinds_of_layers_are_read_too(tmp_path):
    folder = saved(tmp_path, layer_types=[FULL, SLIDING, FULL, SLIDING])
    assert ModernBertForMaskedLM.from_pretrained(folder).config.global_every == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("norm_bias", True),
        ("decoder_bias", False),
        ("hidden_activation", "relu"),
        ("layer_types", [SLIDING, FULL, SLIDING, FULL]),
        ("rope_parameters", {FULL: {"rope_type": "yarn"}}),
    ],
)
def test_a_variant_that_the_package_lacks_is_refused(tmp_path, field, value):
    with pytest.raises(CheckpointError, match="layer_types|norm_bias|decoder_bias|hidden_activation|scales"):
        ModernBertForMaskedLM.from_pretrained(saved(tmp_path, **{field: value}))
