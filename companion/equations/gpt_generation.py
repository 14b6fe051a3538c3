"""The equations of ``book/algorithms/gpt.ipynb`` about writing."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from companion.beam import beam_search
from companion.continuation import Continuation
from companion.equations.checking import Equation, Symbol
from companion.equations.drawing import between, normal, randomised, tokens
from companion.equations.tables import texts
from companion.generation import next_token_probabilities
from companion.gpt import GPT, GPTConfig


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
    texts_to_go_on = Continuation(model, prompt[None])
    _, score = beam_search(texts_to_go_on, 3, beams=9, length_penalty=alpha, stop=0)  # enough beams for every text
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
