"""The parallel text is whole and clean, and its two sides belong together."""

import re
import subprocess
import sys

from companion.data import parallel, prose

PAIRS = parallel.pairs()
HAN = re.compile("[\u4e00-\u9fff]")
ENDS = re.compile("(?<!Mr)(?<!Mrs)[.!?。！？]")


def broken(rule):
    """The pairs that break a rule."""
    return [(english, chinese) for english, chinese in PAIRS if not rule(english, chinese)]


def test_there_are_more_than_a_hundred_pairs_and_no_two_are_alike():
    assert len(PAIRS) > 100
    assert len({english for english, _ in PAIRS}) == len({chinese for _, chinese in PAIRS}) == len(PAIRS)


def test_each_english_passage_stands_in_one_document_of_the_primer():
    documents = prose.documents(["primer"])
    assert broken(lambda english, _: sum(english in text for text in documents) == 1) == []


def test_the_english_side_is_plain_english():
    assert broken(lambda english, _: english.isascii() and english == english.strip()) == []


def test_the_chinese_side_is_chinese():
    assert broken(lambda _, chinese: len(HAN.findall(chinese)) > 0.65 * len(chinese)) == []
    assert broken(lambda _, chinese: chinese == chinese.strip()) == []


def test_the_chinese_side_has_chinese_marks_and_no_latin_letters():
    assert broken(lambda _, chinese: not re.search(r"[A-Za-z,.?!;:\"']", chinese)) == []


def test_each_side_has_a_few_sentences():
    assert broken(lambda *sides: all(2 <= len(ENDS.findall(side)) <= 6 for side in sides)) == []


def test_each_side_ends_where_a_sentence_ends():
    assert (
        broken(lambda english, chinese: english.rstrip('"')[-1] in ".!?" and chinese.rstrip("”")[-1] in "。！？") == []
    )


def test_both_sides_are_of_a_like_length():
    assert broken(lambda english, chinese: 0.2 < len(chinese) / len(english) < 0.45) == []


def test_quotation_marks_come_in_pairs():
    assert broken(lambda english, chinese: english.count('"') % 2 == 0) == []
    assert broken(lambda english, chinese: chinese.count("“") == chinese.count("”")) == []


def test_what_is_spoken_in_english_is_spoken_in_chinese():
    assert broken(lambda english, chinese: '"' not in english or "“" in chinese) == []


def test_numbers_in_digits_are_the_same_in_both_languages():
    assert broken(lambda *sides: len({tuple(sorted(set(re.findall(r"\d+", side)))) for side in sides}) == 1) == []


def test_the_order_is_fixed():
    assert parallel.pairs() == PAIRS


def test_it_is_read_as_utf8_whatever_the_locale(root):
    code = "from companion.data import parallel; print(len(parallel.pairs()))"
    # -S: such a Python cannot even read the files of an environment whose own path is not ASCII
    command = [sys.executable, "-S", "-X", "utf8=0", "-c", code]
    environment = {"LC_ALL": "C", "PYTHONPATH": str(root)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == str(len(PAIRS)), run.stderr
