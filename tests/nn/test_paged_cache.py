"""A cache in blocks: the same tokens as a strip, shared beginnings, and blocks that come back."""

import pytest
import torch
from small_models import random_ids, tiny_gpt

from companion.generation import GREEDY, generate
from companion.nn.paged_cache import BlockPool


@pytest.fixture(scope="module")
def model():
    return tiny_gpt()


def pool_of(model, n_blocks: int = 12, block_size: int = 3) -> BlockPool:
    return BlockPool(n_blocks, block_size, model.config.n_layers)


@torch.no_grad()
def written(model, text, ids: list[int], new: int) -> list[int]:
    for _ in range(new):
        logits = model(torch.tensor([ids[text.length :]]), cache=text.layers)
        ids = [*ids, int(logits[0, -1].argmax())]
    return ids


@pytest.mark.parametrize("block_size", [1, 3, 16])
def test_blocks_of_any_size_give_the_tokens_of_a_strip(model, block_size):
    ids = random_ids(model, 1, 5)
    pool = BlockPool(16, block_size, model.config.n_layers)
    found = written(model, pool.text(ids[0].tolist()), ids[0].tolist(), 8)
    assert found == generate(model, ids, 8, decoding=GREEDY)[0].tolist()


def test_texts_written_in_turns_do_not_disturb_each_other(model):
    pool = pool_of(model)
    prompts = [random_ids(model, 1, 4, seed=seed)[0].tolist() for seed in (1, 2)]
    texts, ids = [pool.text(prompt) for prompt in prompts], list(prompts)
    for _ in range(6):
        ids = [written(model, text, one, 1) for text, one in zip(texts, ids, strict=True)]
    usual = [generate(model, torch.tensor([prompt]), 6, decoding=GREEDY)[0].tolist() for prompt in prompts]
    assert ids == usual
    assert not set(texts[0].blocks) & set(texts[1].blocks)


def test_a_text_that_begins_alike_uses_the_full_blocks_of_the_first(model):
    pool, prompt = pool_of(model), random_ids(model, 1, 8)[0].tolist()
    first = pool.text(prompt)
    written(model, first, prompt, 1)
    first.publish(prompt)
    second = pool.text([*prompt[:7], (prompt[7] + 1) % 31])
    assert second.blocks == first.blocks[:2]
    assert second.length == 6


def test_a_shared_beginning_gives_the_tokens_of_a_text_that_shares_nothing(model):
    pool, prompt = pool_of(model), random_ids(model, 1, 8)[0].tolist()
    first = pool.text(prompt)
    written(model, first, prompt, 1)
    first.publish(prompt)
    other = [*prompt[:7], 3, 4]
    found = written(model, pool.text(other), other, 5)
    assert found == generate(model, torch.tensor([other]), 5, decoding=GREEDY)[0].tolist()


def test_the_last_token_is_never_taken_from_another_text(model):
    pool, prompt = pool_of(model), random_ids(model, 1, 6)[0].tolist()
    first = pool.text(prompt)
    written(model, first, prompt, 1)
    first.publish(prompt)
    assert pool.text(prompt).length == 3


def test_blocks_come_back_when_a_text_is_released(model):
    pool, prompt = pool_of(model), random_ids(model, 1, 7)[0].tolist()
    text = pool.text(prompt)
    written(model, text, prompt, 1)
    assert pool.n_free == 12 - 3
    text.release()
    assert pool.n_free == 12


def test_a_published_block_outlives_its_text_until_its_place_is_needed(model):
    pool, prompt = pool_of(model, n_blocks=3), random_ids(model, 1, 7)[0].tolist()
    text = pool.text(prompt)
    written(model, text, prompt, 1)
    text.publish(prompt)
    text.release()
    assert pool.text(prompt).length == 6
    again = pool_of(model, n_blocks=3)
    text = again.text(prompt)
    written(model, text, prompt, 1)
    text.publish(prompt)
    text.release()
    other = [(token + 1) % 31 for token in prompt]
    written(model, again.text(other), other, 1)  # takes all three
    assert again.text(prompt).length == 0


def test_a_full_pool_says_so(model):
    prompt = random_ids(model, 1, 7)[0].tolist()
    with pytest.raises(MemoryError, match="all 2 blocks of 3 positions are in use"):
        written(model, pool_of(model, n_blocks=2).text(prompt), prompt, 1)


def test_what_is_published_must_be_what_was_read(model):
    pool, prompt = pool_of(model), random_ids(model, 1, 4)[0].tolist()
    text = pool.text(prompt)
    written(model, text, prompt, 1)
    with pytest.raises(ValueError, match="the cache holds 4 positions; got 5 tokens"):
        text.publish([*prompt, 1])


def test_two_rows_and_no_token_are_refused():
    pool = BlockPool(2, 2, 1)
    with pytest.raises(ValueError, match="a paged text is one row; got 2"):
        pool.text([1]).layers[0].append(torch.zeros(2, 1, 1, 4), torch.zeros(2, 1, 1, 4))
    with pytest.raises(ValueError, match="at least one token"):
        pool.text([])
