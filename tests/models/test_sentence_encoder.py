"""One vector a text, and search by it."""

import pytest
import torch
from small_models import stir

from companion.losses.contrastive import similarity
from companion.models.bert import Bert, BertConfig
from companion.models.sentence_encoder import SentenceEncoder, masked_mean, retrieve

SIZES = {"vocab_size": 31, "context_length": 12, "n_layers": 2, "n_heads": 2, "d_model": 12}


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    encoder = SentenceEncoder(Bert(BertConfig(**SIZES))).eval()
    stir(encoder)
    return encoder


def texts(batch=4, length=9):
    ids = torch.randint(31, (batch, length), generator=torch.Generator().manual_seed(1))
    return ids, torch.arange(length) < torch.arange(length - batch + 1, length + 1)[:, None]


def test_the_vector_is_the_mean_of_the_real_tokens_brought_to_length_1(encoder):
    ids, real = texts()
    hidden = encoder.bert(ids, attention_mask=real)
    for vector, row, there in zip(encoder(ids, real), hidden, real, strict=True):
        mean = torch.stack([token for token, real_one in zip(row, there, strict=True) if real_one]).mean(0)
        torch.testing.assert_close(vector, mean / mean.norm())


def test_padding_has_no_influence(encoder):
    ids, real = texts()
    other = torch.where(real, ids, (ids + 7) % 31)
    torch.testing.assert_close(encoder(other, real), encoder(ids, real))
    for line, there, vector in zip(ids, real, encoder(ids, real), strict=True):
        torch.testing.assert_close(encoder(line[there][None])[0], vector)


def test_padding_gets_no_gradient(encoder):
    ids, real = texts()
    encoder.zero_grad()
    ids = torch.where(real, ids % 30, 30)  # token 30 stands on padding alone
    encoder(ids, real)[:, 0].sum().backward()
    assert encoder.bert.token_embedding.weight.grad[30].abs().max() == 0
    assert encoder.bert.token_embedding.weight.grad[ids[0, 0]].abs().max() > 0


def test_without_a_mask_all_tokens_are_real(encoder):
    ids, _ = texts()
    torch.testing.assert_close(encoder(ids), encoder(ids, torch.ones_like(ids, dtype=torch.bool)))


def test_the_mean_of_no_token_is_zero():
    assert masked_mean(torch.ones(1, 3, 2), torch.zeros(1, 3).bool()).tolist() == [[0, 0]]


def test_similarity_is_the_cosine():
    a, b = torch.randn(3, 5), torch.randn(4, 5)
    for i in range(3):
        for j in range(4):
            expected = a[i] @ b[j] / (a[i].norm() * b[j].norm())
            torch.testing.assert_close(similarity(a, b)[i, j], expected)


def test_retrieval_finds_the_nearest_first():
    documents = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    numbers, cosines = retrieve(torch.tensor([[1.0, 0.1]]), documents, 3)
    assert numbers.tolist() == [[0, 2, 1]]
    torch.testing.assert_close(cosines, similarity(torch.tensor([[1.0, 0.1]]), documents)[:, [0, 2, 1]])


def test_a_text_finds_itself(encoder):
    vectors = encoder(*texts())
    assert retrieve(vectors, vectors, 1)[0][:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("k", [0, 4])
def test_k_outside_the_documents_is_refused(k):
    with pytest.raises(ValueError, match=f"k must be 1 to 3, the number of documents; got {k}"):
        retrieve(torch.ones(1, 2), torch.ones(3, 2), k)


@pytest.mark.parametrize("which", ["query", "documents"])
def test_vectors_that_are_no_numbers_are_near_nothing(which):
    given = {"query": torch.ones(1, 3), "documents": torch.eye(3)}
    given[which][0, 1] = torch.nan
    with pytest.raises(FloatingPointError, match="cosines must be numbers; row 0 holds nan"):
        retrieve(**given, k=2)
