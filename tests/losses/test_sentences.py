"""Pairs of texts: which second part stands beside which first one, and what the model is asked."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT
from torch import nn

from companion.data.batch import IGNORED
from companion.losses.masked import masked_loss
from companion.losses.sentences import (
    Pairs,
    next_sentence_pairs,
    pretraining_batch,
    pretraining_loss,
    sentence_order_pairs,
)

CLS, SEP, MASK, VOCAB = 1, 2, 3, 5000


def numbered(documents, sentences=4, words=3):
    """Documents in which every token occurs once, so each tells where it is from."""
    tokens = iter(range(10, VOCAB))
    return [[[next(tokens) for _ in range(words)] for _ in range(sentences)] for _ in range(documents)]


def make(function, documents, seed=0):
    return function(documents, cls_id=CLS, sep_id=SEP, generator=torch.Generator().manual_seed(seed))


def parts(pairs):
    """The two parts of each row, read back from its tokens."""
    for line, real in zip(pairs.inputs, pairs.attention_mask, strict=True):
        tokens = line[real].tolist()
        assert tokens[0] == CLS
        assert tokens[-1] == SEP
        middle = tokens.index(SEP)
        yield tokens[1:middle], tokens[middle + 1 : -1]


def flat(document):
    return [token for sentence in document for token in sentence]


BOTH = pytest.mark.parametrize("function", [next_sentence_pairs, sentence_order_pairs])


@BOTH
def test_half_of_the_pairs_are_of_either_kind(function):
    labels = make(function, numbered(2, 2, 2) * 2000).labels
    assert abs(labels.float().mean().item() - 0.5) < 5 * 0.5 / math.sqrt(4000)


@given(st.lists(st.integers(2, 6), min_size=2, max_size=6), st.integers(0, 50))
@PATIENT
def test_what_follows_is_the_rest_of_the_document_and_what_does_not_is_of_another(sizes, seed):
    documents = [numbered(1, size)[0] for size in sizes]
    documents = [[[100 * i + token for token in s] for s in document] for i, document in enumerate(documents)]
    pairs = make(next_sentence_pairs, documents, seed)
    for i, (first, second) in enumerate(parts(pairs)):
        whole = flat(documents[i])
        assert first == whole[: len(first)]
        if pairs.labels[i] == 0:
            assert first + second == whole
        else:
            assert second[0] // 100 != first[0] // 100
            assert any(second == flat(other)[-len(second) :] for j, other in enumerate(documents) if j != i)


def test_every_other_document_may_give_the_second_part():
    documents = numbered(3, 2, 1)
    seen = set()
    for seed in range(60):
        pairs = make(next_sentence_pairs, documents, seed)
        seen |= {(a[0], b[0]) for a, b in parts(pairs)}
    assert seen == {(10 + 2 * i, 11 + 2 * j) for i in range(3) for j in range(3)}


def test_a_swapped_pair_has_the_same_two_parts_the_other_way_round():
    documents = numbered(60)
    pairs = make(sentence_order_pairs, documents)
    for document, label, (first, second) in zip(documents, pairs.labels, parts(pairs), strict=True):
        assert (second + first if label else first + second) == flat(document)
    assert set(pairs.labels.tolist()) == {0, 1}


@BOTH
def test_documents_are_cut_between_sentences_and_at_every_place(function):
    documents = numbered(1, 4, 3) * 200
    lengths = {len(a) for a, _ in parts(make(function, documents))}
    assert lengths == {3, 6, 9}


@BOTH
def test_segments_change_after_the_first_separator(function):
    pairs = make(function, [*numbered(5, 3, 2), *numbered(3, 6, 4)])
    for (first, second), types in zip(parts(pairs), pairs.token_type_ids.tolist(), strict=True):
        n, m = len(first) + 2, len(second) + 1
        assert types == [0] * n + [1] * m + [0] * (len(types) - n - m)


@BOTH
def test_the_seed_decides(function):
    documents = numbered(30)
    first, again, other = (make(function, documents, seed) for seed in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert not first.labels.equal(other.labels)


# Both objectives at once


def pretraining(documents, seed=0, **settings):
    pairs = make(next_sentence_pairs, documents, seed)
    generator = torch.Generator().manual_seed(seed)
    return pairs, pretraining_batch(
        pairs, mask_id=MASK, vocab_size=VOCAB, special_ids=(CLS, SEP), generator=generator, **settings
    )


def test_words_of_both_parts_are_hidden_and_the_frame_never():
    pairs, batch = pretraining(numbered(200), mask_probability=0.5)
    chosen = batch.targets != IGNORED
    assert chosen[pairs.token_type_ids == 0].any()
    assert chosen[pairs.token_type_ids == 1].any()
    assert not chosen[torch.isin(pairs.inputs, torch.tensor([CLS, SEP]))].any()
    assert not chosen[~pairs.attention_mask].any()


def test_labels_and_segments_stay():
    pairs, batch = pretraining(numbered(20))
    assert batch.labels.equal(pairs.labels)
    assert batch.token_type_ids.equal(pairs.token_type_ids)


class Answers(nn.Module):
    def __init__(self, words, pairs):
        super().__init__()
        self.words, self.pairs = words, pairs

    def forward(self, ids, token_type_ids, attention_mask):
        self.given = ids, token_type_ids, attention_mask
        return self.words, self.pairs


def test_the_loss_is_the_sum_of_the_two_means():
    pairs, batch = pretraining(numbered(3))
    words, labels = torch.randn(*batch.inputs.shape, VOCAB), torch.randn(3, 2)
    model = Answers(words, labels)
    chosen = batch.targets != IGNORED
    hidden = -words.log_softmax(-1)[chosen].gather(1, batch.targets[chosen][:, None]).mean()
    follows = -labels.log_softmax(-1).gather(1, batch.labels[:, None]).mean()
    torch.testing.assert_close(pretraining_loss(model, batch), hidden + follows)
    assert model.given[1].equal(pairs.token_type_ids)
    assert model.given[2].equal(pairs.attention_mask)


def test_a_model_without_a_head_for_pairs_is_refused():
    _, batch = pretraining(numbered(2))
    with pytest.raises(ValueError, match="Answers has no head for pairs of sentences"):
        pretraining_loss(Answers(torch.zeros(*batch.inputs.shape, VOCAB), None), batch)


# Refusals


@BOTH
@pytest.mark.parametrize("document", [[], [[1, 2]], [[1], []]])
def test_a_document_that_cannot_be_cut_is_refused_by_its_number(function, document):
    with pytest.raises(ValueError, match="at least 2 sentences, none of them empty; number 1 has not"):
        make(function, [[[1], [2]], document])


def test_a_lone_document_has_no_other():
    with pytest.raises(ValueError, match="at least 2 of them; got 1"):
        make(next_sentence_pairs, numbered(1))


def test_no_document_is_refused():
    with pytest.raises(ValueError, match="at least one document"):
        make(sentence_order_pairs, [])


def test_pairs_are_a_named_tuple_of_tensors():
    assert all(isinstance(tensor, torch.Tensor) for tensor in make(sentence_order_pairs, numbered(2)))
    assert Pairs._fields == ("inputs", "token_type_ids", "attention_mask", "labels")


def test_a_real_model_is_taught_by_both_objectives():
    from companion.models.bert import BertConfig, BertForPreTraining

    torch.manual_seed(0)
    model = BertForPreTraining(BertConfig(VOCAB, 32, n_layers=1, n_heads=2, d_model=8))
    _, batch = pretraining(numbered(4))
    pretraining_loss(model, batch).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    hidden = masked_loss(model, batch)
    assert hidden < pretraining_loss(model, batch)
