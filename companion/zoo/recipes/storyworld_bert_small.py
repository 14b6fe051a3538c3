"""Recipe of the story world's small BERT: a student of half the layers, distilled from the large one.

Chapter: ``book/algorithms/distillation.ipynb``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from companion import zoo
from companion.distillation.distiller import Distiller
from companion.distillation.losses import distilbert_loss
from companion.distillation.student import initialise_from
from companion.models.bert import BertForPreTraining
from companion.storyworld import World
from companion.storyworld.questionnaire import questionnaire_batches
from companion.training.run_state import History
from companion.zoo.recipes.common import begin, facts, finish, train_on_stories
from companion.zoo.recipes.storyworld_bert import HELD_OUT, HELD_OUT_SEED, accuracy_by_kind, mean_wrong


@dataclass(frozen=True)
class StudentRecipe:
    """Everything that determines the student's weights, beside the teacher's and the versions of Python and torch.

    Attributes:
        teacher: name of a model of the zoo.
        start: layers of the teacher that the student's own are initialized with, one for each.
        steps: number of training steps.
        batch_size: stories per step, each of them read once.
        elsewhere: fraction of stories with another story's questions, for next-sentence prediction.
        learning_rate: at its peak, of Muon and AdamW, without weight decay.
        seed: of the stories.
    """

    teacher: str
    start: tuple[int, ...]
    steps: int
    batch_size: int
    elsewhere: float
    learning_rate: float
    seed: int


RECIPES = {
    "storyworld-bert-small": StudentRecipe(
        teacher="storyworld-bert",
        start=(1, 3),
        steps=6000,
        batch_size=16,
        elsewhere=0.125,
        learning_rate=3e-3,
        seed=2027,
    ),
}


def train(name: str, target: Path, threads: int = 1) -> History:
    """Make the student: distil it from its teacher, and write its folder with a model card.

    Interrupted and called again, it resumes from the checkpoint in the folder and ends with the same weights.

    Args:
        name: one of ``RECIPES``.
        target: folder of the student, made when missing.
        threads: number of torch's threads; another number changes the last bits of the weights.

    Raises:
        ValueError: on an unknown name.
    """
    recipe = begin(name, RECIPES, target, threads)
    teacher, tokenizer = zoo.load(recipe.teacher)
    tokenizer.save(str(target / "tokenizer.json"))
    watched = World().stories(200, HELD_OUT_SEED)
    student = BertForPreTraining(replace(teacher.config, n_layers=len(recipe.start)))
    initialise_from(student, teacher, recipe.start)
    history = train_on_stories(
        student,
        questionnaire_batches(World(), recipe.batch_size, recipe.seed, elsewhere=recipe.elsewhere),
        recipe.steps,
        recipe,
        target / "run.safetensors",
        lambda m: mean_wrong(m, watched),
        Distiller(teacher, distilbert_loss),
    )
    finish(student, target, lambda: card(name, target, history))
    return history


def card(name: str, folder: Path, history: History) -> str:
    """Model card, with measurements of the weights in ``folder`` on held-out stories."""
    recipe = RECIPES[name]
    student = BertForPreTraining.from_pretrained(folder).eval()  # the rounded weights that ship
    teacher, _ = zoo.load(recipe.teacher)
    stories = World().stories(HELD_OUT, HELD_OUT_SEED)
    return CARD.format(
        name=name,
        config=student.config,
        teacher=teacher.config,
        recipe=recipe,
        seen=f"{recipe.steps * recipe.batch_size:,}",
        start=" and ".join(map(str, recipe.start)),
        held_out=HELD_OUT,
        answers=_table(accuracy_by_kind(student, stories), accuracy_by_kind(teacher, stories)),
        **facts(student, folder, history),
    )


def _table(ours: dict[str, float], theirs: dict[str, float]) -> str:
    rows: Sequence[str] = [f"| {kind} | {right:.1%} | {theirs[kind]:.1%} |" for kind, right in ours.items()]
    return "\n".join(rows)


CARD = """# {name}

A BERT of {config.n_layers} layers × {config.n_heads} heads, d_model {config.d_model}, context {config.context_length},
{config.vocab_size} tokens: {parameters} parameters, {megabytes} MB in float16.

**For** seeing what a student keeps of its teacher, `{recipe.teacher}` with its {teacher.n_layers} layers, and for
filling in `[MASK]`. **Not for** any other text: it knows the words of the story world and no others.

**Trained by** `python -m companion.zoo train {name}`: it begins with layers {start} of its teacher,
as DistilBERT does, and learns with DistilBERT's triple loss (`companion.distillation.losses.distilbert_loss`) from
{seen} stories with questions that its teacher reads along, {recipe.steps:,} steps of {recipe.batch_size}; Muon and
AdamW, peak learning rate {recipe.learning_rate}, seed {recipe.seed}, torch {torch}, Python {python};
{minutes} minutes of processor time, one thread.

**Measured** on {held_out} held-out stories, with the rounded weights that ship; one question to a story, its answer
hidden, every word of it right:

| question | student | teacher |
| --- | --- | --- |
{answers}

License: Apache-2.0, like the book.
"""
