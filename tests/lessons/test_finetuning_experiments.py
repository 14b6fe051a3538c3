"""The texts, baselines and bodies of the chapter on fine-tuning."""

import pytest
import torch

from companion.data.reviews import Review
from companion.data.tokenization import train_wordpiece
from companion.finetuning.heads import SequenceClassifier, TokenClassifier
from companion.lessons.finetuning import experiments as e
from companion.models.bert import Bert, BertConfig
from companion.models.gpt import GPT, GPTConfig

SMALL = {"n_layers": 1, "n_heads": 2, "d_model": 8}
VOCABULARY = e.TOKENIZER.get_vocab_size()


def tiny_bert() -> Bert:
    return Bert(BertConfig(VOCABULARY, context_length=64, **SMALL))


def test_a_lesson_of_pre_training_asks_for_as_many_words_as_it_hides_or_more():
    lesson, asked_for = e.lesson_of_pretraining()
    assert 0 < lesson.count("[MASK]") <= len(asked_for)


def test_a_body_with_the_same_initialization_looks_one_to_four_tokens_back():
    weights = e.weight_by_distance(e.random_body("same initialization"))
    assert [own.index(max(own)) for own in weights] == list(e.OFFSETS)


def test_a_random_body_is_the_same_for_the_same_seed():
    one, same, other = (e.random_body("from scratch", seed) for seed in (1, 1, 2))
    weights = [body.token_embedding.weight for body in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_no_story_is_learned_from_and_judged_by():
    parts = e.told()
    seen = {story.events for story in parts.train}
    assert not seen & {story.events for story in (*parts.validation, *parts.test)}


def test_counting_words_is_a_coin_on_who_gave():
    stories = e.told()
    known, new = e.who_gave(stories.train, 100), e.who_gave(stories.test, 100)
    assert e.counted(known, new) == pytest.approx(0.5, abs=0.1)


def test_counting_words_finds_the_topic_of_most_stories():
    stories = e.told()
    assert e.topic_by_counting(stories.train, stories.test) > 0.7


def test_each_word_of_a_sentence_has_a_role():
    few = e.role_sentences(5, "a test")
    assert [len(text) for text in few.words] == [len(tags) for tags in few.tags]
    assert {tag for tags in few.tags for tag in tags} <= set(e.ROLES)


def test_a_lexicon_is_right_where_it_has_seen_the_sentence_with_the_next_words():
    few = e.role_sentences(3, "a test")
    assert few.report(few.tags).micro.f1 == 1
    assert e.by_lexicon(few, few, next_too=True).micro.f1 >= e.by_lexicon(few, few, next_too=False).micro.f1


def test_a_tagger_is_judged_by_whole_entities():
    few = e.role_sentences(3, "a test")
    assert 0 <= few.judged(TokenClassifier(tiny_bert(), e.ROLES).eval()).micro.f1 <= 1


def test_who_gives_is_before_who_gets_and_both_are_named_in_the_sentence():
    pairs = e.hand_overs(e.told().test)
    assert [one.asked[1] for one in pairs[:2]] == ["gives", "gets"]
    giver, getter = pairs[0], pairs[1]
    assert {one.sentence[one.place] for one in (giver, getter)} <= set(e.WORLD.process.people)
    verb = "gives" if "gives" in giver.sentence else "gets"
    assert (giver.place < getter.place) == (verb == "gives")


def test_an_opening_is_as_long_as_the_summary_and_says_who_was_where():
    story = e.told().test[0]
    assert len(e.opening(story)) == len(e.summary(story))
    assert e.summary(story)[1:4] == ["is", "in", "the"]


def test_a_batch_of_summaries_asks_for_the_summary_alone():
    stories = e.told().test[:2]
    batch = next(e.summaries(stories, 2))
    assert sorted((batch.targets >= 0).sum(1).tolist()) == sorted(len(e.summary(story)) + 1 for story in stories)


def test_a_gpt_writes_a_text_for_each_story():
    writer = GPT(GPTConfig(len(e.WORLD.vocabulary), context_length=224, **SMALL)).eval()
    assert len(e.written(writer, e.told().test[:2], tokens=3)) == 2


def test_what_cls_looks_at_adds_up_to_one_in_each_layer():
    examples = e.who_gave(e.told().test, 4)
    texts = [e.TOKENIZER.encode(list(one.tokens), is_pretokenized=True) for one in examples]
    ids = torch.tensor([text.ids for text in texts[:1]])
    rows = (ids, torch.zeros_like(ids), torch.ones_like(ids).bool())
    batch = e.Labelled(*rows, torch.zeros(1, dtype=torch.long))
    model = SequenceClassifier(tiny_bert(), ("gives", "gets"), "cls")
    looks = e.cls_looks(model, texts[:1], batch)
    assert looks.shape == (1, len(e.KINDS))
    torch.testing.assert_close(looks.sum(1), torch.ones(1))
    assert len(e.attention(model, texts[0])) == 1


def test_as_many_reviews_are_drawn_as_are_asked_for(monkeypatch: pytest.MonkeyPatch):
    found = [Review(f"film {n}", (3, 2) if n % 2 else (-3, -2)) for n in range(200)]
    monkeypatch.setattr(e.reviews, "movie_reviews", lambda: found)
    drawn = e.review_rows(train_wordpiece(["film 0123456789"], 60), labels=20, held_out=10)
    assert len(drawn.train.labels) == 20
    assert len(drawn.test.labels) == len(drawn.texts) == 10
