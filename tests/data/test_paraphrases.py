"""The sentences with two queries each are what their two groups say."""

from companion.data.paraphrases import content_words, paraphrases

ROWS = paraphrases()


def test_there_are_sixty_sentences_with_two_queries_each_and_no_text_twice():
    assert len(ROWS) == 60
    assert len({text for row in ROWS for text in row}) == 180


def test_a_query_in_the_same_words_has_every_content_word_of_its_sentence():
    assert [row for row in ROWS if not content_words(row.sentence) <= content_words(row.same_words)] == []


def test_a_query_in_other_words_has_no_content_word_of_its_sentence_nor_one_that_begins_alike():
    def alike(one, other):
        return any(a[:4] == b[:4] for a in content_words(one) for b in content_words(other))

    assert [row for row in ROWS if alike(row.sentence, row.other_words)] == []


def test_every_text_is_one_line_of_plain_english():
    assert [
        text for row in ROWS for text in row if not text.isascii() or text != text.strip() or text[-1] not in ".?"
    ] == []
