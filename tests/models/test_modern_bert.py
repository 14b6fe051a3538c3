"""ModernBERT attends near and far by turns, and padding changes nothing."""

import pytest
import torch

from companion.models.modern_bert import ModernBert, ModernBertConfig, ModernBertForMaskedLM
from companion.nn.capture import capture

SIZES = {"vocab_size": 11, "context_length": 12, "n_layers": 4, "n_heads": 2, "d_model": 8, "d_ff": 6}
CONFIG = ModernBertConfig(**SIZES, reach=1)


def test_local_layers_attend_to_neighbours_and_global_ones_to_all():
    model = ModernBert(CONFIG).eval()
    with capture(model) as record:
        model(torch.arange(7)[None])
    far = (torch.arange(7)[:, None] - torch.arange(7)).abs() > 1
    seen = [bool(weights[..., far].any()) for weights in record.attention]
    assert seen == [True, False, False, True]


def test_padding_on_either_side_changes_nothing():
    torch.manual_seed(0)
    model, ids = ModernBertForMaskedLM(CONFIG).eval(), torch.randint(11, (1, 5))
    alone, filler = model(ids), torch.zeros(1, 3, dtype=torch.long)
    for text, real in (
        (torch.cat([filler, ids], 1), torch.arange(8)[None] >= 3),
        (torch.cat([ids, filler], 1), torch.arange(8)[None] < 5),
    ):
        assert torch.allclose(model(text, real)[real], alone[0], atol=1e-6)


@pytest.mark.parametrize(("name", "value"), [("reach", 0), ("global_every", 0), ("n_heads", 3), ("local_base", 1.0)])
def test_sizes_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=str(value)):
        ModernBertConfig(**SIZES | {name: value})
