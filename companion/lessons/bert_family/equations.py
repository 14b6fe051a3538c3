"""The equation of ``book/algorithms/bert_family.ipynb``."""

from torch import nn

from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import whole
from companion.models.bert import Bert, BertConfig


def _factorised_hand(v: int, e: int, d: int) -> tuple[int, int]:
    return v * d, v * e + (e * d + d)


def _factorised_ours(v: int, e: int, d: int) -> tuple[int, int]:
    sizes = {"vocab_size": v, "context_length": 2, "n_layers": 1, "n_heads": 1, "d_model": d}
    bert, albert = Bert(BertConfig(**sizes)), Bert(BertConfig.albert(**sizes, d_embedding=e))  # type: ignore[arg-type]
    narrow = (albert.token_embedding, albert.widen)
    return bert.token_embedding.weight.numel(), sum(p.numel() for part in narrow for p in part.parameters())


def _factorised_torch(v: int, e: int, d: int) -> tuple[int, int]:
    factorised = nn.Sequential(nn.Embedding(v, e), nn.Linear(e, d))
    return nn.Embedding(v, d).weight.numel(), sum(p.numel() for p in factorised.parameters())


EQUATIONS = (
    Equation(
        "eq-bert-family-factorised",
        (
            Symbol("V", "tokens in the vocabulary"),
            Symbol("d", "width of the model, `d_model`"),
            Symbol("E", "width of ALBERT's table, `d_embedding`"),
        ),
        lambda g: {"v": whole(g, 1, 50), "e": whole(g, 1, 8), "d": whole(g, 1, 16)},
        _factorised_hand,
        _factorised_ours,
        _factorised_torch,
    ),
)
