"""Equations of ``book/concepts/tokenization.ipynb``: merging pairs, and what a vocabulary costs."""

import math
from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from companion.data.subwords import INSIDE, learn_bpe, learn_wordpiece, pair_counts
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, tokens, whole, word
from companion.losses.cross_entropy import cross_entropy
from companion.metrics.language_model import bits_per_character
from companion.models.gpt import GPT, GPTConfig
from companion.training.flops import forward_flops, parameters_in_products

LETTERS = "abc"


PAIR_COUNT = Symbol("n_{ab}", "count of the pair: $b$ right after $a$")


PIECE_COUNT = Symbol("n_a", "count of the piece $a$")


def _spelled(w: str) -> list[str]:
    """Return a word's first pieces in WordPiece: what does not begin it is marked."""
    return [w[0], *(INSIDE + letter for letter in w[1:])]


def _words(g: Generator) -> dict[str, Any]:
    """Words with their counts, in which one pair is the most frequent, and one has the best ratio."""
    while True:
        words = {word(g, LETTERS, whole(g, 2, 6)): whole(g, 1, 9) for _ in range(6)}
        counts = sorted(pair_counts({w: list(w) for w in words}, words).values())
        marked, pieces = {w: _spelled(w) for w in words}, Counter[str]()
        for w, n in words.items():
            pieces.update({piece: n * marked[w].count(piece) for piece in set(marked[w])})
        ratios = sorted(n / (pieces[a] * pieces[b]) for (a, b), n in pair_counts(marked, words).items())
        if len(counts) > 1 and counts[-1] > counts[-2] and ratios[-1] > ratios[-2] + 1e-9:
            return {"words": words}


def _bpe_by_hand(words: dict[str, int]) -> tuple[Tensor, Tensor]:
    n = torch.zeros(3, 3)
    for i, a in enumerate(LETTERS):
        for j, b in enumerate(LETTERS):
            for w, n_w in words.items():
                k_w = sum(w[t] == a and w[t + 1] == b for t in range(len(w) - 1))
                n[i, j] += n_w * k_w
    best = max(((i, j) for i in range(3) for j in range(3)), key=lambda pair: float(n[pair]))
    return n, torch.tensor(best)


def _bpe_companion(words: dict[str, int]) -> tuple[Tensor, Tensor]:
    counts = pair_counts({w: list(w) for w in words}, words)
    (best,) = learn_bpe(words, merges=1)
    table = torch.tensor([[float(counts[a, b]) for b in LETTERS] for a in LETTERS])
    return table, torch.tensor([LETTERS.index(piece) for piece in best])


def _bpe_torch(words: dict[str, int]) -> tuple[Tensor, Tensor]:
    table = torch.zeros(3, 3)
    for w, n_w in words.items():
        one_hot = F.one_hot(torch.tensor([LETTERS.index(letter) for letter in w]), 3).double()
        table += n_w * one_hot[:-1].T @ one_hot[1:]
    return table, torch.stack(torch.unravel_index(table.argmax(), table.shape))


def _gain_by_hand(n_ab: int, n_a: int, n_b: int, total: int) -> tuple[float, float]:
    p_ab, p_a, p_b = n_ab / total, n_a / total, n_b / total
    return math.log(p_ab) - math.log(p_a) - math.log(p_b), math.log(n_ab * total / (n_a * n_b))


def _gain_torch(n_ab: int, n_a: int, n_b: int, total: int) -> tuple[Tensor, Tensor]:
    counts = torch.tensor([n_ab, n_a, n_b, total - n_ab - n_a - n_b]).double()
    log_p = torch.distributions.Categorical(counts).logits
    gain = log_p @ torch.tensor([1.0, -1.0, -1.0, 0.0])
    return gain, gain


def _wordpiece_by_hand(words: dict[str, int]) -> tuple[float, Tensor]:
    pairs, pieces = Counter[tuple[str, str]](), Counter[str]()
    for w, n_w in words.items():
        spelled = [w[0], *("##" + letter for letter in w[1:])]
        for piece in spelled:
            pieces[piece] += n_w
        for i in range(len(spelled) - 1):
            pairs[spelled[i], spelled[i + 1]] += n_w
    score = {(a, b): n_ab / (pieces[a] * pieces[b]) for (a, b), n_ab in pairs.items()}
    a, b = max(score, key=lambda pair: score[pair])
    return score[a, b], torch.tensor([ord(character) for character in a + b[2:]])


def _wordpiece_companion(words: dict[str, int]) -> tuple[float, Tensor]:
    spelled = {w: _spelled(w) for w in words}
    letters = {piece for pieces in spelled.values() for piece in pieces}
    joined = learn_wordpiece(words, vocab_size=len(letters) + 1)[-1]
    a, b = joined[:-1], INSIDE + joined[-1]
    n_a, n_b = (sum(n * spelled[w].count(piece) for w, n in words.items()) for piece in (a, b))
    return pair_counts(spelled, words)[a, b] / (n_a * n_b), torch.tensor([ord(character) for character in joined])


