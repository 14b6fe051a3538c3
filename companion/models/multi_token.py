"""Multi-token prediction: a decoder that is trained to predict, beside the next token, the tokens after it.

Chapter: ``book/algorithms/decoders_2026.ipynb``. Sources: DeepSeek-AI 2024, "DeepSeek-V3", section 2.2, eq. 21 to 25
(modules one after the other, which keep the order of the tokens); Gloeckle et al. 2024, "Better & Faster Large Language
Models via Multi-token Prediction", section 2 (independent heads side by side, which are not built here).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from companion.models.modern_decoder import ModernBlock, ModernConfig, ModernDecoder
from companion.nn.checks import check_integer
from companion.nn.kv_cache import KVCache
from companion.nn.norms import RMSNorm


class MultiTokenModule(nn.Module):
    """One step further: a state that predicts token t becomes, with the embedding of token t, one that predicts t + 1.

    ``h' = Block(M [RMSNorm(h_i); RMSNorm(Emb(t_(i+k)))])`` (DeepSeek-V3, eq. 21 and 22).
    """

    def __init__(self, config: ModernConfig) -> None:
        """Make the norms, the projection of the pair, and a block of the decoder's kind.

        Args:
            config: of the decoder.
        """
        super().__init__()
        d, eps = config.d_model, config.norm_eps
        self.state_norm, self.token_norm, self.final_norm = (RMSNorm(d, eps) for _ in range(3))
        self.join = nn.Linear(2 * d, d, bias=False)
        self.block = ModernBlock(config)

    def forward(self, states: Tensor, tokens: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Return the states of the next depth, (batch, length, d_model).

        Args:
            states: (batch, length, d_model), of the depth before.
            tokens: (batch, length, d_model), embeddings of the tokens that the states predict.
            rotation: of these positions.
        """
        pair = torch.cat([self.state_norm(states), self.token_norm(tokens)], dim=-1)
        further: Tensor = self.block(self.join(pair), rotation)
        return further


class MultiTokenDecoder(nn.Module):
    """A decoder with ``depth`` modules of multi-token prediction, for training; they share its embedding and output.

    What it answers is the decoder's own answer: the modules are left out once it is trained, or propose tokens that
    the decoder checks.

    Example:
        >>> sizes = {"vocab_size": 10, "context_length": 8, "n_layers": 1, "n_heads": 2, "d_model": 8}
        >>> model = MultiTokenDecoder(ModernDecoder(ModernConfig(**sizes)), depth=2)
        >>> [tuple(logits.shape) for logits in model.ahead(torch.tensor([[3, 1, 4, 1, 5]]))]
        [(1, 5, 10), (1, 4, 10), (1, 3, 10)]
    """

    def __init__(self, model: ModernDecoder, depth: int = 1) -> None:
        """Make the modules, with new weights; the decoder keeps its own.

        Args:
            model: the decoder, without experts.
            depth: number of tokens predicted beside the next one.

        Raises:
            ValueError: when ``depth`` is below 1.
        """
        check_integer("depth", depth)
        super().__init__()
        self.config, self.model = model.config, model
        self.ahead_modules = nn.ModuleList(MultiTokenModule(model.config) for _ in range(depth))
        model.initialize(self.ahead_modules)

    def forward(
        self, ids: Tensor, attention_mask: Tensor | None = None, cache: Sequence[KVCache] | None = None
    ) -> Tensor:
        """Return the logits of the next token; see :meth:`companion.models.modern_decoder.ModernDecoder.forward`."""
        logits: Tensor = self.model(ids, attention_mask, cache)
        return logits

    def ahead(self, ids: Tensor) -> list[Tensor]:
        """Return the logits of every depth: of the next token, of the one after it, and so on.

        Position i of depth k has read the tokens up to i + k, and predicts token i + k + 1; so each depth has one
        position less.

        Args:
            ids: (batch, length), longer than ``depth``.

        Returns:
            (batch, length - k, vocab_size) for each k from 0 to ``depth``.

        Raises:
            ValueError: on ids as the decoder's, or a text without a position for the last depth.
        """
        if ids.size(1) <= len(self.ahead_modules):
            raise ValueError(f"ids must be longer than the depth, {len(self.ahead_modules)}; got {tuple(ids.shape)}")
        model, states = self.model, self.model.states(ids)
        logits = [model.output(states)]
        rotation, _ = model.rotations(torch.arange(ids.size(1), device=ids.device)[None])
        for k, module in enumerate(self.ahead_modules, start=1):
            shorter = rotation[0][:, :, :-k], rotation[1][:, :, :-k]
            states = module(states[:, :-1], model.token_embedding(ids[:, k:]), shorter)
            logits.append(model.output(states, module.get_submodule("final_norm")))
        return logits
