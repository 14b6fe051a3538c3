"""Stories, students, writers and a look at attention for the experiments of ``book/algorithms/distillation.ipynb``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn

from companion.data.labelled import tagged
from companion.finetuning.heads import TokenClassifier
from companion.finetuning.predictions import predict, predicted_tags
from companion.metrics.confidence import Interval, interval
from companion.metrics.entities import entity_report
from companion.models.bert import Bert
from companion.models.gpt import GPT
from companion.nn.capture import capture
from companion.nn.initialization import positional_initialization
from companion.storyworld import Story, World
from companion.storyworld.questionnaire import SPECIALS
from companion.storyworld.tasks import split
from companion.storyworld.views import ROLES, tags
from companion.zoo.recipes.storyworld_bert import HELD_OUT_SEED

WORLD = World("small", language="en")
TOKENIZER: Tokenizer = WORLD.tokenizer(SPECIALS)
NAMES = ["O", *sorted({f"B-{role}" for role in ROLES.values()})]
OFFSETS = (1, 2, 3, 4)  # of the first heads, where the pre-training of the teacher's body began
MEASURES = ("excess", "slips", "entropy")


class Stories:
    """What happened in some stories, word by word, and the role of each word.

    Attributes:
        words: of each story.
        tags: names of the roles, one per word.
        encodings: what the tokenizer made of the words.
        rows: the same for a model.
    """

    def __init__(self, stories: Sequence[Story]) -> None:
        """Read the stories."""
        pairs = [tags(story, "role") for story in stories]
        self.words = [[word for word, _ in text] for text in pairs]
        self.tags = [[tag for _, tag in text] for text in pairs]
        self.encodings = [TOKENIZER.encode(text, is_pretokenized=True) for text in self.words]
        self.rows = tagged(self.encodings, self.tags, NAMES)

    def f1(self, model: TokenClassifier) -> float:
        """Micro F1 of the roles that a model finds."""
        said = predicted_tags(predict(model, self.rows), self.encodings, NAMES)
        return entity_report(said, self.tags).micro.f1


def told(many: int = 300, few: int = 30, test: int = 200) -> tuple[Stories, Stories, Stories]:
    """Stories for the teacher, the first few of them for its students, and others to judge both by."""
    parts = split(WORLD, train=many, validation=0, test=test, seed=0)
    return Stories(parts.train), Stories(parts.train[:few]), Stories(parts.test)


def student_of(teacher: TokenClassifier, *, layers: int = 2, positional: bool = True, seed: int = 1) -> TokenClassifier:
    """A tagger with fewer layers than its teacher and new weights.

    Args:
        teacher: whose other sizes it has.
        layers: of the student.
        positional: whether it begins as the teacher's body did before its pre-training, or with the usual weights.
        seed: of the new weights.
    """
    torch.manual_seed(seed)
    student = TokenClassifier(Bert(replace(teacher.config, n_layers=layers)), NAMES)
    student.bert.pooler = None
    if positional:
        positional_initialization(student.bert, OFFSETS)
    return student


@torch.no_grad()
def attention(model: nn.Module, text: Encoding) -> list[Tensor]:
    """Attention weights of every layer on one text."""
    with capture(model.cpu().eval()) as record:
        model(torch.tensor([text.ids]))
    return record.attention


def asked_of(stories: int = 1000) -> tuple[list[Story], dict[str, list[Story]]]:
    """Held-out stories, and those in which somebody holds a thing: with all things in one place, and in several."""
    every = WORLD.stories(stories, HELD_OUT_SEED)
    kinds: dict[str, list[Story]] = {"together": [], "apart": []}
    for story in every:
        places = {story.end.place[who] for who in story.end.holder.values()}
        if places:
            kinds["apart" if len(places) > 1 else "together"].append(story)
    return every, kinds


def small_writer(writer: GPT) -> GPT:
    """An untrained GPT of half of the layers and half of the width."""
    config = writer.config
    return GPT(replace(config, n_layers=config.n_layers // 2, d_model=config.d_model // 2, d_ff=None))


def words_of(targets: Tensor) -> list[str]:
    """The words of a row of token ids, without its padding."""
    return [WORLD.vocabulary[i] for i in targets.tolist() if i >= 0]


def is_possible(words: Sequence[str]) -> bool:
    """Whether the world could have told this story, answers included, to its end."""
    reader = WORLD.reader()
    try:
        for word in words:
            reader.read(word)
    except ValueError:  # no story goes on like this
        return False
    return bool(reader.state.ended)


class Writers:
    """The students that write, of ``benchmarks/distillation_sequences.py``, with the rate of their slips.

    Attributes:
        means: of each row, its measures, the mean of the seeds; the teacher is a row too.
    """

    def __init__(self, study: Mapping[str, Any]) -> None:
        """Count the slips per token, up to and with the first, and take the means."""
        self.runs = [{name: row | {"slips": _slips(row)} for name, row in run.items()} for run in study["runs"]]
        teacher = study["teacher"]
        self.means = {"teacher": teacher | {"slips": _slips(teacher)}}
        for name, first in self.runs[0].items():
            self.means[name] = {m: sum(run[name][m] for run in self.runs) / len(self.runs) for m in first}

    def between(self, one: str, other: str) -> dict[str, Interval]:
        """Difference of two rows, seed by seed: mean and interval of each measure."""
        return {m: interval([run[one][m] - run[other][m] for run in self.runs]) for m in MEASURES}


def _slips(row: Mapping[str, float]) -> float:
    slipped = 1 - row["without a slip"]
    return slipped / (row["tokens before a slip"] + slipped)