def _wordpiece_torch(words: dict[str, int]) -> tuple[Tensor, Tensor]:
    pieces = [*LETTERS, *(INSIDE + letter for letter in LETTERS)]
    pairs, single = torch.zeros(6, 6), torch.zeros(6)
    for w, n_w in words.items():
        one_hot = F.one_hot(torch.tensor([pieces.index(piece) for piece in _spelled(w)]), 6).double()
        pairs += n_w * one_hot[:-1].T @ one_hot[1:]
        single += n_w * one_hot.sum(0)
    scores = torch.nan_to_num(pairs / torch.outer(single, single))  # 0 / 0 where a piece never occurs
    a, b = (pieces[int(number)] for number in torch.unravel_index(scores.argmax(), scores.shape))
    return scores.max(), torch.tensor([ord(character) for character in a + b.removeprefix(INSIDE)])


def _cost_by_hand(r: float, v: int, layers: int, d: int) -> float:
    return r * 2 * (12 * layers * d**2 + v * d)


def _cost_companion(r: float, v: int, layers: int, d: int) -> float:
    model = GPT(GPTConfig(vocab_size=v, context_length=2, n_layers=layers, n_heads=1, d_model=d))
    return r * forward_flops(parameters_in_products(model), layers, 0, d)  # no attention: a text of length 0


def _cost_torch(r: float, v: int, layers: int, d: int) -> float:
    parts = [nn.Linear(d, 3 * d), nn.Linear(d, d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)] * layers
    with FlopCounterMode(display=False) as counter:
        for part in [*parts, nn.Linear(d, v, bias=False)]:
            part(torch.zeros(1, part.in_features))
    return r * float(counter.get_total_flops())


def _bits_by_hand(x: Tensor, z: Tensor, characters: int) -> tuple[float, float]:
    bits = nats = 0.0
    for t in range(len(x)):
        p = math.exp(z[t, x[t]]) / sum(math.exp(z_w) for z_w in z[t])
        bits -= math.log2(p)
        nats -= math.log(p) / len(x)
    return bits / characters, nats / math.log(2) * len(x) / characters


def _bits_companion(x: Tensor, z: Tensor, characters: int) -> tuple[float, float]:
    bits = bits_per_character(cross_entropy(z, x).item(), len(x), characters)
    return bits, bits


def _bits_torch(x: Tensor, z: Tensor, characters: int) -> tuple[Tensor, Tensor]:
    chances: Tensor = torch.distributions.Categorical(logits=z).probs
    bits = -chances.gather(1, x[:, None]).log2().sum() / characters
    return bits, bits


def _gain_inputs(g: Generator) -> dict[str, int]:
    n_ab = whole(g, 1, 20)
    n_a, n_b = n_ab + whole(g, 0, 50), n_ab + whole(g, 0, 50)
    return {"n_ab": n_ab, "n_a": n_a, "n_b": n_b, "total": n_ab + n_a + n_b + whole(g, 1, 500)}


EQUATIONS = (
    Equation(
        label="eq-tokenization-bpe",
        symbols=(
            Symbol("a, b", "adjacent pieces"),
            PAIR_COUNT,
            Symbol("n_w", "count of the word $w$"),
            Symbol("k_w(ab)", "occurrences of the pair in $w$"),
        ),
        draw=_words,
        by_hand=_bpe_by_hand,
        companion=_bpe_companion,
        library=_bpe_torch,
    ),
    Equation(
        label="eq-tokenization-gain",
        symbols=(
            Symbol("p(a)", "probability of the piece $a$: its relative frequency $n_a / N$"),
            PAIR_COUNT,
            PIECE_COUNT,
            Symbol("N", "number of pieces in the text"),
        ),
        draw=_gain_inputs,
        by_hand=_gain_by_hand,
        library=_gain_torch,
    ),
    Equation(
        label="eq-tokenization-wordpiece",
        symbols=(PAIR_COUNT, PIECE_COUNT),
        draw=_words,
        by_hand=_wordpiece_by_hand,
        companion=_wordpiece_companion,
        library=_wordpiece_torch,
    ),
    Equation(
        label="eq-tokenization-cost",
        symbols=(
            Symbol("C(V)", "FLOPs per character"),
            Symbol("V", "vocabulary size"),
            Symbol("r(V)", "tokens per character"),
            Symbol("L", "number of layers (blocks)"),
            Symbol("d", "width of the model, `d_model`"),
        ),
        draw=lambda g: {
            "r": between(g, 0.1, 1.0),
            "v": whole(g, 1, 60),
            "layers": whole(g, 1, 3),
            "d": 2 * whole(g, 1, 8),
        },
        by_hand=_cost_by_hand,
        companion=_cost_companion,
        library=_cost_torch,
    ),
    Equation(
        label="eq-tokenization-bits",
        symbols=(
            Symbol("C", "number of characters of the text"),
            Symbol("T", "number of tokens of the text"),
            Symbol("x_t", "token $t$, counted from 1"),
            Symbol("x_{<t}", "all tokens before it"),
            Symbol(r"\mathcal{L}", "cross-entropy loss: mean over tokens, in nats"),
        ),
        draw=lambda g: {"x": tokens(g, 5, 6), "z": normal(g, 6, 5), "characters": whole(g, 6, 30)},
        by_hand=_bits_by_hand,
        companion=_bits_companion,
        library=_bits_torch,
    ),
)
