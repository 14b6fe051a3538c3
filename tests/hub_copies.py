"""Tiny copies of public datasets in the hub's layout, and a tokenizer for them, for tests without a network."""

from contextlib import contextmanager

import datasets
import pytest
from datasets import Dataset
from huggingface_hub import constants

from companion.data.tokenization import train_wordpiece

FEELINGS = ("negative", "positive")
KINDS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SUBJECTS = [f"{which} {what}" for which in ("the", "her", "an old", "this long") for what in ("film", "play", "song")]
VERDICTS = {"negative": ("bores", "fails", "is a mess"), "positive": ("delights", "shines", "is a joy")}
NAMED = {"Anna": "PER", "Anna Smith": "PER", "Ben": "PER", "Paris": "LOC", "New York": "LOC", "Oslo": "LOC"}
PLAIN = ("met", "left", "saw", "near")


@contextmanager
def without_network(cache):
    """No question to the network, and a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
        yield


def write_files(folder, files):
    """Files of a folder, name -> content."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def reviews():
    """Columns as in SST-2; no text of one split is in another."""
    told = [(f"{who} {what}", feeling) for feeling, ways in VERDICTS.items() for what in ways for who in SUBJECTS]
    openings = {"train": ("well ,", "so", "and", "yes"), "validation": ("but",), "test": ("no ,",)}
    columns = {}
    for split, own in openings.items():
        texts = [(f"{opening} {text}", FEELINGS.index(feeling)) for opening in own for text, feeling in told]
        columns[split] = {
            "idx": list(range(len(texts))),
            "sentence": [text for text, _ in texts],
            "label": [-1 if split == "test" else label for _, label in texts],
        }
    return columns


def news():
    """Columns as in CoNLL-2003."""
    names = list(NAMED)
    sentences = [(one, verb, other) for one in names for verb in PLAIN for other in names if one != other]
    words, tags = [], []
    for one, verb, other in sentences:
        words.append([*one.split(), verb, *other.split(), "."])
        marks = [mark for name in (one, other) for mark in (marked(name), ["O"])]
        tags.append([KINDS.index(tag) for part in marks for tag in part])
    parts = {"train": slice(0, None, 2), "validation": slice(1, None, 4), "test": slice(3, None, 4)}
    return {split: {"tokens": words[part], "ner_tags": tags[part]} for split, part in parts.items()}


def marked(name):
    return [f"{'I' if i else 'B'}-{NAMED[name]}" for i in range(len(name.split()))]


def readme(columns):
    """The card of a dataset on the hub, as its front matter tells labels and splits."""
    lines = ["---", "dataset_info:", "  features:"]
    for name, (kind, names) in columns.items():
        lines.append(f"  - name: {name}")
        if names is None:
            lines.append(f"    {kind}: string" if kind == "list" else f"    dtype: {kind}")
            continue
        lines += ["    list:", "      class_label:"] if kind == "list" else ["    dtype:", "      class_label:"]
        depth = " " * 8
        lines += [f"{depth}names:", *(f"{depth}  '{number}': {label}" for number, label in enumerate(names))]
    configs = ["configs:", "- config_name: default", "  data_files:"]
    for split in ("train", "validation", "test"):
        configs += [f"  - split: {split}", f"    path: data/{split}-*"]
    return "\n".join([*lines, *configs, "---", "# A tiny copy", ""])


def write(folder, parts, card):
    """Parquet files that do not know the names of their labels, and a card that does."""
    (folder / "data").mkdir(parents=True)
    for split, columns in parts.items():
        rows = Dataset.from_dict(columns)
        rows.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text(card)
    return folder


SST2_CARD = readme({"idx": ("int32", None), "sentence": ("string", None), "label": ("label", FEELINGS)})
CONLL_CARD = readme({"tokens": ("list", None), "ner_tags": ("list", KINDS)})


def texts_of_all():
    own = [text for part in reviews().values() for text in part["sentence"]]
    return own + [" ".join(words) for part in news().values() for words in part["tokens"]]


TOKENIZER = train_wordpiece(texts_of_all(), 120, lowercase=False)


def own_tokenizer():
    return type(TOKENIZER).from_str(TOKENIZER.to_str())
