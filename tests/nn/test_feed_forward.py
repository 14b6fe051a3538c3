"""Feed-forward networks are the formulas of their papers."""

import torch

from companion.nn.feed_forward import FeedForward, GeGLUTanh, SwiGLU


def test_the_feed_forward_network_is_equation_2():
    torch.manual_seed(0)
    layer, x = FeedForward(4, 9, "relu"), torch.randn(2, 3, 4)
    inner = (x @ layer.expand.weight.T + layer.expand.bias).clamp(min=0)
    torch.testing.assert_close(layer(x), inner @ layer.contract.weight.T + layer.contract.bias)


def test_the_gate_multiplies():
    torch.manual_seed(0)
    network, x = SwiGLU(6, 5), torch.randn(3, 6)
    gate, expand = x @ network.gate.weight.T, x @ network.expand.weight.T
    torch.testing.assert_close(network(x), (gate * gate.sigmoid() * expand) @ network.contract.weight.T)


def test_gemmas_gate_is_the_approximate_gelu():
    torch.manual_seed(0)
    network, x = GeGLUTanh(6, 5), torch.randn(3, 6)
    gate = x @ network.gate.weight.T
    gelu = gate / 2 * (1 + (torch.tensor(2 / torch.pi).sqrt() * (gate + 0.044715 * gate**3)).tanh())
    torch.testing.assert_close(network(x), (gelu * (x @ network.expand.weight.T)) @ network.contract.weight.T)
