"""The experiments of the chapter on retrieval: encoders of stories, searches, prompts and the judging of answers."""

import random

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from companion.data.primer_questions import paragraphs, questions
from companion.lessons.denoising.experiments import short_stories
from companion.lessons.retrieval import experiments
from companion.models.bert import Bert, BertConfig
from companion.storyworld.views import summary, told

WORDS = {word: i for i, word in enumerate(["?", "the", "queen", "hat", "."])}


def small_reader() -> tuple[Bert, Tokenizer]:
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return Bert(BertConfig(len(WORDS), context_length=8, n_layers=1, n_heads=2, d_model=8)).eval(), tokenizer


def test_a_short_training_lowers_the_loss():
    batches = experiments.drawn_batches(
        lambda draw: experiments.pairs_of(draw.sample(short_stories().training, 8), summary), random.Random(0)
    )
    history = experiments.train(experiments.new_encoder(), batches, 8)
    assert history.loss[-1] < history.loss[0]


def test_a_search_by_vectors_finds_each_story_by_itself():
    texts = [told(story) for story in short_stories().held_out[:10]]
    score = experiments.by_vectors(experiments.new_encoder().eval())
    assert score(texts, texts).argmax(1).tolist() == list(range(10))


def test_the_vectors_of_a_text_do_not_depend_on_the_texts_beside_it():
    reader, tokenizer = small_reader()
    texts = ["the queen .", "hat", "the hat the queen ."]
    together = experiments.token_vectors(reader, tokenizer, texts)
    for text, vectors in zip(texts, together, strict=True):
        torch.testing.assert_close(vectors, experiments.token_vectors(reader, tokenizer, [text])[0])


def test_a_count_returns_no_document_without_a_content_word_in_common():
    scores = experiments.by_words(["Where is the hat?", "Is it there?"], ["The hat fell.", "The queen slept."])
    assert scores.isneginf().tolist() == [[False, True], [True, True]]


def test_a_longer_reminder_adds_words_of_the_paragraph_to_a_shorter():
    one = questions()[3]
    text = paragraphs()[one.paragraph]
    reminders = [experiments.reminded(one, text, number, seed=1) for number in range(3)]
    assert reminders[0] == one.other_words
    first, second = (reminder.removesuffix(f": {one.other_words}").split() for reminder in reminders[1:])
    assert second[:1] == first
    assert all(word in text.lower() for word in second)


@pytest.mark.parametrize(
    ("answer", "right"), [("It was the butcher.", True), ("Butcher", True), ("Two butchers did.", False), ("", False)]
)
def test_an_answer_is_right_when_a_right_one_stands_in_it_as_a_word(answer: str, right: bool):
    assert experiments.is_right(answer, questions()[0]) is right


@pytest.mark.parametrize(
    ("answer", "declined"),
    [("Not in the text.", True), ("The text is not specified on that.", True), ("He is not a butcher.", False)],
)
def test_an_answer_declines_when_it_says_that_the_text_has_none(answer: str, declined: bool):
    assert experiments.declines(answer) is declined
