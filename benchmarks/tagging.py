"""What pre-training is worth for tags, in labelled stories: who does what, told by two bodies, by none, by counting.

    python benchmarks/tagging.py

One body is trained here for two minutes on plain stories with masked words, as in `book/algorithms/bert.ipynb`. The
other is the shipped story BERT, whose training asks for the answers to questions. Both, and the first one's sizes from
random weights with the same start, are fine-tuned on the same labelled stories with the same optimizer, rate and steps,
which were the best of a handful tried on stories of another seed, for all three alike. Five seeds draw other labelled
stories and other new weights; the test stories are the same. The lexicons know the most frequent tag of a word, or of
the words before and after it. The result goes to `benchmarks/results/tagging.json`, for `book/concepts/transfer.ipynb`.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import report
import torch
from distillation import BERT, NAMES, WORLD, encoded
from tuning import score

from companion import zoo
from companion.data.batch import IGNORED, fill_ignored
from companion.data.labelled import Tagged, minibatches
from companion.finetuning.heads import TokenClassifier
from companion.losses.classification import tagging_loss
from companion.losses.masked import Masked, mask_tokens, masked_loss
from companion.metrics.confidence import interval, relative_error_reduction
from companion.metrics.entities import entity_report
from companion.models.bert import Bert, BertConfig, BertForPreTraining
from companion.nn.initialization import mimetic_initialization, sinusoidal_initialization
from companion.storyworld import Story, story_batches
from companion.storyworld.questionnaire import SPECIALS, vocabulary_of
from companion.storyworld.views import tags
from companion.training import Optimization, Runtime, fit

LABELLED, TEST = (10, 20, 50, 100), 300  # stories
PRETRAINING = Optimization("muon", weight_decay=0.0, schedule="linear")
FINE_TUNING = Optimization("muon", weight_decay=0.01, schedule="linear")
STEPS = 150
CLS, _, MASK = vocabulary_of(WORLD).encode(SPECIALS)


def masked_stories(seed: int) -> Iterator[Masked]:
    """Stories behind [CLS], 15 % of their words hidden."""
    draw = torch.Generator().manual_seed(seed)
    for rows in story_batches(WORLD, 16, seed):
        real, ids = rows != IGNORED, fill_ignored(rows)
        ids[:, 0] = CLS
        words = len(WORLD.vocabulary)
        yield mask_tokens(ids, real, mask_id=MASK, vocab_size=words, special_ids=(0, CLS), generator=draw)


def started() -> BertForPreTraining:
    """A BERT as its pre-training begins."""
    config = BertConfig(len(vocabulary_of(WORLD)), context_length=224, n_layers=4, n_heads=4, d_model=64)
    model = BertForPreTraining(config)
    sinusoidal_initialization(model.bert)
    mimetic_initialization(model)
    return model


def pretrained(steps: int) -> tuple[Bert, float]:
    """A body that has filled in masked words, and the processor seconds that it took."""
    torch.manual_seed(0)
    model = started()
    history = fit(
        model,
        masked_stories(0),
        steps=steps,
        loss=masked_loss,
        learning_rate=1e-2,
        optimization=PRETRAINING,
        runtime=Runtime(device="cpu"),
        progress=False,
    )
    return model.bert, history.cpu_seconds


def tagger(body: Bert, rows: Tagged, seed: int) -> TokenClassifier:
    """Fine-tune a copy of a body."""
    torch.manual_seed(seed)
    body = copy.deepcopy(body)
    body.pooler = None
    model = TokenClassifier(body, NAMES)
    batches = minibatches(rows, 10, seed)
    fit(
        model,
        batches,
        steps=STEPS,
        loss=tagging_loss,
        learning_rate=4e-3,
        optimization=FINE_TUNING,
        runtime=Runtime(device="cpu", seed=seed),
        progress=False,
    )
    return model.eval()


def words_of(stories: Sequence[Story]) -> list[list[tuple[str, str]]]:
    """Each story's words with their tags."""
    return [tags(story, "role") for story in stories]


def beside(words: Sequence[str], place: int) -> tuple[str, str]:
    """The words before and after."""
    return words[place - 1] if place else ".", words[place + 1] if place + 1 < len(words) else "."


def counted(train: Sequence[Story], test: Sequence[Story], key: Callable[[Sequence[str], int], Any]) -> float:
    """F1 of the most frequent tag of a word's key in the labelled stories; "O" where the key is new."""
    seen: dict[Any, Counter[str]] = defaultdict(Counter)
    for text in words_of(train):
        words = [word for word, _ in text]
        for place, (_, tag) in enumerate(text):
            seen[key(words, place)][tag] += 1
    said, true = [], []
    for text in words_of(test):
        words = [word for word, _ in text]
        found = [seen.get(key(words, place)) for place in range(len(words))]
        said.append([tag.most_common(1)[0][0] if tag else "O" for tag in found])
        true.append([tag for _, tag in text])
    return entity_report(said, true).micro.f1


def main() -> None:
    """Run every method with every seed, and write the table."""
    given = report.arguments(__doc__, steps=3000)
    test = WORLD.stories(TEST, "tagging/test")
    rows = encoded(test)
    masked, seconds = pretrained(given.steps)
    bodies = {"masked words": masked, "story BERT": Bert.from_pretrained(zoo.folder(BERT))}
    table: dict[str, Any] = {
        "pre-training": {"steps": given.steps, "cpu_seconds": seconds},
        "steps": STEPS,
        "results": [],
    }
    for n in LABELLED:
        runs: dict[str, list[float]] = defaultdict(list)
        for seed in range(given.seeds):
            stories = WORLD.stories(n, f"tagging/{seed}")
            labelled = encoded(stories)
            torch.manual_seed(seed)
            for name, body in {**bodies, "scratch": started().bert}.items():
                runs[name].append(score(tagger(body, labelled, seed), rows))
            runs["lexicon"].append(counted(stories, test, lambda words, place: words[place]))
            runs["neighbours"].append(counted(stories, test, beside))
        cut = [
            relative_error_reduction(ours, theirs)
            for ours, theirs in zip(runs["masked words"], runs["scratch"], strict=True)
        ]
        runs["error cut against scratch"] = cut
        for name, values in runs.items():
            row = {"method": name, "n": n, **interval(values)._asdict(), "scores": values}
            table["results"].append(row)
            print(f"{n:4} {name:>26}: {row['mean']:.3f} ({row['low']:.3f} to {row['high']:.3f})", flush=True)
        report.write("tagging", table)


if __name__ == "__main__":
    main()
