"""Masked tokens: which are chosen, what becomes of them, and what the model is asked."""

import pytest
import torch
from torch import nn

from companion.data.batch import IGNORED
from companion.losses.masked import Masked, mask_tokens, masked_loss

CLS, SEP, MASK, VOCAB = 40, 41, 42, 43
SPECIAL = (0, CLS, SEP)


def texts(batch=400, length=40, seed=0):
    """Framed texts of different lengths: [CLS] words [SEP], then padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 40, (batch, length), generator=generator)
    lengths = torch.randint(3, length + 1, (batch,), generator=generator)
    place = torch.arange(length)
    ids[:, 0] = CLS
    ids = ids.masked_fill(place == lengths[:, None] - 1, SEP)
    real = place < lengths[:, None]
    return ids.masked_fill(~real, 0), real


def masked(ids, real, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    return mask_tokens(ids, real, mask_id=MASK, vocab_size=VOCAB, special_ids=SPECIAL, generator=generator, **settings)


def near(fraction, expected, n, deviations=5):
    """Whether a fraction of n draws is within so many standard deviations of what is expected."""
    return abs(fraction - expected) < deviations * (expected * (1 - expected) / n) ** 0.5


@pytest.mark.parametrize("probability", [0.15, 0.4])
def test_the_chosen_fraction_is_the_one_that_was_asked_for(probability):
    ids = torch.randint(1, 40, (2000, 30), generator=torch.Generator().manual_seed(1))
    chosen = masked(ids, None, mask_probability=probability).targets != IGNORED
    assert near(chosen.float().mean().item(), probability, chosen.numel())
    assert set(chosen.sum(1).tolist()) <= {int(probability * 30), int(probability * 30) + 1}


def test_of_the_chosen_80_percent_are_hidden_10_replaced_10_kept():
    ids = torch.randint(1, 40, (4000, 40), generator=torch.Generator().manual_seed(2))
    batch = masked(ids, None)
    chosen = batch.targets != IGNORED
    n = int(chosen.sum())
    hidden = (batch.inputs == MASK)[chosen].float().mean().item()
    kept = (batch.inputs == ids)[chosen].float().mean().item()
    assert near(hidden, 0.8, n)
    assert near(kept, 0.1 + 0.1 / 39, n)  # a random word is now and then the same
    assert near(1 - hidden - kept, 0.1 - 0.1 / 39, n)


def test_random_tokens_are_all_ordinary_ones():
    ids, real = texts(3000)
    batch = masked(ids, real)
    drawn = batch.inputs[(batch.inputs != ids) & (batch.inputs != MASK)]
    assert set(drawn.tolist()) == set(range(1, 40))


def test_special_tokens_and_padding_are_never_chosen():
    ids, real = texts()
    batch = masked(ids, real, mask_probability=0.9)
    forbidden = ~real | torch.isin(ids, torch.tensor([*SPECIAL, MASK]))
    assert (batch.targets[forbidden] == IGNORED).all()
    assert (batch.inputs[forbidden] == ids[forbidden]).all()


def test_every_text_has_a_target():
    ids, real = texts(1000, 5)  # one to three words: 15 % of them is less than one
    assert (masked(ids, real).targets != IGNORED).any(1).all()


def test_targets_are_what_stood_there_and_the_rest_is_untouched():
    ids, real = texts()
    batch = masked(ids, real)
    chosen = batch.targets != IGNORED
    assert (batch.targets[chosen] == ids[chosen]).all()
    assert (batch.inputs[~chosen] == ids[~chosen]).all()


def test_every_place_is_chosen_as_often_as_any_other():
    ids = torch.randint(1, 40, (4000, 20), generator=torch.Generator().manual_seed(3))
    often = (masked(ids, None).targets != IGNORED).float().mean(0)
    assert all(near(fraction, 0.15, 4000) for fraction in often.tolist())


def test_every_query_sees_every_real_token():
    ids, real = texts(6, 9)
    assert masked(ids, real).visible.equal(real[:, None, :].expand(6, 9, 9))


def test_the_seed_decides():
    ids, real = texts(20)
    first, again, other = (masked(ids, real, seed) for seed in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert not first.targets.equal(other.targets)


# Whole words


def words(seed=0, batch=3000, length=30):
    generator = torch.Generator().manual_seed(seed)
    ids, real = texts(batch, length, seed)
    return ids, real, torch.rand(ids.shape, generator=generator) < 0.5


def word_numbers(ids, starts):
    """Each token's word, by a loop: a word ends where another begins, and at a special token."""
    numbers, last = [], None
    for line, begins in zip(ids.tolist(), starts.tolist(), strict=True):
        row, word = [], 0
        for token, begin in zip(line, begins, strict=True):
            word += begin or token in SPECIAL or last in SPECIAL
            row.append(word)
            last = token
        numbers.append(row)
    return torch.tensor(numbers)


def test_words_are_chosen_whole_or_not_at_all():
    ids, real, starts = words(batch=300)
    chosen = masked(ids, real, starts=starts).targets != IGNORED
    ordinary = real & ~torch.isin(ids, torch.tensor(SPECIAL))
    number = word_numbers(ids, starts)
    for row in range(len(ids)):
        for word in number[row][ordinary[row]].unique():
            assert len(chosen[row][ordinary[row] & (number[row] == word)].unique()) == 1


