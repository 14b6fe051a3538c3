"""GPT's decode step: the numbers of the forward pass, and out of the way wherever it could not be."""

import pytest
import torch

from companion.finetuning.lora import add_lora
from companion.generation import GREEDY, Sampling, generate
from companion.generation.beam_search import BeamSearch
from companion.generation.decoding import DecodingState
from companion.models.gpt import GPT, GPTConfig
from companion.models.gpt_decode_step import GPTDecodeStep
from companion.nn.capture import capture

SIZES = {"vocab_size": 31, "context_length": 24, "n_layers": 3, "n_heads": 2, "d_model": 12}
PROMPT = torch.tensor([[3, 1, 4, 1, 5]])


def gpt(seed=0, **changes):
    torch.manual_seed(seed)
    model = GPT(GPTConfig(**SIZES | changes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # biases and norms too, and far from uniform attention
    return model.eval()


def begun(model):
    """The step after the prompt."""
    cache = model.new_cache()
    with torch.no_grad():
        model(PROMPT, cache=cache)
    return model.decode_step(cache)


@pytest.mark.parametrize(
    "changes",
    [{}, {"tied": False}, {"activation": "relu"}, {"n_heads": 1, "d_ff": 7, "norm_eps": 1e-2}, {"n_layers": 1}],
    ids=str,
)
def test_each_step_has_the_logits_of_the_forward_pass(changes):
    model = gpt(**changes)
    step, ids = begun(model), PROMPT
    assert isinstance(step, GPTDecodeStep)
    for token in (9, 2, 6, 5, 30, 0):
        ids = torch.cat([ids, torch.tensor([[token]])], 1)
        with torch.no_grad():
            expected = model(ids)[:, -1]
        torch.testing.assert_close(torch.from_numpy(step(token))[None], expected, rtol=1e-4, atol=1e-5)
    assert step.length == ids.size(1)


@pytest.mark.parametrize("decoding", [GREEDY, Sampling(seed=3), Sampling(temperature=0.7, top_k=9, top_p=0.9, seed=5)])
def test_a_single_text_has_the_tokens_that_it_has_without_a_cache(decoding):
    model = gpt()
    with_step = generate(model, PROMPT, 19, decoding=decoding)  # up to the end of the context
    assert with_step.tolist() == generate(model, PROMPT, 19, decoding=decoding, use_cache=False).tolist()


def test_it_follows_the_weights_as_they_are_when_it_begins():
    model = gpt()
    before = generate(model, PROMPT, 10, decoding=GREEDY)
    with torch.no_grad():
        model.blocks[1].feed_forward.contract.weight.neg_()
    assert generate(model, PROMPT, 10, decoding=GREEDY).tolist() != before.tolist()


def hooked(model):
    model.blocks[0].attention.output.register_forward_hook(lambda *_: None)


def adapted(model):
    add_lora(model, r"attention\.query", rank=2)


def replaced(model):
    model.blocks[1].forward = lambda x, **_: x


@pytest.mark.parametrize("change", [hooked, adapted, replaced, torch.nn.Module.double], ids=lambda f: f.__name__)
def test_a_model_that_is_watched_or_changed_runs_its_own_forward_pass(change):
    model = gpt()
    change(model)
    assert begun(model) is None
    tokens = [generate(model, PROMPT, 8, decoding=GREEDY, use_cache=use_cache).tolist() for use_cache in (True, False)]
    assert tokens[0] == tokens[1]


def test_an_activation_that_numpy_lacks_is_left_to_torch():
    assert begun(gpt(activation="gelu")) is None


def test_a_large_model_is_left_to_torch(monkeypatch):
    monkeypatch.setattr("companion.models.gpt_decode_step.MOST_PARAMETERS", 5_000)
    assert begun(gpt()) is None


def test_the_text_may_be_read_between_its_steps():
    model, seen = gpt(), []
    state = DecodingState(model, PROMPT)
    for token in (7, 8, 9):
        with torch.no_grad():
            seen.append(state.logits())
        state.append(torch.tensor([token]))
        assert state.ids[0, -1] == token
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(seen), model(state.ids)[0, 4:7])


def test_what_is_captured_is_the_last_token():
    model = gpt()
    with capture(model) as record:
        generate(model, PROMPT, 4, decoding=GREEDY)
    assert record.attention[0].shape == (1, 2, 1, 8)


def test_a_subclass_may_compute_something_else():
    class Silent(GPT):
        def forward(self, *args, **kwargs):
            return torch.zeros_like(super().forward(*args, **kwargs))

    assert begun(Silent(GPTConfig(**SIZES))) is None


def test_a_beam_search_of_one_text_has_its_tokens_with_and_without_a_cache():
    model = gpt()
    for beams in (1, 3):
        how = BeamSearch(beams)
        with_cache, without = (
            generate(model, PROMPT, 9, decoding=how, use_cache=one).tolist() for one in (True, False)
        )
        assert with_cache == without


def test_a_text_that_is_repeated_after_a_step_is_read_again():
    model = gpt()
    state = DecodingState(model, PROMPT)
    with torch.no_grad():
        for token in (7, 8):
            state.logits()
            state.append(torch.tensor([token]))
        state.logits()
        state.reorder(torch.tensor([0, 0]))
        state.append(torch.tensor([1, 2]))
        both = state.logits()
        expected = [model(torch.cat([PROMPT, torch.tensor([[7, 8, last]])], 1))[0, -1] for last in (1, 2)]
    torch.testing.assert_close(both, torch.stack(expected))


def test_greedy_tokens_take_nothing_from_the_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(1)
    model = gpt()
    torch.manual_seed(0)
    generate(model, PROMPT, 3, decoding=GREEDY)
    assert torch.rand(1) == expected
