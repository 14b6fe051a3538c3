"""BLEU is sacrebleu's; ROUGE and exact match are what their definitions say, on cases small enough to count by hand."""

import itertools
import math

import pytest
import sacrebleu
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT

from companion.metrics.text import bleu, exact_match, longest_common_subsequence, ngrams, rouge_l, rouge_n

TEXT = st.lists(st.sampled_from("abcd"), max_size=12)
CORPUS = st.lists(st.tuples(TEXT, TEXT.filter(bool)), min_size=1, max_size=6)


def words(text):
    return text.split()


def of_sacrebleu(candidates, references):
    joined = [" ".join(text) for text in candidates], [[" ".join(text) for text in references]]
    return sacrebleu.corpus_bleu(*joined, tokenize="none", smooth_method="none", force=True)


@PATIENT
@given(CORPUS)
def test_bleu_is_that_of_sacrebleu(corpus):
    candidates, references = map(list, zip(*corpus, strict=True))
    ours, theirs = bleu(candidates, references), of_sacrebleu(candidates, references)
    assert ours.score == pytest.approx(theirs.score, abs=1e-9)
    if all(theirs.precisions):
        assert ours.precisions == pytest.approx([p / 100 for p in theirs.precisions])
        assert ours.brevity_penalty == pytest.approx(theirs.bp)


def test_bleu_of_longer_sentences_is_that_of_sacrebleu_with_its_usual_settings():
    candidates = [words("the cat sat on the mat today"), words("Tom takes the key and goes to the park .")]
    references = [words("the cat sat on a mat today"), words("Tom takes the key . Then he goes to the park .")]
    joined = [" ".join(text) for text in candidates], [[" ".join(text) for text in references]]
    theirs = sacrebleu.corpus_bleu(*joined, tokenize="none").score
    assert 0 < bleu(candidates, references).score == pytest.approx(theirs)


def test_bleu_by_hand():
    found = bleu([words("the the the the the the the")], [words("the cat is on the mat")], order=1)
    assert found.precisions == (2 / 7,)  # the example of Papineni et al. 2002: clipped to the two of the reference
    found = bleu([words("a b c")], [words("a b c d")], order=2)
    assert found.precisions == (1, 1)
    assert found.score == pytest.approx(100 * math.exp(1 - 4 / 3))
    assert str(found) == "BLEU 71.7"


def test_the_texts_themselves_score_100():
    texts = [words("a b c d e"), words("b c d e f g")]
    assert bleu(texts, texts).score == 100
    assert exact_match(texts, texts) == 1


def test_bleu_of_a_corpus_is_not_the_mean_of_its_sentences():
    candidates, references = [words("a b"), words("a b c d")], [words("a x"), words("a b c d")]
    single = [bleu([c], [r], order=1).score for c, r in zip(candidates, references, strict=True)]
    assert bleu(candidates, references, order=1).score == pytest.approx(100 * 5 / 6)
    assert sum(single) / 2 == pytest.approx(75)


@pytest.mark.parametrize("candidates", [[[]], [["x"]], [["a", "b", "c"]]], ids=["empty", "other word", "too short"])
def test_without_a_common_four_gram_bleu_is_zero(candidates):
    assert bleu(candidates, [["a", "b", "c"]]).score == 0


def test_tokens_may_be_numbers():
    assert bleu([[1, 2, 3, 4]], [[1, 2, 3, 4]]).score == 100


@pytest.mark.parametrize("function", [bleu, exact_match])
@pytest.mark.parametrize(("candidates", "references"), [([], []), ([["a"]], []), ([["a"]], [["a"], ["b"]])], ids=str)
def test_other_numbers_of_texts_are_refused(function, candidates, references):
    message = f"as many candidates as references, at least one; got {len(candidates)} and {len(references)}"
    with pytest.raises(ValueError, match=message):
        function(candidates, references)


def test_an_order_below_one_is_refused():
    with pytest.raises(ValueError, match="order must be 1 to 100; got 0"):
        bleu([["a"]], [["a"]], order=0)
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        rouge_n(["a"], ["a"], n=0)


def test_exact_match_counts_whole_texts():
    assert exact_match([["a", "b"], ("c",), ["d"]], [("a", "b"), ("c",), ["d", "e"]]) == pytest.approx(2 / 3)


def test_rouge_by_hand():
    reference = words("police killed the gunman")  # the example of Lin 2004, section 3.1
    same_order, other_order = words("police kill the gunman"), words("the gunman kill police")
    assert rouge_l(same_order, reference) == pytest.approx(3 / 4)
    assert rouge_l(other_order, reference) == pytest.approx(2 / 4)
    assert rouge_n(same_order, reference, 2) == rouge_n(other_order, reference, 2) == pytest.approx(1 / 3)
    assert rouge_n(words("a a a"), words("a b")) == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))


@PATIENT
@given(TEXT, TEXT)
def test_rouge_is_symmetric_between_0_and_1_and_1_for_the_same_text(a, b):
    for rouge in (rouge_n, rouge_l):
        assert 0 <= rouge(a, b) == rouge(b, a) <= 1
        assert rouge(a, a) == (1 if a else 0)


@PATIENT
@given(TEXT.filter(lambda text: len(text) < 8), TEXT)
def test_the_longest_common_subsequence_is_the_longest_of_all_subsequences(a, b):
    def inside(part):
        rest = iter(b)
        return all(token in rest for token in part)

    all_parts = itertools.chain.from_iterable(itertools.combinations(a, n) for n in range(len(a) + 1))
    assert longest_common_subsequence(a, b) == max(len(part) for part in all_parts if inside(part))


@PATIENT
@given(TEXT, st.integers(1, 5))
def test_a_text_of_n_tokens_has_n_minus_k_plus_one_k_grams(text, k):
    assert ngrams(text, k).total() == max(0, len(text) - k + 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: bleu(["the cat"], ["the dog"]),
        lambda: bleu("the cat", "the dog"),
        lambda: exact_match(["a"], [["a"]]),
        lambda: rouge_n("god", "dog"),
        lambda: rouge_l("the cat", ["the", "dog"]),
    ],
)
def test_a_string_is_no_list_of_tokens(call):
    with pytest.raises(ValueError, match="a text must be a list of tokens, not a string: split '"):
        call()


@pytest.mark.parametrize(
    "score",
    [
        lambda text: bleu([text], [text]),
        lambda text: exact_match([text], [text]),
        lambda text: rouge_n(text, text),
        lambda text: rouge_l(text, text),
    ],
)
def test_a_tensor_of_ids_is_refused_by_all_alike(score):
    with pytest.raises(ValueError, match=r"not a tensor \(5,\): call tolist\(\) first"):
        score(torch.tensor([3, 1, 4, 1, 5]))
