"""Words and their numbers, and rows in one tensor."""

import pytest
import torch

from companion.data.batch import padded
from companion.data.vocabulary import Vocabulary
from companion.storyworld import World

SPECIALS = ("[CLS]", "[SEP]", "[MASK]")


def test_numbers_and_tokens_go_both_ways():
    vocabulary = Vocabulary(["a", "b", "c"])
    assert vocabulary.decode(vocabulary.encode("cab")) == ["c", "a", "b"]
    assert len(vocabulary) == 3


def test_a_tensor_is_decoded_too():
    assert Vocabulary("xyz").decode(torch.tensor([2, 0])) == ["z", "x"]


def test_a_token_that_comes_twice_is_named():
    with pytest.raises(ValueError, match="'b' comes twice"):
        Vocabulary(["a", "b", "c", "b"])


def test_an_unknown_token_is_named():
    with pytest.raises(ValueError, match="'d' is none of the 3 tokens"):
        Vocabulary("abc").encode("add")


def test_rows_are_filled_up_at_their_end():
    ids, mask = padded([[5, 6, 7], [8]], value=-100)
    assert ids.tolist() == [[5, 6, 7], [8, -100, -100]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize("rows", [[], [[1], []]])
def test_an_empty_row_is_refused(rows):
    with pytest.raises(ValueError, match="none of them empty"):
        padded(rows)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_story_worlds_tokenizer_numbers_special_tokens_alike_and_frames_as_bert_does(language):
    world = World(language=language)
    vocabulary = Vocabulary([*world.vocabulary, *SPECIALS])
    tokenizer = world.tokenizer(SPECIALS)
    assert tokenizer.get_vocab() == {token: i for i, token in enumerate(vocabulary.tokens)}
    story = world.stories(1)[0]
    text = story.text.replace(story.tokens[1], "[MASK]", 1)
    tokens = vocabulary.decode(tokenizer.encode(text).ids)
    assert [tokens[0], tokens[2], tokens[-1]] == ["[CLS]", "[MASK]", "[SEP]"]
    pair = tokenizer.encode(text, text)
    assert pair.type_ids.count(1) == len(tokens) - 1
