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


@pytest.mark.parametrize("wrong", [-100, -1, 3])
def test_an_id_out_of_range_is_named_and_none_counts_from_the_end(wrong):
    for ids in ([wrong], torch.tensor([wrong])):
        with pytest.raises(ValueError, match=f"an id must be 0 to 2; got {wrong}"):
            Vocabulary(["a", "b", "c"]).decode(ids)


def test_an_id_that_is_no_integer_is_named():
    vocabulary = Vocabulary(["a", "b", "c"])
    with pytest.raises(ValueError, match="an id must be an integer; got 2.7"):
        vocabulary.decode([2.7])
    assert vocabulary.decode(list(torch.tensor([2, 0]))) == ["c", "a"]
