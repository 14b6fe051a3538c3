"""The language models before the Transformer, each as its paper has it.

Chapter: ``book/concepts/language_model.ipynb``. All of them are causal modules that map ids (batch, length) to logits
(batch, length, vocab), so that losses, training and metrics treat them as they treat a GPT.
"""

from companion.models.baselines.feed_forward import FeedForwardLM, FeedForwardLMConfig
from companion.models.baselines.ngram import NGram, NGramConfig
from companion.models.baselines.recurrent import LSTM, RNN, LSTMConfig, RNNConfig

__all__ = [
    "LSTM",
    "RNN",
    "FeedForwardLM",
    "FeedForwardLMConfig",
    "LSTMConfig",
    "NGram",
    "NGramConfig",
    "RNNConfig",
]
