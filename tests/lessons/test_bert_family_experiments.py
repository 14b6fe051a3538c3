"""The experiments of the chapter on the BERT family: masks, pointers, and baselines that count."""

from itertools import islice

import pytest
import torch

from companion.data.batch import IGNORED
from companion.lessons.bert_family import experiments
from companion.lessons.bert_family.experiments import HOPS, POINTERS
from companion.losses.masked import mask_tokens
from companion.losses.sentences import next_sentence_pairs
from companion.models.bert import BertConfig

DOCS = experiments.documents(experiments.WORLD.stories(32, seed=3))


def test_a_document_is_framed_and_loses_no_token():
    ids, real = experiments.framed(DOCS[:4])
    for row, mask, doc in zip(ids, real, DOCS[:4], strict=True):
        assert row[mask].tolist() == [experiments.CLS, *(i for sentence in doc for i in sentence), experiments.SEP]


def test_batches_are_masked_anew_when_the_same_documents_come_round():
    first, second = islice(experiments.batches(DOCS[:16]), 2)
    assert sorted(first.inputs.shape) == sorted(second.inputs.shape)
    assert not torch.equal(first.targets.sort(0).values, second.targets.sort(0).values)


def test_batches_with_a_pairing_have_two_segments_and_labels():
    batch = next(experiments.batches(DOCS, next_sentence_pairs))
    assert set(batch.token_type_ids.unique().tolist()) == {0, 1}
    assert len(batch.labels) == 16


def test_repeated_masks_ask_for_the_same_words_in_each_epoch():
    (mask,) = [mask_tokens(*experiments.framed(DOCS[:16]), **experiments.MASKING)]
    for batch in islice(experiments.repeated([mask]), 3):
        assert sorted(batch.targets.tolist()) == sorted(mask.targets.tolist())


def test_each_answer_of_pointer_chasing_is_the_pointer_at_the_answer_before():
    batch = experiments.pointer_chasing(50, torch.Generator().manual_seed(0))
    pointers = batch.inputs[:, :POINTERS]
    at = torch.arange(POINTERS).expand(50, -1)
    for answers in batch.targets[:, POINTERS:].view(50, HOPS, POINTERS).unbind(1):
        at = pointers.gather(1, at)
        assert torch.equal(answers, at)


def test_pointer_chasing_asks_for_the_hidden_places_and_no_others():
    batch = experiments.pointer_chasing(5, torch.Generator().manual_seed(0))
    assert torch.equal(batch.inputs == POINTERS, batch.targets != IGNORED)


def test_two_models_of_one_seed_begin_alike_and_of_another_seed_do_not():
    config = BertConfig.roberta(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8, pad_id=0)
    one, same, other = (experiments.new_model(config, seed).transform.weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_baselines_are_right_where_the_documents_leave_no_choice():
    doc = [[5, 6, 7], [5, 6, 7]]
    ids, _ = experiments.framed([doc])
    targets = torch.full_like(ids, IGNORED)
    targets[0, 2] = 6
    batch = mask_tokens(ids, None, **experiments.MASKING)._replace(inputs=ids, targets=targets)
    assert experiments.counted([doc], batch) == {"neighbours": 1.0, "frequent": 0.0}


def test_the_lead_of_a_model_is_paired_by_seed():
    lead = experiments.lead([{"x": 1.0}, {"x": 0.8}], [{"x": 0.9}, {"x": 0.7}], "x")
    assert lead.mean == pytest.approx(0.1)
    assert lead.low == pytest.approx(lead.high)
