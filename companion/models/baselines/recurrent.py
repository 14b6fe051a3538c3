"""Recurrent language models: Elman's network and the LSTM.

Chapter: ``book/concepts/language_model.ipynb``. Sources: Elman 1990; Hochreiter & Schmidhuber 1997; Gers et al. 2000
(the forget gate).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.nn.checks import check_ids, check_sizes
from companion.nn.field_types import check_field_types


@dataclass(frozen=True)
class RNNConfig:
    """The sizes of a recurrent language model.

    Attributes:
        vocab_size: number of tokens in the vocabulary.
        d_model: width of a token embedding.
        d_hidden: width of the hidden state.
    """

    vocab_size: int
    d_model: int
    d_hidden: int

    def __post_init__(self) -> None:
        """Raise ValueError on a size below 1."""
        check_field_types(self)
        check_sizes(self, ("vocab_size", "d_model", "d_hidden"))


@dataclass(frozen=True)
class LSTMConfig(RNNConfig):
    """The sizes of an LSTM language model; as in :class:`RNNConfig`."""


class ElmanLayer(nn.Module):
    """``h_t = tanh(W x_t + b + U h_{t-1})``: one layer of Elman's network."""

    def __init__(self, d_model: int, d_hidden: int) -> None:
        """Make W and b (``input``) and U (``recurrent``)."""
        super().__init__()
        self.input = nn.Linear(d_model, d_hidden)
        self.recurrent = nn.Linear(d_hidden, d_hidden, bias=False)
        _initialise(self, d_hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> the hidden state after each token, (batch, length, d_hidden)."""
        projected = self.input(x).unbind(1)  # of all steps at once: only U has to wait for the state
        weight = self.recurrent.weight.T
        state = x.new_zeros(x.size(0), weight.size(0))
        states = []
        for step in projected:
            state = torch.addmm(step, state, weight).tanh()
            states.append(state)
        return torch.stack(states, dim=1)


class LSTMLayer(nn.Module):
    """An LSTM layer: a memory cell with input, forget and output gate.

    ``i, f, o = sigmoid(W_{i,f,o} x_t + b + U_{i,f,o} h_{t-1})``, ``g = tanh(W_g x_t + b_g + U_g h_{t-1})``,
    ``c_t = f * c_{t-1} + i * g``, ``h_t = o * tanh(c_t)``. The matrices lie below each other in the order i, f, g, o,
    as in ``torch.nn.LSTM``.
    """

    def __init__(self, d_model: int, d_hidden: int) -> None:
        """Make W and b (``input``) and U (``recurrent``); the forget gate begins open, with a bias of 1."""
        super().__init__()
        self.input = nn.Linear(d_model, 4 * d_hidden)
        self.recurrent = nn.Linear(d_hidden, 4 * d_hidden, bias=False)
        _initialise(self, d_hidden)
        with torch.no_grad():
            self.input.bias[d_hidden : 2 * d_hidden] = 1.0  # or the cell halves what it holds at every step

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> the output after each token, (batch, length, d_hidden).

        Torch's own kernel: the numbers and gradients of :meth:`by_hand`, in less than half the time.
        """
        d_hidden = self.recurrent.in_features
        start = x.new_zeros(1, x.size(0), d_hidden)
        no_bias = x.new_zeros(4 * d_hidden)  # torch has a second bias, which adds nothing to the first
        weights = [self.input.weight, self.recurrent.weight, self.input.bias, no_bias]
        return torch.lstm(x, [start, start], weights, True, 1, 0.0, self.training, False, True)[0]

    def by_hand(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the output of :meth:`forward`, computed gate by gate, and the gates and cells of each step.

        Returns:
            the output after each token, and by name, all (batch, length, d_hidden): the gates "write", "keep" and
            "read" (the papers' input, forget and output gate), and the "cell".
        """
        projected = self.input(x).unbind(1)  # of all steps at once, as above
        weight = self.recurrent.weight.T
        state = cell = x.new_zeros(x.size(0), weight.size(0))
        history: dict[str, list[Tensor]] = {"state": [], "write": [], "keep": [], "read": [], "cell": []}
        for step in projected:
            i, f, g, o = torch.addmm(step, state, weight).chunk(4, dim=-1)
            write, keep, read = i.sigmoid(), f.sigmoid(), o.sigmoid()  # each (batch, d_hidden), in (0, 1)
            cell = keep * cell + write * g.tanh()
            state = read * cell.tanh()
            for steps, value in zip(history.values(), (state, write, keep, read, cell), strict=True):
                steps.append(value)
        stacked = {name: torch.stack(steps, dim=1) for name, steps in history.items()}
        return stacked.pop("state"), stacked


class _RecurrentLM(nn.Module):
    """An embedding, one recurrent layer and an output layer."""

    def __init__(self, config: RNNConfig, layer: type[ElmanLayer] | type[LSTMLayer]) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList([layer(config.d_model, config.d_hidden)])  # so named, Muon takes their matrices
        self.output = nn.Linear(config.d_hidden, config.vocab_size)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of the next token, at each position; each row begins with a hidden state of zeros.

        Args:
            ids: (batch, length).

        Returns:
            logits (batch, length, vocab_size).

        Raises:
            ValueError: on ids of the wrong rank or outside the vocabulary.
        """
        check_ids(ids, self.config.vocab_size)
        logits: Tensor = self.output(self.blocks[0](self.token_embedding(ids)))
        return logits


class RNN(_RecurrentLM):
    """Elman's simple recurrent network as a language model.

    Example:
        >>> model = RNN(RNNConfig(vocab_size=10, d_model=4, d_hidden=8))
        >>> model(torch.tensor([[1, 2, 3]])).shape  # the logits of the next token, at each position
        torch.Size([1, 3, 10])
    """

    def __init__(self, config: RNNConfig) -> None:
        """Make the embedding, the recurrent layer and the output layer."""
        super().__init__(config, ElmanLayer)


class LSTM(_RecurrentLM):
    """The long short-term memory as a language model.

    Example:
        >>> model = LSTM(LSTMConfig(vocab_size=10, d_model=4, d_hidden=8))
        >>> model(torch.tensor([[1, 2, 3]])).shape  # the logits of the next token, at each position
        torch.Size([1, 3, 10])
    """

    def __init__(self, config: LSTMConfig) -> None:
        """Make the embedding, the recurrent layer and the output layer."""
        super().__init__(config, LSTMLayer)


def _initialise(layer: nn.Module, d_hidden: int) -> None:
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(d_hidden**-0.5), d_hidden**-0.5)
