"""Equations of ``book/algorithms/bert_family.ipynb``."""

from torch import nn

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import whole
from companion.models.bert import Bert, BertConfig
from companion.nn.mixture_of_experts import active_parameters


def _factorised_by_hand(v: int, e: int, d: int) -> tuple[int, int]:
    return v * d, v * e + (e * d + d)


def _factorised_companion(v: int, e: int, d: int) -> tuple[int, int]:
    bert = Bert(BertConfig(v, context_length=2, n_layers=1, n_heads=1, d_model=d))
    albert = Bert(BertConfig.albert(vocab_size=v, context_length=2, n_layers=1, n_heads=1, d_model=d, d_embedding=e))
    narrow = active_parameters(albert.token_embedding) + active_parameters(albert.widen)
    return active_parameters(bert.token_embedding), narrow


def _factorised_torch(v: int, e: int, d: int) -> tuple[int, int]:
    factorised = nn.Sequential(nn.Embedding(v, e), nn.Linear(e, d))
    return nn.Embedding(v, d).weight.numel(), sum(p.numel() for p in factorised.parameters())


EQUATIONS = (
    Equation(
        label="eq-bert-family-factorised",
        symbols=(
            Symbol("V", "vocabulary size"),
            Symbol("d", "width of the model, `d_model`"),
            Symbol("E", "width of ALBERT's token embedding, `d_embedding`"),
        ),
        draw=lambda g: {"v": whole(g, 1, 50), "e": whole(g, 1, 8), "d": whole(g, 1, 16)},
        by_hand=_factorised_by_hand,
        companion=_factorised_companion,
        library=_factorised_torch,
    ),
)
