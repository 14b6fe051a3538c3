"""Gated DeltaNet, a linear attention: a state of fixed size is read, corrected where it is wrong, and slowly forgotten.

Chapter: ``book/algorithms/decoders_2026.ipynb``. Sources: Schlag et al. 2021, "Linear Transformers Are Secretly Fast
Weight Programmers", section 4.2 (the delta rule); Yang et al. 2025, "Gated Delta Networks", eq. 10, section 3.
"""

import torch
from torch import Tensor


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
