"""Words and their numbers."""

import pytest
import torch

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
