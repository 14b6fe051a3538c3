"""The questions about the primer are what their two wordings say, and one paragraph answers each."""

import re

from companion.data.paraphrases import content_words
from companion.data.primer_questions import open_questions, paragraphs, questions

COLLECTION, QUESTIONS = paragraphs(), questions()


def test_there_are_forty_questions_half_of_them_about_invented_stories():
    assert len(QUESTIONS) == 40
    assert sum(one.invented for one in QUESTIONS) == 20
    assert len({one.paragraph for one in QUESTIONS}) == 40


def test_the_evidence_stands_in_one_paragraph_alone():
    assert [[i for i, text in enumerate(COLLECTION) if one.evidence in text] for one in QUESTIONS] == [
        [one.paragraph] for one in QUESTIONS
    ]


def test_an_answer_stands_in_the_paragraph_and_in_no_question():
    for one in QUESTIONS:
        right = re.compile("|".join(rf"\b{re.escape(answer)}\b" for answer in one.answers))
        assert right.search(COLLECTION[one.paragraph].lower()), one
        assert not right.search(f"{one.same_words} {one.other_words}".lower()), one


def test_a_question_in_the_same_words_has_most_of_its_content_words_from_the_paragraph():
    for one in QUESTIONS:
        own = {word for word in content_words(one.same_words) if len(word) > 1 and word not in ("many", "long", "whom")}
        assert len(own & content_words(COLLECTION[one.paragraph])) >= 2 * len(own) / 3, one


def test_a_question_in_other_words_has_no_content_word_of_the_paragraph_nor_one_that_begins_alike():
    def alike(one: str, other: str) -> bool:
        return any(a[:4] == b[:4] for a in content_words(one) for b in content_words(other))

    assert [one for one in QUESTIONS if alike(COLLECTION[one.paragraph], one.other_words)] == []


def test_every_question_is_one_line_that_asks():
    asked = [text for one in QUESTIONS for text in (one.same_words, one.other_words)] + open_questions()
    assert [text for text in asked if not text.isascii() or not text.endswith("?") or text != text.strip()] == []
    assert len(set(asked)) == 100
