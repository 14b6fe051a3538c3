"""The quiz asks true questions, lets the model answer alone, and measures where its heads look."""

import pytest
import torch
from torch import Tensor, nn

from companion.models.gpt import GPT, GPTConfig
from companion.nn.attention import MultiHeadAttention
from companion.storyworld import QUESTIONS, World, quiz
from companion.storyworld.language import LANGUAGES, say, tagged


class Oracle(nn.Module):
    """A model that knows the process: its logits are the exact log-probabilities."""

    def __init__(self, world: World):
        super().__init__()
        self.world = world
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, ids: Tensor) -> Tensor:
        words = self.world.vocabulary
        logits = torch.full((*ids.shape, len(words)), -1e9)
        for row, scores in zip(ids.tolist(), logits, strict=True):
            reader = self.world.reader()
            for place, i in enumerate(row):
                if place:
                    try:
                        reader.read(words[i])
                    except ValueError:
                        break  # what fills the row up
                for token, p in reader.next_probabilities().items():
                    scores[place, words.index(token)] = torch.tensor(p).log()
        return logits


@pytest.fixture(scope="module")
def stories():
    return World().stories(12, seed=1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_knows_the_process_answers_everything(language):
    world = World(language=language)
    assert quiz.accuracy(Oracle(world).eval(), world.stories(12, seed=1)) == dict.fromkeys(QUESTIONS, 1.0)


def test_the_second_word_builds_on_the_models_own_first(stories):
    class Wrong(Oracle):
        """Says Anna where somebody is to be named, whoever it should be, and goes on as if that were right."""

        def forward(self, ids):
            logits = super().forward(ids)
            names = [self.world.vocabulary.index(name) for name in self.world.process.people]
            anna = self.world.vocabulary.index("Anna")
            named = logits.argmax(-1)
            for name in names:
                logits[..., anna] = torch.where(named == name, torch.tensor(10.0), logits[..., anna])
            return logits

    questions = quiz.ask(stories, "find")
    for given in quiz.predictions(Wrong(World()).eval(), questions):
        assert given[0] == "Anna"


def test_each_question_is_true_and_its_story_comes_first(stories):
    for kind in QUESTIONS:
        for question in quiz.ask(stories, kind):
            world = question.story.world
            told = [t for e in question.story.statements for t in say(e, world.language)]
            assert list(question.prompt[: len(told)]) == told
            assert world.read((*question.prompt, *question.answer))[-1] == question.event


def test_an_unknown_kind_and_an_empty_quiz_are_refused(stories):
    with pytest.raises(ValueError, match="kind must be one of where, .*; got 'why'"):
        quiz.ask(stories, "why")
    with pytest.raises(ValueError, match="no question to answer"):
        quiz.predictions(Oracle(World()), [])
    with pytest.raises(ValueError, match="place, person or sentence; got 'verb'"):
        quiz.attention_from_answer(Oracle(World()), [], "verb")


@pytest.fixture
def model():
    torch.manual_seed(0)
    world = World()
    return GPT(GPTConfig(len(world.vocabulary), world.longest, n_layers=2, n_heads=2, d_model=16)).eval()


def test_an_even_reader_gives_each_target_its_share(model, stories):
    for layer in model.modules():
        if isinstance(layer, MultiHeadAttention):
            nn.init.zeros_(layer.query.weight)
    questions = quiz.ask(stories, "where")
    even = sum(1 / (len(q.prompt) + 1) for q in questions) / len(questions)
    scores = quiz.attention_from_answer(model, questions, "place")
    assert scores.shape == (2, 2)
    assert torch.allclose(scores, torch.full((2, 2), even), atol=1e-6)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_targets_are_what_the_question_is_about(language):
    for story in World(language=language).stories(12, seed=1):
        for question in quiz.ask([story], "who"):
            tokens = ("<|endoftext|>", *question.prompt)
            sentence = [tokens[i] for i in quiz.targets(question, "sentence")]
            last = [e for e in story.statements if e.object == question.event.object][-1]
            assert sentence == list(say(last, language))
        for question in quiz.ask([story], "see"):
            (found,) = quiz.targets(question, "person")
            assert ("<|endoftext|>", *question.prompt)[found] == say(question.event, language)[
                0 if language == "zh" else 1
            ]
            assert found > len(question.prompt) - 4
        for question in quiz.ask([story], "where"):
            (found,) = quiz.targets(question, "place")
            assert ("<|endoftext|>", *question.prompt)[found] == question.answer[0]


def test_a_place_counts_where_it_was_said_last(stories):
    for question in quiz.ask(stories, "where"):
        (found,) = quiz.targets(question, "place")
        moves = [e for e in question.story.statements if e.place and e.subject == question.event.subject]
        position = 1
        for event in question.story.statements:
            for offset, (_, field) in enumerate(tagged(event, "en")):
                if event is moves[-1] and field == "place":
                    assert position + offset == found
            position += len(say(event, "en"))


def test_pronouns_and_neighbours_are_scored_for_each_head(model):
    stories = World().stories(30, seed=2)
    assert quiz.pronoun_attention(model, stories).shape == (2, 2)
    assert quiz.previous_token_attention(model, stories).shape == (2, 2)
    without = [s for s in stories if not any(e.pronoun for e in s.statements)]
    with pytest.raises(ValueError, match="has a pronoun"):
        quiz.pronoun_attention(model, without)