def test_words_are_chosen_in_the_fraction_that_was_asked_for():
    ids = torch.randint(1, 40, (3000, 40), generator=torch.Generator().manual_seed(4))
    starts = torch.rand(ids.shape, generator=torch.Generator().manual_seed(5)) < 0.5
    starts[:, 0] = True
    chosen = masked(ids, None, starts=starts).targets != IGNORED
    heads = chosen[starts]
    assert near(heads.float().mean().item(), 0.15, len(heads))
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.005)


def test_the_first_token_needs_no_mark_to_begin_a_word():
    ids = torch.tensor([[5, 6, 7, 8]] * 50)
    starts = torch.tensor([[False, False, True, False]] * 50)
    chosen = masked(ids, None, starts=starts).targets != IGNORED
    assert {tuple(row) for row in chosen.tolist()} == {(True, True, False, False), (False, False, True, True)}


# The loss


class Answers(nn.Module):
    """A model that gives fixed logits and remembers what it was given."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, ids, token_type_ids=None, attention_mask=None):
        self.given = ids, token_type_ids, attention_mask
        return self.logits, None


def test_the_loss_is_the_mean_over_the_chosen_places_alone():
    logits = torch.randn(2, 3, 5)
    targets = torch.tensor([[IGNORED, 3, IGNORED], [1, IGNORED, 4]])
    batch = Masked(torch.zeros(2, 3).long(), targets, torch.ones(2, 3, 3).bool())
    surprise = -logits.log_softmax(-1)
    expected = (surprise[0, 1, 3] + surprise[1, 0, 1] + surprise[1, 2, 4]) / 3
    torch.testing.assert_close(masked_loss(Answers(logits), batch), expected)


def test_the_model_reads_what_is_hidden_and_is_told_where_padding_stands():
    ids, real = texts(4, 9)
    batch = masked(ids, real)
    model = Answers(torch.zeros(4, 9, VOCAB))
    masked_loss(model, batch)
    read, types, mask = model.given
    assert read.equal(batch.inputs)
    assert types is None
    assert mask.equal(real)


def test_the_statistics_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = {f"w{i}": i for i in range(40)} | {"[CLS]": CLS, "[SEP]": SEP, "[MASK]": MASK}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="w0")), mask_token="[MASK]", pad_token="w0"
    )
    collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, seed=0)
    ids = torch.randint(1, 40, (2000, 30), generator=torch.Generator().manual_seed(6))
    theirs = collator([{"input_ids": row} for row in ids])
    ours = masked(ids, None)
    n = int((ours.targets != IGNORED).sum())
    for count in (lambda inputs, asked: asked, lambda inputs, asked: asked & (inputs == MASK)):
        a = count(ours.inputs, ours.targets != IGNORED).sum() / n
        b = count(theirs["input_ids"], theirs["labels"] != IGNORED).sum() / n
        assert abs(a - b) < 0.05


# Refusals


@pytest.mark.parametrize("probability", [0, 1, -0.1, 1.5])
def test_a_probability_outside_0_and_1_is_refused(probability):
    with pytest.raises(ValueError, match=rf"mask_probability must be in \(0, 1\); got {probability}"):
        masked(*texts(3), mask_probability=probability)


def test_a_text_of_special_tokens_alone_is_refused_by_its_row():
    ids = torch.tensor([[CLS, 5, SEP], [CLS, SEP, 0]])
    with pytest.raises(ValueError, match="row 1 has only special tokens and padding"):
        masked(ids, ids != 0)


def test_a_vocabulary_of_special_tokens_is_refused():
    with pytest.raises(ValueError, match="all 3 tokens of the vocabulary are special"):
        mask_tokens(torch.tensor([[7, 8]]), None, mask_id=0, vocab_size=3, special_ids=(1, 2))


@pytest.mark.parametrize(
    ("ids", "mask", "error", "message"),
    [
        (torch.zeros(3).long(), None, ValueError, r"ids must be \(batch, length\)"),
        (torch.zeros(0, 3).long(), None, ValueError, r"ids must be \(batch, length\), neither of them 0"),
        (torch.zeros(2, 3), None, TypeError, "ids must be whole numbers; got torch.float32"),
        (torch.ones(2, 3).long(), torch.ones(2, 2).bool(), ValueError, "attention_mask must be"),
        (torch.ones(2, 3).long(), torch.ones(2, 3), TypeError, "attention_mask must be boolean"),
        (torch.ones(2, 3).long(), torch.tensor([[True] * 3, [False] * 3]), ValueError, "row 1 has none"),
    ],
)
def test_bad_texts_are_refused(ids, mask, error, message):
    with pytest.raises(error, match=message):
        masked(ids, mask)


@pytest.mark.parametrize(("starts", "error"), [(torch.ones(2, 3), TypeError), (torch.ones(2, 2).bool(), ValueError)])
def test_bad_starts_are_refused(starts, error):
    with pytest.raises(error, match="starts must be"):
        masked(torch.ones(2, 3).long(), None, starts=starts)
