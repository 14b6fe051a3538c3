"""The loss of several tokens ahead: the targets of depth k are shifted by k + 1."""

import math

import pytest
import torch
import torch.nn.functional as F

from companion.data.batch import IGNORED
from companion.losses.causal import causal_loss
from companion.losses.multi_token import multi_token_loss
from companion.models.modern_decoder import ModernConfig, ModernDecoder
from companion.models.multi_token import MultiTokenDecoder


class Given:
    """Logits that were made before."""

    def __init__(self, *logits):
        self.logits = list(logits)

    def ahead(self, ids):
        return self.logits


def sure_of(tokens):
    """Logits of a model that gives all probability to these tokens (batch, length)."""
    return 50 * F.one_hot(torch.tensor(tokens), 9).float()


def test_depth_one_is_right_when_it_names_the_token_after_the_next():
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    right = Given(sure_of([[1, 4, 1, 5]]), sure_of([[4, 1, 5]]))
    assert multi_token_loss(right, ids).item() == pytest.approx(0, abs=1e-6)
    early = Given(sure_of([[1, 4, 1, 5]]), sure_of([[1, 4, 1]]))
    assert multi_token_loss(early, ids).item() > 1


@pytest.mark.parametrize("weight", [0.0, 0.3, 2.0])
def test_it_is_the_causal_loss_and_the_mean_of_the_deeper_ones(weight):
    torch.manual_seed(0)
    sizes = {"vocab_size": 9, "context_length": 8, "n_layers": 1, "n_heads": 2, "d_model": 8}
    model = MultiTokenDecoder(ModernDecoder(ModernConfig(**sizes)), depth=2)
    ids = torch.randint(9, (3, 7))
    _, one, two = model.ahead(ids[:, :-1])
    by_hand = [
        -sum(logits.log_softmax(-1)[row, i, ids[row, i + k + 1]] for row in range(3) for i in range(6 - k))
        / (3 * (6 - k))
        for k, logits in ((1, one), (2, two))
    ]
    expected = causal_loss(model, ids) + weight * sum(by_hand) / 2
    torch.testing.assert_close(multi_token_loss(model, ids, weight), expected)


def test_padding_is_no_target_at_any_depth():
    ids = torch.tensor([[3, 1, 4, IGNORED, IGNORED]])
    right = Given(sure_of([[1, 4, 0, 0]]), sure_of([[4, 0, 0]]))
    assert multi_token_loss(right, ids).item() == pytest.approx(0, abs=1e-6)


def test_nothing_to_predict_at_the_last_depth_is_refused():
    ids = torch.tensor([[3, 1, IGNORED, IGNORED]])
    with pytest.raises(ValueError, match="there is nothing to predict"):
        multi_token_loss(Given(torch.zeros(1, 3, 9), torch.zeros(1, 2, 9)), ids)


@pytest.mark.parametrize("weight", [-0.3, math.nan, "0.3"])
def test_a_weight_that_turns_the_later_tokens_around_is_refused(weight):
    with pytest.raises(ValueError, match=f"weight must be a number, at least 0 and finite; got {weight!r}"):
        multi_token_loss(Given(torch.zeros(2, 1, 4, 9)), torch.tensor([[3, 1, 4, 1, 5]]), weight=weight)
