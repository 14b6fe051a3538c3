"""The texts, bodies and looks of the chapter on transfer."""

import pytest
import torch

from companion.data.labelled import labelled
from companion.lessons.transfer import experiments as e
from companion.models.gpt import GPT, GPTConfig

ANSWERS = ("no", "yes")


def tiny_gpt() -> GPT:
    config = GPTConfig(len(e.WORLD.vocabulary), context_length=224, n_layers=2, n_heads=2, d_model=8)
    return GPT(config).eval()


def rows(n: int):
    examples = e.meetings(e.told().test, n)
    return labelled([e.encoded(one) for one in examples], [one.label for one in examples], ANSWERS)


def test_each_story_is_asked_about_once_with_each_answer():
    examples = e.meetings(e.told().train, 2)
    assert {one.label for one in examples} == set(ANSWERS)
    assert examples[0].parts[0] == examples[1].parts[0]


def test_counting_words_is_a_coin_on_who_is_together():
    stories = e.told()
    counted = e.counted(e.meetings(stories.train, 100), e.meetings(stories.test, 200))
    assert counted == pytest.approx(0.5, abs=0.1)


def test_a_body_from_scratch_has_the_sizes_of_the_trained_one_and_other_weights():
    trained, fresh = e.body("pre-trained"), e.body("scratch")
    assert fresh.config == trained.config
    assert not torch.equal(fresh.token_embedding.weight, trained.token_embedding.weight)


def test_the_mean_of_all_vectors_does_not_see_the_padding():
    gpt, batch = tiny_gpt(), e.topic_rows(e.told().test[:3])
    shortest = int(batch.attention_mask.sum(1).argmin())
    length = int(batch.attention_mask[shortest].sum())
    alone = type(batch)(*(column[[shortest], :length] for column in batch[:3]), batch.labels[[shortest]])
    together, own = e.vectors(gpt, batch), e.vectors(gpt, alone)
    for place in ("last token", "mean of all"):
        torch.testing.assert_close(together[place][shortest], own[place][0], atol=1e-5, rtol=1e-4)


def test_what_the_last_token_looks_at_is_at_most_all_of_its_weight():
    looks = e.last_token_looks(tiny_gpt(), rows(4))
    whole = looks.people + looks.places + looks.others
    assert whole.shape == (2,)
    assert bool((whole <= 1 + 1e-5).all())
    assert min(looks.people.min(), looks.places.min()) > 0


def test_attention_has_a_map_for_each_layer():
    text = e.encoded(e.meetings(e.told().test, 1)[0])
    assert [weights.shape[-1] for weights in e.attention(tiny_gpt(), text)] == [len(text.ids)] * 2
