"""Prompts share their beginning without a difference, and Bayes' rule over tasks does what Bayes' rule says."""

import pytest
import torch

from companion.data.tokenization import train_byte_bpe
from companion.generation import GREEDY, generate
from companion.generation.in_context_learning import (
    BATCH,
    Format,
    SharedPrompt,
    contextual_calibration,
    posterior_predictive,
    task_posterior,
)
from companion.models.modern_decoder import ModernConfig, ModernDecoder

ARROW = Format("", " ->", "\n")
SHOWN = [("go", "went"), ("see", "saw")]


@pytest.fixture(scope="module")
def model_and_tokenizer():
    torch.manual_seed(0)
    tokenizer = train_byte_bpe(["go -> went\nsee -> saw\ntake -> took"] * 3, 280)
    config = ModernConfig(tokenizer.get_vocab_size(), 128, n_layers=2, n_heads=2, d_model=16)
    model = ModernDecoder(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # initial logits are too alike to choose among
            parameter.mul_(5)
    return model, tokenizer


def test_a_prompt_is_its_demonstrations_and_then_the_query():
    assert ARROW.prompt(SHOWN) + ARROW.query("take") == "go -> went\nsee -> saw\ntake ->"


def test_without_demonstrations_the_prompt_is_empty():
    assert ARROW.prompt([]) == ""


@pytest.mark.parametrize("shown", [[], SHOWN], ids=["zero-shot", "two-shot"])
def test_after_a_shared_prompt_the_logits_are_those_of_the_whole_text(model_and_tokenizer, shown):
    model, tokenizer = model_and_tokenizer
    beginning = tokenizer.encode(ARROW.prompt(shown)).ids
    endings = [tokenizer.encode(text).ids for text in ("take ->", "go", "a long query, longer than the others ->")]
    found = SharedPrompt(model, tokenizer, ARROW.prompt(shown)).logits(endings)
    for ending, logits in zip(endings, found, strict=True):
        with torch.no_grad():
            whole = model(torch.tensor([[*beginning, *ending]]))[0, len(beginning) :]
        torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)


def test_more_queries_than_a_batch_and_queries_asked_again_are_answered_alike(model_and_tokenizer):
    shared = SharedPrompt(*model_and_tokenizer, ARROW.prompt(SHOWN))
    once = shared.logits([[5, 6]])[0]
    many = shared.logits([[5, 6]] * (BATCH + 1))
    assert len(many) == BATCH + 1
    torch.testing.assert_close(many[-1], once)


def test_what_greedy_decoding_writes_counts_as_written_and_nothing_else(model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    shared = SharedPrompt(model, tokenizer, ARROW.prompt(SHOWN))
    ids = torch.tensor([tokenizer.encode(ARROW.prompt(SHOWN) + "take ->").ids])
    first = generate(model, ids, 1, decoding=GREEDY)[0, -1].item()
    for output in ("went", "saw", "took", "go"):
        (token, *more) = tokenizer.encode(f" {output}").ids
        if not more:
            assert shared.writes([("take ->", output)]) == [token == first]
    longer = generate(model, ids, 3, decoding=GREEDY)[0, ids.size(1) :].tolist()
    query = tokenizer.encode("take ->").ids
    logits = shared.logits([[*query, *longer[:-1]]])[0]
    assert logits[len(query) - 1 :].argmax(-1).tolist() == longer


def test_probabilities_of_labels_are_among_the_labels_alone(model_and_tokenizer):
    shared = SharedPrompt(*model_and_tokenizer, "")
    found = shared.log_probabilities(["take ->", "see ->"], ["went", "saw"])
    assert found.shape == (2, 2)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(2))


def test_labels_that_begin_alike_are_refused_by_name(model_and_tokenizer):
    with pytest.raises(ValueError, match="first tokens; got went, went"):
        SharedPrompt(*model_and_tokenizer, "").log_probabilities(["take ->"], ["went", "went"])


def test_after_calibration_a_text_that_says_nothing_has_equal_labels():
    empty = torch.tensor([0.9, 0.1]).log()
    torch.testing.assert_close(contextual_calibration(empty[None], empty).exp(), torch.full((1, 2), 0.5))


def test_a_posterior_does_not_depend_on_the_order_of_the_demonstrations():
    torch.manual_seed(0)
    prior, rows = torch.rand(4).log_softmax(-1), torch.rand(5, 4).log()
    torch.testing.assert_close(task_posterior(prior, rows)[-1], task_posterior(prior, rows.flip(0))[-1])


def test_a_task_without_prior_is_never_found():
    prior = torch.tensor([0.0, 1.0]).log()
    assert task_posterior(prior, torch.tensor([[0.9, 0.1]] * 5).log())[-1].exp().tolist() == [0, 1]


def test_one_certain_task_predicts_as_that_task():
    answers = torch.tensor([[0.7, 0.3], [0.1, 0.9]]).log()
    torch.testing.assert_close(posterior_predictive(torch.tensor([0.0, 1.0]).log(), answers), answers[1])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize(
    "ask",
    [
        lambda shared: shared.logits([[5, 6], [7]]),
        lambda shared: shared.writes(SHOWN),
        lambda shared: shared.log_probabilities(["go"], ["went", "saw"]),
    ],
    ids=["logits", "writes", "log_probabilities"],
)
def test_logits_that_are_not_finite_are_no_answer(model_and_tokenizer, ask, bad):
    model, tokenizer = model_and_tokenizer
    hook = model.final_norm.register_forward_hook(lambda _, __, output: output * bad)
    try:
        with pytest.raises(FloatingPointError, match="logits must be finite; the largest of row 0 is nan"):
            ask(SharedPrompt(model, tokenizer, "go ->"))
    finally:
        hook.remove()


HALF = "a \ud83d"
READ = {
    "prompt": lambda shared: SharedPrompt(shared.model, shared.tokenizer, HALF),
    "query": lambda shared: shared.writes([(HALF, "went")]),
    "output": lambda shared: shared.writes([("go", HALF)]),
    "asked": lambda shared: shared.log_probabilities([HALF], ["went", "saw"]),
    "label": lambda shared: shared.log_probabilities(["go"], [HALF, "saw"]),
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_half_of_a_character_in_a_prompt_is_named(model_and_tokenizer, read):
    shared = SharedPrompt(*model_and_tokenizer, "go ->")
    with pytest.raises(ValueError, match="unpaired surrogate, half of a character, U.D83D at"):
        read(shared)
