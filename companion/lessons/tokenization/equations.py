"""Equations of ``book/concepts/tokenization.ipynb``."""

import math
from collections import Counter
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from companion.data.subwords import INSIDE, learn_bpe, learn_wordpiece, pair_counts
from companion.data.unigram import em_step, forward, segmentations
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, cuts, distribution, normal, pieces, tokens, whole, word
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


PIECE = Symbol("p(x)", "probability of the piece $x$")
WORD = Symbol("w_{i:j}", "characters of $w$ after the $i$-th up to the $j$-th")
ALPHA = Symbol(r"\alpha_j", "forward probability: of all segmentations of the first $j$ characters of $w$")


def _vocabulary(g: Generator, words: list[str]) -> dict[str, float]:
    """All letters and some longer substrings, each with a probability."""
    known = [piece for piece in pieces(words) if len(piece) == 1 or whole(g, 0, 2)]
    return dict(zip(known, distribution(g, len(known)).tolist(), strict=True))


def _one_word(g: Generator) -> dict[str, Any]:
    w = word(g, "abc", whole(g, 2, 7))
    return {"w": w, "p": _vocabulary(g, [w])}


def _unigram_by_hand(w: str, p: dict[str, float]) -> float:
    total = 0.0
    for cut_here in product([False, True], repeat=len(w) - 1):  # every way to cut between two characters, or not
        breaks = tuple(i for i, cut in enumerate(cut_here, start=1) if cut)
        chance = 1.0
        for start, end in cuts(len(w), breaks):
            chance *= p.get(w[start:end], 0.0)
        total += chance
    return total


def _unigram_companion(w: str, p: dict[str, float]) -> float:
    return sum(math.prod(p[x] for x in way) for way in segmentations(w, p))


def _unigram_torch(w: str, p: dict[str, float]) -> Tensor:
    return _all_ways(w, {piece: torch.tensor(value) for piece, value in p.items()})[-1]


def _all_ways(w: str, p: dict[str, Tensor]) -> Tensor:
    """Sum over walks from position 0 to each position: a row of ``(I - T)^-1``, T the steps between positions."""
    n = len(w)
    steps = [[p.get(w[i:j], torch.zeros(())) if i < j else torch.zeros(()) for j in range(n + 1)] for i in range(n + 1)]
    matrix = torch.eye(n + 1) - torch.stack([torch.stack(row) for row in steps])
    walks: Tensor = torch.linalg.solve(matrix.T, torch.eye(n + 1)[0])
    return walks


def _forward_by_hand(w: str, p: dict[str, float]) -> Tensor:
    alpha = [1.0]
    for j in range(1, len(w) + 1):
        alpha.append(sum(alpha[i] * p.get(w[i:j], 0.0) for i in range(j)))
    return torch.tensor(alpha)  # the last is p(w)


def _forward_companion(w: str, p: dict[str, float]) -> Tensor:
    return torch.tensor(forward(w, {piece: math.log(value) for piece, value in p.items()})).exp()


def _forward_torch(w: str, p: dict[str, float]) -> Tensor:
    return _all_ways(w, {piece: torch.tensor(value) for piece, value in p.items()})


def _em_by_hand(words: dict[str, int], p: dict[str, float]) -> Tensor:
    c = dict.fromkeys(p, 0.0)
    for w, n_w in words.items():
        n = len(w)
        alpha, beta = [1.0] + n * [0.0], n * [0.0] + [1.0]
        for j in range(1, n + 1):
            alpha[j] = sum(alpha[i] * p.get(w[i:j], 0.0) for i in range(j))
        for i in range(n - 1, -1, -1):
            beta[i] = sum(p.get(w[i:j], 0.0) * beta[j] for j in range(i + 1, n + 1))
        for i in range(n):
            for j in range(i + 1, n + 1):
                if w[i:j] in p:
                    c[w[i:j]] += n_w * alpha[i] * p[w[i:j]] * beta[j] / alpha[n]
    return torch.tensor([c[x] / sum(c.values()) for x in p])


def _em_companion(words: dict[str, int], p: dict[str, float]) -> Tensor:
    better, _ = em_step(words, {piece: math.log(value) for piece, value in p.items()})
    return torch.tensor([better[x] for x in p]).exp()


def _em_torch(words: dict[str, int], p: dict[str, float]) -> Tensor:
    log_p = torch.tensor(list(p.values())).log().requires_grad_()
    known = dict(zip(p, log_p.exp(), strict=True))
    likelihood = torch.stack([n_w * _all_ways(w, known)[-1].log() for w, n_w in words.items()]).sum()
    (counts,) = torch.autograd.grad(likelihood, log_p)  # how often x is used, on average, is this derivative
    return counts / counts.sum()


def _text(g: Generator) -> dict[str, Any]:
    words = {word(g, "abc", whole(g, 2, 6)): int(n) + 1 for n in tokens(g, 5, 4)}
    return {"words": words, "p": _vocabulary(g, list(words))}


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
    Equation(
        label="eq-tokenization-unigram",
        symbols=(
            Symbol("w", "a word"),
            Symbol("S(w)", "segmentations of $w$ into pieces of the vocabulary"),
            Symbol("x_1, \\dots, x_k", "pieces of a segmentation"),
            PIECE,
        ),
        draw=_one_word,
        by_hand=_unigram_by_hand,
        companion=_unigram_companion,
        library=_unigram_torch,
    ),
    Equation(
        label="eq-tokenization-forward",
        symbols=(ALPHA, WORD, Symbol("p(x), p(w_{i:j})", PIECE.meaning), Symbol("|w|", "number of characters of $w$")),
        draw=_one_word,
        by_hand=_forward_by_hand,
        companion=_forward_companion,
        library=_forward_torch,
    ),
    Equation(
        label="eq-tokenization-em",
        symbols=(
            Symbol("c(x)", "expected count of the piece $x$"),
            Symbol("n_w", "count of the word $w$"),
            WORD,
            ALPHA,
            Symbol(r"\beta_j", "backward probability: of all segmentations of what follows character $j$"),
            PIECE,
        ),
        draw=_text,
        by_hand=_em_by_hand,
        companion=_em_companion,
        library=_em_torch,
    ),
)
