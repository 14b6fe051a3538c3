"""The equations of ``book/algorithms/gpt.ipynb`` about the model and what it is trained on."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from companion.generation.beam_search import BeamSearch, beam_search
from companion.generation.decoding import DecodingState
from companion.generation.sampling import next_token_probabilities
from companion.lessons import by_hand, by_torch
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import between, normal, randomised, shares, tokens, whole
from companion.lessons.tiny_worlds import Table, started, texts
from companion.losses import causal_loss
from companion.models.gpt import GPT, GPTConfig
from companion.nn.feed_forward import FeedForward

TOKEN = Symbol("x_t", "token $t$ of the text, counted from 1")
LENGTH = Symbol("n", "tokens in the text")
WIDTH = Symbol("d", "width of the residual stream, `d_model`")


def _gpt(g: Generator) -> Any:
    config = GPTConfig(vocab_size=5, context_length=6, n_layers=2, n_heads=2, d_model=4)
    return randomised(GPT(config), g)


def _chain_rule_hand(x: Tensor, joint: Tensor) -> float:
    product = 1.0
    for t in range(len(x)):
        with_t, before_t = joint[tuple(x[: t + 1])].sum(), joint[tuple(x[:t])].sum()  # over all endings
        product *= float(with_t / before_t)
    return product


def _chain_rule_ours(x: Tensor, joint: Tensor) -> Tensor:
    return torch.exp(-len(x) * causal_loss(Table(joint), started(x)))


def _chain_rule_torch(x: Tensor, joint: Tensor) -> Tensor:
    number = sum(int(token) * stride for token, stride in zip(x, joint.stride(), strict=True))
    return torch.distributions.Categorical(joint.flatten()).log_prob(torch.tensor(number)).exp()


def _text(g: Generator) -> dict[str, Any]:
    x, model = tokens(g, 5, 4), _gpt(g)
    z = torch.stack([model(started(x)[:, : t + 1])[0, -1] for t in range(len(x))])  # row t has seen x_<t and no more
    return {"x": x, "z": z, "model": model}


def _loss_hand(x: Tensor, z: Tensor, model: Any) -> float:
    n, vocab_size = z.shape
    total = 0.0
    for t in range(n):
        total += math.log(math.exp(z[t, x[t]]) / sum(math.exp(z[t, w]) for w in range(vocab_size)))
    return -total / n


def _loss_ours(x: Tensor, z: Tensor, model: Any) -> Tensor:
    return causal_loss(model, started(x))  # all places in one pass


def _loss_torch(x: Tensor, z: Tensor, model: Any) -> Tensor:
    return -torch.distributions.Categorical(logits=z).log_prob(x).mean()


def _forward_hand(x: Tensor, model: Any) -> Tensor:
    e, p = model.token_embedding.weight, model.position_embedding.weight
    h = torch.stack([e[x[t]] + p[t] for t in range(len(x))])
    for block in model.blocks:
        read = by_hand.layer_norm(h, block.attention_norm)
        u = h + by_hand.multi_head_attention(read, read, block.attention, causal=True)
        wide = (
            by_hand.layer_norm(u, block.feed_forward_norm) @ block.feed_forward.expand.weight.T
            + block.feed_forward.expand.bias
        )
        h = u + by_hand.gelu(wide) @ block.feed_forward.contract.weight.T + block.feed_forward.contract.bias
    return by_hand.layer_norm(h, model.final_norm) @ e.T


def _forward_ours(x: Tensor, model: Any) -> Tensor:
    logits: Tensor = model(x[None])[0]
    return logits


def _forward_torch(x: Tensor, model: Any) -> Tensor:
    h = F.embedding(x, model.token_embedding.weight) + model.position_embedding.weight[: len(x)]
    for block in model.blocks:
        read = by_torch.layer_norm(h, block.attention_norm)
        h = h + by_torch.multi_head_attention(read, read, block.attention, causal=True)
        inner = F.gelu(
            by_torch.linear(by_torch.layer_norm(h, block.feed_forward_norm), block.feed_forward.expand),
            approximate="tanh",
        )
        h = h + by_torch.linear(inner, block.feed_forward.contract)
    return F.linear(by_torch.layer_norm(h, model.final_norm), model.token_embedding.weight)


def _ffn_hand(x: Tensor, layer: FeedForward) -> Tensor:
    w_1, b_1, w_2, b_2 = layer.expand.weight.T, layer.expand.bias, layer.contract.weight.T, layer.contract.bias
    wide = x @ w_1 + b_1
    gelu = 0.5 * wide * (1 + torch.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    return gelu @ w_2 + b_2


def _ffn_ours(x: Tensor, layer: FeedForward) -> Tensor:
    output: Tensor = layer(x)
    return output


def _ffn_torch(x: Tensor, layer: FeedForward) -> Tensor:
    return by_torch.linear(F.gelu(by_torch.linear(x, layer.expand), approximate="tanh"), layer.contract)


def _parameters_hand(v: int, n_max: int, layers: int, d: int) -> int:
    return v * d + n_max * d + layers * (12 * d**2 + 13 * d) + 2 * d


def _parameters_ours(v: int, n_max: int, layers: int, d: int) -> int:
    model = GPT(GPTConfig(vocab_size=v, context_length=n_max, n_layers=layers, n_heads=1, d_model=d))
    return sum(p.numel() for p in model.parameters())


def _parameters_torch(v: int, n_max: int, layers: int, d: int) -> int:
    blocks = [nn.TransformerEncoderLayer(d, 1, 4 * d) for _ in range(layers)]
    parts = (nn.Embedding(v, d), nn.Embedding(n_max, d), *blocks, nn.LayerNorm(d))
    return sum(p.numel() for part in parts for p in part.parameters())


def _temperature_hand(z: Tensor, t: float) -> Tensor:
    total = sum(math.exp(z_j / t) for z_j in z)
    return torch.tensor([math.exp(z_i / t) / total for z_i in z])


def _temperature_ours(z: Tensor, t: float) -> Tensor:
    return next_token_probabilities(z, temperature=t)


def _temperature_torch(z: Tensor, t: float) -> Tensor:
    return F.softmax(z / t, dim=-1)


def _beam_inputs(g: Generator) -> dict[str, Any]:
    config = GPTConfig(vocab_size=3, context_length=6, n_layers=1, n_heads=2, d_model=4)
    model = randomised(GPT(config), g)
    prompt, longest = tokens(g, 3, 2), 3
    known = {
        y: [model(torch.cat([prompt, torch.tensor(y[:t]).long()])[None])[0, -1] for t in range(longest)]
        for y in texts(3, longest)
    }
    return {"prompt": prompt, "known": known, "alpha": between(g, 0.0, 2.0), "model": model}


def _beam_hand(prompt: Tensor, known: dict[tuple[int, ...], list[Tensor]], alpha: float, model: Any) -> float:
    scores = []
    for y, logits in known.items():  # every text that could be written; token 0 ends it
        length = y.index(0) + 1 if 0 in y else len(y)
        log_p = 0.0
        for t in range(length):
            log_p += math.log(math.exp(logits[t][y[t]]) / sum(math.exp(z) for z in logits[t]))
        scores.append(log_p / length**alpha)
    return max(scores)


def _beam_ours(prompt: Tensor, known: dict[tuple[int, ...], list[Tensor]], alpha: float, model: Any) -> Tensor:
    texts_to_go_on = DecodingState(model, prompt[None])
    search = BeamSearch(beams=9, length_penalty=alpha)  # enough beams for every text
    _, score = beam_search(texts_to_go_on, 3, search, stop=0)
    return score[0]


def _beam_torch(prompt: Tensor, known: dict[tuple[int, ...], list[Tensor]], alpha: float, model: Any) -> Tensor:
    y = torch.tensor(list(known))
    log_probs = torch.distributions.Categorical(logits=torch.stack([torch.stack(z) for z in known.values()])).log_prob(
        y
    )
    written = F.pad((y == 0).cumsum(1)[:, :-1], (1, 0)) == 0  # up to the token that ends the text
    return ((log_probs * written).sum(1) / written.sum(1) ** alpha).max()


EQUATIONS = (
    Equation(
        "eq-gpt-chain-rule",
        (
            Symbol("p(x_1, \\dots, x_n)", "probability of the whole text"),
            TOKEN,
            LENGTH,
            Symbol("p(x_t \\mid x_1, \\dots, x_{t-1})", "probability of a token, given all before it"),
        ),
        lambda g: {"x": tokens(g, 3, 4), "joint": shares(g, 3**4).reshape(3, 3, 3, 3)},
        _chain_rule_hand,
        _chain_rule_ours,
        _chain_rule_torch,
    ),
    Equation(
        "eq-gpt-loss",
        (
            Symbol(r"\mathcal{L}(\theta)", "loss, in nats"),
            LENGTH,
            Symbol(r"p_\theta", r"the model's probability; $\theta$ are its parameters"),
            TOKEN,
            Symbol("x_{<t}", "all tokens before it"),
        ),
        _text,
        _loss_hand,
        _loss_ours,
        _loss_torch,
    ),
    Equation(
        "eq-gpt-forward",
        (
            Symbol(
                r"h^{\ell}", r"residual stream after block $\ell$ of $L$; $h^{\ell}_t$ at position $t$", r"n \times d"
            ),
            Symbol("E", "token embedding; $E_x$ is the row of token $x$", r"V \times d"),
            Symbol("P", "position embedding; $P_t$ is the row of position $t$", r"n_{\max} \times d"),
            Symbol(r"u^{\ell}", "the stream between attention and the feed-forward network", r"n \times d"),
            Symbol(r"\mathrm{LN}", "layer norm of each position"),
            Symbol("z", "logits", r"n \times V"),
        ),
        lambda g: {"x": tokens(g, 5, 5), "model": _gpt(g)},
        _forward_hand,
        _forward_ours,
        _forward_torch,
    ),
    Equation(
        "eq-gpt-ffn",
        (
            Symbol("x", "the vectors of the positions, each by itself", r"n \times d"),
            Symbol("W_1, b_1", "matrix and vector that widen", r"d \times d_{\mathrm{ff}},\; d_{\mathrm{ff}}"),
            Symbol("W_2, b_2", "matrix and vector that narrow again", r"d_{\mathrm{ff}} \times d,\; d"),
            Symbol(r"\mathrm{GELU}", "the bend, of each number by itself, in the form with tanh that GPT-2 has"),
        ),
        lambda g: {"x": normal(g, 3, 4), "layer": randomised(FeedForward(4, 16, "gelu_new"), g)},
        _ffn_hand,
        _ffn_ours,
        _ffn_torch,
    ),
    Equation(
        "eq-gpt-parameters",
        (
            Symbol("N", "parameters of the model"),
            Symbol("V", "tokens in the vocabulary"),
            WIDTH,
            Symbol(r"n_{\max}", "positions of the context, `context_length`"),
            Symbol("L", "blocks, `n_layers`"),
        ),
        lambda g: {"v": whole(g, 1, 50), "n_max": whole(g, 1, 20), "layers": whole(g, 1, 3), "d": 2 * whole(g, 1, 8)},
        _parameters_hand,
        _parameters_ours,
        _parameters_torch,
    ),
    Equation(
        "eq-gpt-temperature",
        (Symbol("p_i", "probability of token $i$"), Symbol("z_i", "its logit"), Symbol("T", "temperature, above 0")),
        lambda g: {"z": normal(g, 7), "t": between(g, 0.3, 3.0)},
        _temperature_hand,
        _temperature_ours,
        _temperature_torch,
    ),
    Equation(
        "eq-gpt-beam",
        (
            Symbol("y", "a text that was written"),
            Symbol("x", "the prompt"),
            Symbol("|y|", "new tokens"),
            Symbol(r"\alpha", "length penalty"),
        ),
        _beam_inputs,
        _beam_hand,
        _beam_ours,
        _beam_torch,
    ),
)
