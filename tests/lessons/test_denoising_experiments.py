"""The experiments of the chapter on denoising: stories, damage, a repair by rule, and cross-attention."""

from functools import cache
from itertools import islice

import pytest
import torch

from companion.lessons.denoising import experiments
from companion.losses.spans import sequence_loss
from companion.models.transformer import Transformer, TransformerConfig
from companion.storyworld.views import told


@cache
def stories():
    return experiments.short_stories()


def small_denoiser() -> Transformer:
    torch.manual_seed(0)
    return Transformer(TransformerConfig(len(experiments.VOCABULARY), 80, 1, 2, 16, start_id=experiments.END)).eval()


def test_no_text_is_in_two_parts_and_none_is_long():
    texts = [told(story) for part in stories()[:3] for story in part]
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) <= 32
    assert 0 < stories().fraction < 1


def test_the_targets_of_spoiled_stories_are_the_stories():
    batch = experiments.spoiled(stories().held_out[:5], seed=1)
    assert [tuple(experiments.words(row)) for row in batch.targets] == [told(s) for s in stories().held_out[:5]]


def test_batches_are_spoiled_anew_when_the_same_stories_come_round():
    one, other = islice(experiments.spoiled_batches(stories().training[:16]), 2)
    assert not torch.equal(one.inputs.sum(), other.inputs.sum())


def test_the_rule_drops_masks_and_puts_where_people_are_first():
    assert experiments.by_rule(["She", "takes", "[MASK]", ".", "Anna", "is", "in", "the", "garden", "."]) == (
        ["Anna", "is", "in", "the", "garden", ".", "She", "takes", "."]
    )


def test_a_story_is_possible_and_its_words_shuffled_are_not():
    text = told(stories().held_out[0])
    assert experiments.possible(text)
    assert not experiments.possible(text[::-1])


def test_originals_are_judged_perfect():
    texts = [told(story) for story in stories().held_out[:3]]
    assert experiments.judged(texts, texts) == {"ROUGE-L": 1.0, "possible": 1.0, "exact": 1.0}


def test_lookups_are_weights_of_words_that_stand_once_in_the_spoiled_text():
    batch = experiments.spoiled(stories().held_out[:3], ["permutation"], seed=0)
    found = experiments.lookups(small_denoiser(), batch)
    assert found.weights.shape[:2] == (1, 2)
    assert found.weights.shape[2] == len(found.kinds) > 0
    assert bool(((found.weights >= 0) & (found.weights <= 1)).all())
    assert set(found.kinds.tolist()) <= set(range(len(experiments.KINDS)))


def test_an_untrained_denoiser_is_surprised_at_about_the_size_of_the_vocabulary():
    batch = experiments.spoiled(stories().held_out[:3])
    nats = experiments.nats_per_word(small_denoiser(), batch)
    assert nats == pytest.approx(torch.tensor(len(experiments.VOCABULARY)).log().item(), rel=0.3)


def test_a_short_training_lowers_the_loss_and_leaves_the_model_on_the_cpu():
    model = small_denoiser()
    batches = experiments.spoiled_batches(stories().training)
    test = experiments.spoiled(stories().held_out[:3])
    history = experiments.train(
        model, batches, 8, loss=sequence_loss, evaluate=lambda model: experiments.nats_per_word(model, test)
    )
    assert history.loss[-1] < history.loss[0]
    assert len(history.evaluations) == 2
    assert {p.device.type for p in model.parameters()} == {"cpu"}
