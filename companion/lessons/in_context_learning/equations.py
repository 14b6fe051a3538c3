"""Equations of ``book/algorithms/in_context_learning.ipynb``."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from companion.generation.in_context_learning import contextual_calibration, posterior_predictive, task_posterior
from companion.lessons.equation_check import Equation, Symbol
from companion.lessons.random_inputs import distribution, whole

TASK = Symbol("t", "task, such as one dictionary")
DEMONSTRATIONS = Symbol(r"\mathcal{D}_k", "demonstrations so far: $k$ inputs with their outputs")
POSTERIOR = Symbol(r"p(t \mid \mathcal{D}_k)", "posterior: probability of task $t$, given the demonstrations")
PRIOR = Symbol("p(t)", "prior: probability of task $t$ before any demonstration")
INPUT, OUTPUT = Symbol("x_i", "input of demonstration $i$"), Symbol("y_i", "output of demonstration $i$")
LIKELIHOOD = Symbol(r"p(y_i \mid x_i, t)", "likelihood: probability of output $y_i$ after input $x_i$ in task $t$")


def _draw_tasks(generator: Generator) -> dict[str, Any]:
    tasks, shown, outputs = whole(generator, 2, 5), whole(generator, 1, 6), whole(generator, 2, 5)
    answers = distribution(generator, shown, tasks, outputs)
    return {"prior": distribution(generator, tasks), "likelihoods": answers[..., 0]}  # (shown, tasks)


def _posterior_by_hand(prior: Tensor, likelihoods: Tensor) -> list[Tensor]:
    weights = []
    for t in range(len(prior)):
        weight = float(prior[t])
        for i in range(len(likelihoods)):
            weight *= float(likelihoods[i, t])
        weights.append(weight)
    return [torch.tensor([weight / sum(weights) for weight in weights])]


def _posterior_companion(prior: Tensor, likelihoods: Tensor) -> list[Tensor]:
    return [task_posterior(prior.log(), likelihoods.log())[-1].exp()]


def _posterior_torch(prior: Tensor, likelihoods: Tensor) -> list[Tensor]:
    belief = prior
    for row in likelihoods:  # one at a time, each posterior the next one's prior
        belief = torch.distributions.Categorical(probs=belief * row).probs
    return [belief]


def _draw_answers(generator: Generator) -> dict[str, Any]:
    tasks, outputs = whole(generator, 2, 5), whole(generator, 2, 6)
    return {"posterior": distribution(generator, tasks), "answers": distribution(generator, tasks, outputs)}


def _predictive_by_hand(posterior: Tensor, answers: Tensor) -> Tensor:
    found = torch.zeros(answers.size(1))
    for y in range(answers.size(1)):
        for t in range(len(posterior)):
            found[y] += posterior[t] * answers[t, y]
    return found


def _predictive_companion(posterior: Tensor, answers: Tensor) -> Tensor:
    return posterior_predictive(posterior.log(), answers.log()).exp()


def _predictive_torch(posterior: Tensor, answers: Tensor) -> Tensor:
    components = torch.distributions.Categorical(probs=answers)
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(probs=posterior), components)
    log_probs: Tensor = mixture.log_prob(torch.arange(answers.size(1)))
    return log_probs.exp()


def _odds_by_hand(prior: Tensor, likelihoods: Tensor) -> float:
    total = math.log(prior[0] / prior[1])
    for i in range(len(likelihoods)):
        total += math.log(likelihoods[i, 0] / likelihoods[i, 1])
    return total


def _odds_companion(prior: Tensor, likelihoods: Tensor) -> Tensor:
    log_posterior = task_posterior(prior.log(), likelihoods.log())[-1]
    return log_posterior[0] - log_posterior[1]


def _odds_torch(prior: Tensor, likelihoods: Tensor) -> Tensor:
    joint = torch.cat([prior[None], likelihoods])[:, :2].prod(0)  # of the first two tasks
    return torch.logit(joint[0] / joint.sum())


def _draw_labels(generator: Generator) -> dict[str, Any]:
    labels = whole(generator, 2, 5)
    return {"probabilities": distribution(generator, labels), "empty": distribution(generator, labels)}


def _calibration_by_hand(probabilities: Tensor, empty: Tensor) -> Tensor:
    ratios = [float(p) / float(q) for p, q in zip(probabilities, empty, strict=True)]
    return torch.tensor([ratio / sum(ratios) for ratio in ratios])


def _calibration_companion(probabilities: Tensor, empty: Tensor) -> Tensor:
    return contextual_calibration(probabilities.log()[None], empty.log())[0].exp()


def _calibration_torch(probabilities: Tensor, empty: Tensor) -> Tensor:
    scaled = torch.linalg.solve(torch.diag(empty), probabilities)  # the paper's W = diag(p)^-1
    return torch.nn.functional.normalize(scaled, p=1, dim=0)


EQUATIONS = (
    Equation(
        label="eq-in_context_learning-posterior",
        symbols=(
            Symbol(
                r"p(t \mid \mathcal{D}_k)",
                "posterior: probability of task $t$, given the demonstrations",
                r"\text{tasks}",
            ),
            TASK,
            DEMONSTRATIONS,
            PRIOR,
            Symbol("k", "number of demonstrations"),
            INPUT,
            OUTPUT,
            LIKELIHOOD,
            Symbol("t'", "any task"),
        ),
        draw=_draw_tasks,
        by_hand=_posterior_by_hand,
        companion=_posterior_companion,
        library=_posterior_torch,
    ),
    Equation(
        label="eq-in_context_learning-predictive",
        symbols=(
            Symbol("y", "output that is asked for"),
            Symbol("x", "input of the query"),
            DEMONSTRATIONS,
            TASK,
            POSTERIOR,
            Symbol(r"p(y \mid x, t)", "probability of output $y$ after input $x$ in task $t$"),
        ),
        draw=_draw_answers,
        by_hand=_predictive_by_hand,
        companion=_predictive_companion,
        library=_predictive_torch,
    ),
    Equation(
        label="eq-in_context_learning-odds",
        symbols=(
            Symbol("a", "one task"),
            Symbol("b", "another task"),
            DEMONSTRATIONS,
            Symbol("p(a)", "prior of task $a$"),
            Symbol("p(b)", "prior of task $b$"),
            Symbol("k", "number of demonstrations"),
            INPUT,
            OUTPUT,
            Symbol(r"p(y_i \mid x_i, a)", "likelihood of output $y_i$ in task $a$"),
            Symbol(r"p(y_i \mid x_i, b)", "likelihood of output $y_i$ in task $b$"),
        ),
        draw=_draw_tasks,
        by_hand=_odds_by_hand,
        companion=_odds_companion,
        library=_odds_torch,
    ),
    Equation(
        label="eq-in_context_learning-calibration",
        symbols=(
            Symbol(r"\tilde p(y \mid x)", "calibrated probability of label $y$"),
            Symbol("y", "label"),
            Symbol("x", "text that is to be labelled"),
            Symbol(r"p(y \mid x)", "probability of label $y$ among the labels, after the prompt and $x$"),
            Symbol(r"p(y \mid \text{N/A})", "the same for a text that says nothing"),
            Symbol("y'", "any label"),
        ),
        draw=_draw_labels,
        by_hand=_calibration_by_hand,
        companion=_calibration_companion,
        library=_calibration_torch,
    ),
)
