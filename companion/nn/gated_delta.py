"""Gated DeltaNet, a linear attention: a state of fixed size is read, corrected where it is wrong, and slowly forgotten.

Chapter: ``book/algorithms/decoders_2026.ipynb``. Sources: Schlag et al. 2021, "Linear Transformers Are Secretly Fast
Weight Programmers", section 4.2 (the delta rule); Yang et al. 2025, "Gated Delta Networks", eq. 10, section 3.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.nn.norms import RMSNorm


def delta_recurrent(query: Tensor, key: Tensor, value: Tensor, decay: Tensor, rate: Tensor) -> Tensor:
    """Return the outputs of the gated delta rule, one token after the other.

    ``S_t = a_t S_{t-1} + b_t (v_t - a_t S_{t-1} k_t) k_t^T`` and ``o_t = S_t q_t``: what the state answers to the key
    is corrected towards the value. The state has d_value x d_key numbers, however long the text is.

    Args:
        query: (batch, heads, length, d_key).
        key: (batch, heads, length, d_key), of length 1.
        value: (batch, heads, length, d_value).
        decay: a, (batch, heads, length), above 0 to 1: what is kept of the state.
        rate: b, (batch, heads, length), 0 to 1: how far the answer is corrected.

    Returns:
        (batch, heads, length, d_value).

    Example:
        >>> one, keys = torch.ones(1, 1, 3), torch.eye(2)[[0, 1, 0]].view(1, 1, 3, 2)
        >>> values = torch.tensor([5.0, 7.0, 6.0]).view(1, 1, 3, 1)
        >>> delta_recurrent(keys, keys, values, one, one).flatten().tolist()  # the third replaces the first
        [5.0, 7.0, 6.0]
    """
    state = value.new_zeros(*value.shape[:2], value.size(-1), key.size(-1))
    outputs = []
    for t in range(key.size(2)):
        k = key[:, :, t, :, None]  # (batch, heads, d_key, 1)
        state = decay[:, :, t, None, None] * state
        error = value[:, :, t, :, None] - state @ k
        state = state + rate[:, :, t, None, None] * error @ k.mT
        outputs.append((state @ query[:, :, t, :, None])[..., 0])
    return torch.stack(outputs, dim=2)


def delta_parallel(query: Tensor, key: Tensor, value: Tensor, decay: Tensor, rate: Tensor) -> Tensor:
    """Return the same as :func:`delta_recurrent` for all tokens at once, by one triangular system.

    Let ``D_ti = a_{i+1} … a_t`` and u_t the corrections. Then ``u_t = b_t (v_t - sum_{i<t} D_ti (k_i . k_t) u_i)``,
    which is solved for all u together, and ``o_t = sum_{i<=t} D_ti (k_i . q_t) u_i``, a masked attention without
    softmax. Released kernels do this for chunks of a text, and pass the state from chunk to chunk. Arguments are those
    of :func:`delta_recurrent`.

    Example:
        >>> parts = torch.rand(5, 1, 1, 4, 3).unbind()
        >>> weights = [part[..., 0] for part in parts[3:]]
        >>> torch.allclose(delta_parallel(*parts[:3], *weights), delta_recurrent(*parts[:3], *weights), atol=1e-5)
        True
    """
    logs = decay.log().cumsum(-1)  # (batch, heads, length)
    kept = (logs[..., :, None] - logs[..., None, :]).tril().exp().tril()  # D, (batch, heads, t, i)
    overlap = rate[..., None] * kept * (key @ key.mT)
    system = overlap.tril(-1) + torch.eye(key.size(2), dtype=key.dtype, device=key.device)
    corrections = torch.linalg.solve_triangular(system, rate[..., None] * value, upper=False, unitriangular=True)
    outputs: Tensor = (kept * (query @ key.mT)) @ corrections
    return outputs


class GatedDeltaNet(nn.Module):
    """The layer around the gated delta rule, as Qwen3-Next has it in three of four blocks; causal, without positions.

    A short convolution mixes each channel of queries, keys and values with its last few tokens; keys and queries are
    made unit vectors; a gate of the input multiplies the normalised output. Decay and rate are one number per head:
    ``a = exp(-exp(log_speed) softplus(W_a x + offset))`` and ``b = sigmoid(W_b x)`` (Yang et al. 2025, section 3.3).

    Example:
        >>> GatedDeltaNet(d_model=12, n_heads=3, d_head=4)(torch.zeros(2, 5, 12)).shape
        torch.Size([2, 5, 12])
    """

    def __init__(self, d_model: int, n_heads: int, d_head: int, *, kernel: int = 4, norm_eps: float = 1e-6) -> None:
        """Make the projections, the convolution and the norm; a new head keeps half of its state for 2 to 700 tokens.

        Args:
            d_model: width of the input and of the output.
            n_heads: number of states.
            d_head: width of a head's queries, keys and values; its state has ``d_head * d_head`` numbers.
            kernel: number of tokens that the convolution reads, the present one included.
            norm_eps: number added to the mean square in the norm of the outputs.
        """
        super().__init__()
        self.n_heads, width = n_heads, n_heads * d_head
        self.query, self.key, self.value, self.gate = (nn.Linear(d_model, width, bias=False) for _ in range(4))
        self.decay, self.rate = (nn.Linear(d_model, n_heads, bias=False) for _ in range(2))
        self.mix = nn.Parameter(torch.empty(3 * width, 1, kernel).uniform_(-(kernel**-0.5), kernel**-0.5))
        self.log_speed = nn.Parameter(torch.empty(n_heads).uniform_(1, 4).log())
        step = torch.logspace(-3, -1, n_heads)
        self.offset = nn.Parameter(step.expm1().log())  # softplus of it is the step
        self.norm = RMSNorm(d_head, norm_eps)
        self.output = nn.Linear(width, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> the same, each position from itself and those before it."""
        parts = torch.cat([self.query(x), self.key(x), self.value(x)], dim=-1)
        kernel = self.mix.size(-1)
        last = F.pad(parts, (0, 0, kernel - 1, 0)).unfold(1, kernel, 1)  # (batch, length, 3 heads d_head, kernel)
        mixed = F.silu((last * self.mix[:, 0]).sum(-1))
        q, k, v = (self._heads(part) for part in mixed.chunk(3, dim=-1))  # (batch, heads, length, d_head) each
        q, k = F.normalize(q, dim=-1) / q.size(-1) ** 0.5, F.normalize(k, dim=-1)
        speed = self.log_speed.exp() * F.softplus(self.decay(x) + self.offset)  # (batch, length, heads)
        read = delta_parallel(q, k, v, (-speed).exp().mT, self.rate(x).sigmoid().mT)
        gated = self.norm(read) * F.silu(self._heads(self.gate(x)))
        output: Tensor = self.output(gated.transpose(1, 2).flatten(2))
        return output

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, length, heads d_head) -> (batch, heads, length, d_head)."""
        return torch.unflatten(x, -1, (self.n_heads, -1)).transpose(1, 2)
